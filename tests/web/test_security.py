"""Access to the page: each rule of `triscope.web.guard`, and what a page may send."""

import io
import socket

import httpx
import numpy as np
import PIL.Image
import pytest

from tests.web.conftest import HOSTILE, SAME, finished, tiny
from triscope.errors import OptionError
from triscope.web.guard import MAX_BODY
from triscope.web.microscope import Microscope
from triscope.web.photos import check, plain_name
from triscope.web.serving import serve


def png(size=(8, 6), form="PNG", **how) -> bytes:
    data = io.BytesIO()
    PIL.Image.fromarray(np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(*size, 3)).save(data, form, **how)
    return data.getvalue()


def test_it_listens_on_this_machine_alone(running):
    assert running.host == "127.0.0.1"
    assert running._socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[", "", "192.168.0.7"])
def test_another_host_is_refused(client, host):
    """A name that an attacker has made to lead here (DNS rebinding) is not ours."""
    assert client.get("/api/about", headers={"Host": host}).status_code in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST:99"])
def test_the_names_of_this_machine_are_known(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 200


def test_without_the_token_nothing_is_answered(running):
    with httpx.Client(base_url=running.url.split("?")[0], trust_env=False) as stranger:
        for path in ("/", "/page/main.js", "/api/about", "/?token=wrong", "/?token=", "/?token=%00"):
            answer = stranger.get(path)
            assert answer.status_code == 401
            assert "tiny" not in answer.text
        assert stranger.post("/api/jobs", json={}, headers=SAME).status_code == 401


def test_the_token_becomes_a_cookie_and_leaves_the_address(running):
    answer = httpx.get(running.url, trust_env=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "./"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert len(running.token) >= 32


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "same"},
    ],
)
@pytest.mark.parametrize("path", ["/api/jobs", "/api/photos", "/api/notes", "/api/camera", "/api/recipe"])
def test_what_changes_something_comes_from_the_page_itself(client, running, path, headers):
    own = f"http://127.0.0.1:{running.port}"
    headers = {name: own if value == "same" else value for name, value in headers.items()}
    assert client.post(path, json={}, headers=headers).status_code == 403


def test_its_own_origin_is_enough_where_a_browser_says_no_more(client, running):
    headers = {"Origin": f"http://127.0.0.1:{running.port}"}
    assert client.post("/api/notes", json={"unit": "1:2", "text": ""}, headers=headers).status_code == 200


def test_every_answer_carries_the_policy(client):
    for path in ("/", "/page/app.css", "/api/about", "/api/nothing", "/page/nothing", "/api/jobs/x"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def asked(client, running, more: str) -> bytes:
    """The head of a request that brings a photo, written by hand."""
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    return (
        f"POST /api/photos HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nCookie: {cookie}\r\n"
        f"Sec-Fetch-Site: same-origin\r\n{more}\r\n\r\n"
    ).encode()


def test_a_body_that_is_announced_as_too_large_is_not_read(running, client):
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as line:
        line.sendall(asked(client, running, f"Content-Length: {MAX_BODY + 1}"))
        assert line.recv(64).startswith(b"HTTP/1.1 413")


def test_a_body_that_says_nothing_of_its_size_is_counted_while_it_is_read(running, client):
    """Sent in pieces without a length; what comes after 20 MB is not waited for."""
    piece = b"100000\r\n" + bytes(2**20) + b"\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=30) as line:
        line.sendall(asked(client, running, "Transfer-Encoding: chunked"))
        sent = 0
        try:
            for _ in range(40):  # never the end of the body
                line.sendall(piece)
                sent += 1
        except OSError:
            pass
        else:
            assert line.recv(64).startswith(b"HTTP/1.1 413")
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(
    "data",
    [b"", b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.4", b"PK\3\4", png(form="BMP"),
     png(form="TIFF"), b"\x80\x04\x95pickle"],
)  # fmt: skip
def test_other_files_than_four_kinds_of_pictures_are_refused(client, data):
    answer = client.post("/api/photos", content=data, headers=SAME)
    assert answer.status_code == 400
    assert "PNG, JPEG, WebP or GIF" in answer.json()["error"]


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded():
    data = io.BytesIO()
    PIL.Image.new("1", (9000, 9000)).save(data, "PNG")
    with pytest.raises(Exception, match="too large"):
        check(data.getvalue())


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
def test_pictures_are_taken_and_named_by_their_content(client, form):
    first, second = (
        client.post("/api/photos", content=png(form=form), headers={**SAME, "X-Name": name}).json()
        for name in ("..%2F..%2Fetc%2Fpasswd", "C%3A%5Ca.png")
    )
    assert first["id"] == second["id"]
    assert first["name"] == "passwd"
    assert client.get(f"/api/photos/{first['id']}/seen").headers["content-type"] == "image/jpeg"


def test_a_photo_is_turned_upright_and_its_metadata_is_not_given_back(client):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010E] = "secret place"
    data = png((10, 40), "JPEG", exif=exif)
    photo = client.post("/api/photos", content=data, headers={**SAME, "X-Name": "a.jpg"}).json()["id"]
    small = client.get(f"/api/photos/{photo}/thumbnail").content
    with PIL.Image.open(io.BytesIO(small)) as image:
        assert (image.width, image.height) == (10, 40)
    assert b"secret" not in small + client.get(f"/api/photos/{photo}/seen").content


