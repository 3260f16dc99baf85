"""Raw numbers for the page: packed and taken apart again, and exact to 8 bits."""

import io
import json

import numpy as np
import PIL.Image
import pytest
import torch

import triscope as ts
from tests.web.conftest import SAME
from triscope.verbs import METHODS
from triscope.web.packed import packed, unpacked
from triscope.web.volumes import Volume, picture_atlas


@pytest.mark.parametrize("name", ["a", "ab", "abc", "abcd", "é"])
def test_what_was_packed_is_there_again_and_every_part_begins_at_a_multiple_of_four(name):
    parts = {"one": b"12345", "none": b"", "two": bytes(range(256))}
    data = packed({"name": name}, parts)
    assert unpacked(data) == ({"name": name}, parts)
    assert all(data.index(part) % 4 == 0 for part in (parts["one"], parts["two"]))


@pytest.mark.parametrize("least", [0.0, -3.0])
def test_levels_are_each_maps_values_by_its_own_largest_magnitude(least):
    values = torch.linspace(least, 5, 3 * 5 * 7).reshape(3, 5, 7)
    levels = Volume("x", values).levels()
    assert levels.dtype == torch.uint8
    for one, level in zip(values, levels, strict=True):
        top = float(one.abs().max())
        back = (level.float() - 128) / 127 * top if least < 0 else level.float() / 255 * top
        torch.testing.assert_close(back, one, atol=0.51 * top / (127 if least < 0 else 255), rtol=0)


def test_the_tiles_of_a_layer_are_its_facts_and_its_levels(client, running):
    photo = running.microscope.photos.listed()[0]["id"]
    told, parts = unpacked(client.get(f"/api/layer?layer=1&photo={photo}").content)
    volume = running.microscope.volume("1", photo)
    assert told == json.loads(json.dumps(volume.facts()))
    levels = np.frombuffer(parts["levels"], np.uint8).reshape(told["count"], told["height"], told["width"])
    np.testing.assert_array_equal(levels, volume.levels().numpy())
    exact, numbers = unpacked(client.get(f"/api/layer/map?layer=1&channel=2&photo={photo}").content)
    assert exact["shape"] == [told["height"], told["width"]]
    assert np.frombuffer(numbers["values"], "<f4").tolist() == volume.values[2].flatten().tolist()
    assert client.get(f"/api/layer/map?layer=1&channel=99&photo={photo}").status_code == 400


def test_many_maps_are_compressed_where_the_browser_allows_it(client, running, monkeypatch):
    monkeypatch.setattr("triscope.web.routes._LARGE", 100)
    address = f"/api/layer?layer=1&photo={running.microscope.photos.listed()[0]['id']}"
    small = client.get(address)
    plain = client.get(address, headers={"Accept-Encoding": "identity"})
    assert small.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert small.content == plain.content


@pytest.mark.parametrize(("photos", "side"), [(5, 64), (200, 64)])
def test_tiles_of_one_image_are_where_it_is_told(photos, side):
    pictures = [torch.full((3, 30, 40), number / photos) for number in range(photos)]
    told, parts = unpacked(picture_atlas(pictures, side))
    assert (told["count"], told["height"], told["width"]) == (photos, side, side)
    with PIL.Image.open(io.BytesIO(parts["image"])) as image:
        atlas = np.asarray(image.convert("RGB")).astype(int)
    for number, (left, top, wide, tall) in enumerate(told["places"]):
        assert np.abs(atlas[top : top + tall, left : left + wide] - round(255 * number / photos)).max() <= 3


def test_a_frame_says_what_the_methods_say(client, running):
    scope = running.microscope
    photo = scope.photo(scope.photos.listed()[0]["id"])
    data = photo.source.read_bytes()
    for method in ("saliency", "grad_cam"):
        answer = client.post(f"/api/camera?layer=1&method={method}", content=data, headers=SAME).content
        told, parts = unpacked(answer)
        heat = METHODS[method](scope.networks[0], data)
        shares = heat.values.numpy().ravel() / heat.scale
        levels = np.frombuffer(parts["heatmap"], np.uint8).astype(float)
        drawn = (levels - 128) / 127 if heat.signed else levels / 255
        np.testing.assert_allclose(drawn, shares.clip(-1, 1), atol=0.5 / 127 + 1e-6)
        best = ts.predict(scope.networks[0], data, k=5).rows()[0]
        assert [row["index"] for row in told["classes"]] == [row["index"] for row in best]
        assert len(parts["levels"]) == told["maps"]["count"] * told["maps"]["height"] * told["maps"]["width"]
