"""The image page: one scale for all maps, what numbers say of each, and two networks side by side."""

import re

import pytest
import torch

from tests.browsers import wait_for_count
from tests.web.conftest import SAME, finished
from triscope.metrics.judgement import Judgement
from triscope.web.answers import facts
from triscope.web.packed import unpacked

MAPS = "#/image?methods=saliency%2Cinput_x_gradient%2Cocclusion"
SUBSET = ["saliency", "input_x_gradient"]


def ends(page) -> list[float]:
    """What the strongest colour of each map stands for."""
    texts = [one.locator(".ends span").last.inner_text() for one in page.locator(".panel[data-method]").all()]
    return [float(text.replace("−", "-")) for text in texts]


def means(page, running) -> list[float]:
    """The mean magnitude of each map, from the library's own numbers."""
    jobs = running.microscope.worker.jobs.values()
    found = {job.about["method"]: job.result for job in jobs if job.result is not None}
    names = [one.get_attribute("data-method") for one in page.locator(".panel[data-method]").all()]
    return [float(found[name].values[0].abs().amax(0).mean()) for name in names]


def test_all_maps_have_one_scale_a_multiple_of_their_means_unless_each_has_its_own(opened, page_of_collection):
    opened.go(MAPS)
    page = opened.page
    page.locator(".panel.ready").nth(2).wait_for()
    page.locator(".note", has_text="One scale").wait_for()
    times = float(re.search(r"stands for ([\d.]+) times", page.locator(".note", has_text="One scale").inner_text())[1])
    ratios = [end / mean for end, mean in zip(ends(page), means(page, page_of_collection), strict=True)]
    assert ratios == pytest.approx([times] * 3, rel=0.05)
    page.get_by_role("button", name="each its own").click()
    page.locator(".note", has_text="a scale of its own").wait_for()
    own = [end / mean for end, mean in zip(ends(page), means(page, page_of_collection), strict=True)]
    assert max(own) == pytest.approx(times, rel=0.05)
    assert min(own) < 0.95 * times
    assert "scale=own" in page.url


def test_every_map_is_judged_once_all_are_there(opened, page_of_collection):
    opened.go(MAPS)
    page = opened.page
    page.locator(".panel .judged", has_text="insertion").nth(2).wait_for()
    jobs = [job for job in page_of_collection.microscope.worker.jobs.values() if isinstance(job.result, Judgement)]
    for row in jobs[-1].result.rows[:3]:
        shown = page.locator(f".panel[data-method={row}] .judged").inner_text()
        assert shown == jobs[-1].result.sentence(row)
    page.get_by_text("How the maps were judged").click()
    assert "ts.judge(" in page.locator(".judging code").last.text_content()


def test_a_judgement_is_left_when_the_page_is(opened, page_of_collection):
    worker = page_of_collection.microscope.worker
    before = set(worker.jobs)
    opened.go(MAPS + "&unit=boat")
    opened.page.locator(".panel.ready").nth(2).wait_for()
    opened.go("#/studio")
    opened.page.wait_for_selector("main.page-studio")
    for _ in range(200):
        new = [job for name, job in worker.jobs.items() if name not in before]
        if new and all(job.over for job in new):
            break
        opened.page.wait_for_timeout(20)
    assert all(job.over for job in new)


def test_judgement_over_http_says_which_map_hardly_depends_on_the_class(client, running):
    photo = running.microscope.photos.listed()[0]["id"]
    asked = {"network": 0, "photo": photo, "unit": "cat", "methods": SUBSET}
    job = client.post("/api/judgements", json=asked, headers=SAME).json()
    with client.stream("GET", f"/api/jobs/{job['id']}/events") as stream:
        list(stream.iter_lines())
    told = client.get(f"/api/jobs/{job['id']}/facts").json()["judged"]
    assert list(told) == SUBSET
    assert all("insertion" in one["sentence"] for one in told.values())
    refused = client.post("/api/judgements", json={**asked, "methods": ["predict"]}, headers=SAME).json()
    with client.stream("GET", f"/api/jobs/{refused['id']}/events") as stream:
        assert "makes no heatmap" in "".join(stream.iter_lines())


@pytest.mark.parametrize(("correlation", "doubt"), [(0.97, True), (0.4, False), (float("nan"), False)])
def test_a_map_alike_for_another_class_is_in_doubt(correlation, doubt):
    result = Judgement(
        torch.tensor([[[0.5, 0.2, correlation], [0.4, 0.3, float("nan")]]]), rows=("saliency", "random"),
        columns=("insertion", "deletion", "class"), names=("a",), image=torch.zeros(1, 3, 2, 2),
        scores=torch.zeros(1), objective=None,
    )  # fmt: skip
    told = facts(result)["judged"]
    assert list(told) == ["saliency"]
    assert told["saliency"]["doubt"] is doubt
    assert ("hardly depends on the class" in told["saliency"]["sentence"]) is doubt


def test_a_job_that_one_page_drops_goes_on_for_another(client, running):
    question = {
        "method": "ascend",
        "inputs": {"objective": "dog"},
        "options": {"steps": 100_000, "size": 24, "seed": 9},
    }
    one = client.post("/api/jobs", json=question, headers=SAME).json()
    job = running.microscope.worker.jobs[one["id"]]
    ears = [lambda: None, lambda: None]
    job.listeners.update(ears)
    assert client.post(f"/api/jobs/{one['id']}/drop", headers=SAME).json()["state"] != "cancelled"
    job.listeners.discard(ears[0])
    assert client.post(f"/api/jobs/{one['id']}/drop", headers=SAME).json()["state"] == "cancelled"


def test_two_networks_are_asked_the_same_side_by_side(opened):
    opened.go("#/image?methods=saliency")
    page = opened.page
    page.get_by_label("Beside it").select_option("1")
    page.locator(".pair .panel.ready[data-network='1']").wait_for()
    page.locator(".pair .panel.ready[data-network='0']").wait_for()
    asked = [re.match(r".*: score", one.inner_text())[0] for one in page.locator(".pair .value").all()]
    assert len(asked) == 2
    assert asked[0] == asked[1]
    wait_for_count(page.locator(".bars"), 2)
    page.locator(".pair .stack").first.hover(position={"x": 40, "y": 50})
    places = {re.search(r"row \d+, column \d+", one.inner_text())[0] for one in page.locator(".pair .value").all()}
    assert len(places) == 1
    assert "beside=1" in page.url


def test_a_unit_of_two_networks_stands_side_by_side(opened):
    opened.go("#/unit?u=3%3A1&beside=1")
    page = opened.page
    page.locator(".panel.ready[data-network='1']").wait_for()
    assert [one.inner_text() for one in page.locator(".run > h3").all()] == ["tiny", "other"]
    wait_for_count(page.locator(".run button.main"), 2)
    page.get_by_label("Beside it").select_option("")
    page.locator(".run").nth(1).wait_for(state="detached")
    wait_for_count(page.locator(".panel"), 1)


def test_the_numbers_of_another_network_are_its_own(client, running):
    photo = running.microscope.photos.listed()[0]["id"]
    question = {"method": "saliency", "inputs": {"images": photo, "objective": "cat"}}
    jobs = [finished(client, {**question, "network": number}) for number in (0, 1)]
    first, second = (unpacked(client.get(f"/api/jobs/{job['id']}/numbers").content) for job in jobs)
    assert first[0]["shape"] == second[0]["shape"] == [1, 24, 32]
    assert first[1] != second[1]