@pytest.mark.parametrize("name", ["../../pyproject.toml", "%2e%2e%2fguard.py", "guard.py", "app.css/..", "x"])
def test_no_file_but_the_pages_own_is_served(client, name):
    assert client.get(f"/page/{name}").status_code in (404, 405)


@pytest.mark.parametrize("key", ["../one.png", "/etc/passwd", "row-0", "row-../1", "row--1", ""])
def test_a_photo_is_named_by_its_hash_and_never_by_a_path(client, key):
    question = {"method": "saliency", "inputs": {"images": key}}
    assert client.post("/api/jobs", json=question, headers=SAME).status_code == 400


def test_no_path_of_a_photo_is_told(client, running):
    about = client.get("/api/about").json()
    assert {len(photo["id"]) for photo in about["photos"]} == {20}
    assert [photo["name"] for photo in about["photos"]][:2] == ["one.png", "<b>two.png"]
    assert str(running.microscope.photos[about["photos"][0]["id"]].source.parent) not in str(about)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"checkpoint": "/tmp/x"}, "no option"),
        ({"nonsense": 1}, "no option"),
        ({"steps": "many"}, "a number"),
        ({"steps": [1]}, "steps"),
        ({"steps": True}, "steps"),
        ({"regulariser": "FILE.py"}, "regulariser"),
    ],
)
def test_options_that_are_not_declared_or_name_files_are_refused(client, options, said):
    question = {"method": "ascend", "inputs": {"objective": "cat"}, "options": options}
    answer = client.post("/api/jobs", json=question, headers=SAME)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_numbers_are_moved_into_their_declared_range(client):
    photo = client.get("/api/about").json()["photos"][0]["id"]
    job = finished(client, {"method": "predict", "inputs": {"images": photo}, "options": {"k": -5}})
    assert job["state"] == "done"
    assert "k=1" in job["python"]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"[" * 100_000, b'{"method": {}}', b'{"method": "saliency", "inputs": 3}']
)
def test_nonsense_is_answered_with_a_sentence(client, body):
    answer = client.post("/api/jobs", content=body, headers=SAME)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_names_stay_text(client):
    assert HOSTILE in client.get("/api/about").json()["networks"][0]["classes"]
    assert client.get("/api/about").headers["content-type"] == "application/json"


def test_another_address_needs_its_token():
    scope = Microscope([tiny()])
    try:
        with pytest.raises(OptionError, match="not served without its token"):
            serve(scope, host="0.0.0.0", token=False)
    finally:
        scope.close()


def test_a_further_name_can_be_allowed():
    running = serve(Microscope([tiny()]), token=False, hosts=["page.example"])
    try:
        address = f"http://127.0.0.1:{running.port}/"
        assert httpx.get(address, headers={"Host": "page.example"}, trust_env=False).status_code == 200
        assert httpx.get(address, headers={"Host": "other.example"}, trust_env=False).status_code == 403
    finally:
        running.close()


@pytest.mark.parametrize(
    ("given", "plain"), [("a/b/c.png", "c.png"), ("C:\\x\\d.png", "d.png"), ("", "photo.png"), ("x" * 300, "x" * 80)]
)
def test_names_of_uploads_are_short_and_plain(given, plain):
    assert plain_name(given) == plain
