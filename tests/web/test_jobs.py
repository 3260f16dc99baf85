"""Jobs: steps of one after the other, with questions in between; paused, cancelled, forgotten, watched by many."""

import io
import threading
import time
from collections.abc import Iterator

import PIL.Image
import pytest
import torch

from tests.web.conftest import SAME, finished
from triscope.errors import OptionError
from triscope.methods import Step
from triscope.results import Picture
from triscope.web.jobs import Job, QueueFullError, Worker


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker(unwatched=60)
    yield worker
    worker.close()


def steps(count: int, gate: threading.Semaphore | None = None, log: list | None = None, name: str = ""):
    def run() -> Iterator[Step[Picture]]:
        try:
            for index in range(1, count + 1):
                if gate is not None:
                    assert gate.acquire(timeout=20)
                yield Step(index, count, float(index), {}, Picture(torch.full((1, 3, 2, 2), index / count)))
        finally:
            if log is not None:
                log.append(f"{name} closed")

    return run


def job(body, *, long: bool = True) -> Job:
    return Job({"method": "m"}, body, long, lambda result: result.png())


def until(condition) -> None:
    for _ in range(15_000):
        if condition():
            return
        time.sleep(0.002)
    raise AssertionError("it did not come about")


def test_a_job_goes_through_its_steps_and_keeps_its_last_result(worker):
    one = worker.submit(job(steps(5)))
    until(lambda: one.over)
    assert (one.state, one.step.index, one.snapshot()["score"]) == ("done", 5, 5.0)
    assert float(one.result.values.max()) == 1
    assert one.picture


def test_jobs_wait_for_each_other_and_know_their_place(worker):
    gate = threading.Semaphore(0)
    jobs = [worker.submit(job(steps(2, gate))) for _ in range(3)]
    until(lambda: jobs[0].state == "running")
    assert [worker.ahead(one) for one in jobs] == [0, 1, 2]
    for _ in range(6):
        gate.release()
    until(lambda: all(one.over for one in jobs))
    assert [one.state for one in jobs] == ["done"] * 3


def test_a_quick_question_is_answered_between_two_steps_of_a_long_job(worker):
    gate = threading.Semaphore(0)
    long = worker.submit(job(steps(50, gate)))
    until(lambda: long.state == "running")
    quick = worker.submit(job(steps(1), long=False))
    gate.release()
    until(lambda: quick.over)
    assert quick.state == "done"
    assert long.step.index < 50
    worker.cancel(long)
    gate.release()


def test_a_cancelled_job_is_over_at_once_and_keeps_what_it_had(worker):
    gate, log = threading.Semaphore(3), []
    one = worker.submit(job(steps(50, gate, log, "one")))
    until(lambda: one.step is not None and one.step.index == 3)
    worker.cancel(one)
    assert one.state == "cancelled"  # though a step is still being computed
    gate.release()
    until(lambda: log == ["one closed"])
    assert one.step.index == 3
    assert one.result is not None
    two = worker.submit(job(steps(2)))
    until(lambda: two.state == "done")


def test_a_paused_job_lets_others_go_first_and_goes_on_where_it_was(worker):
    gate = threading.Semaphore(2)
    one = worker.submit(job(steps(4, gate)))
    until(lambda: one.step is not None and one.step.index == 2)
    worker.pause(one)
    gate.release()
    two = worker.submit(job(steps(2)))
    until(lambda: two.state == "done")
    assert one.state == "paused"
    worker.resume(one)
    gate.release()
    until(lambda: one.over)
    assert (one.state, one.step.index) == ("done", 4)


def test_a_job_that_nobody_watches_stops_with_what_it_has():
    worker = Worker(unwatched=0.2)
    try:
        gate = threading.Semaphore(1)
        lonely = worker.submit(job(steps(1000, gate)))
        until(lambda: lonely.step is not None)
        time.sleep(0.3)
        gate.release()
        until(lambda: lonely.over)
        assert lonely.state == "cancelled"
        assert lonely.result is not None
        watched = job(steps(3, None))
        watched.listeners.add(lambda: None)
        watched.seen -= 100
        worker.submit(watched)
        until(lambda: watched.over)
        assert watched.state == "done"
    finally:
        worker.close()


def test_a_failure_is_a_sentence_and_leaves_the_worker_at_work(worker):
    def wrong():
        raise OptionError("No such layer.")

    def broken():
        raise ZeroDivisionError("inside")

    first, second = worker.submit(job(wrong)), worker.submit(job(broken, long=False))
    until(lambda: first.over and second.over)
    assert (first.state, first.error) == ("failed", "No such layer.")
    assert "ZeroDivisionError" in second.error
    third = worker.submit(job(steps(1)))
    until(lambda: third.state == "done")


def test_more_than_the_queue_holds_is_refused(worker):
    gate = threading.Semaphore(0)
    jobs = [worker.submit(job(steps(1, gate))) for _ in range(worker.most)]
    with pytest.raises(QueueFullError):
        worker.submit(job(steps(1)))
    for one in jobs:
        worker.cancel(one)
        gate.release()


def test_background_work_is_done_when_there_is_nothing_else(worker):
    done = []
    worker.background(iter([done.append(1) or 1, 2]))
    one = worker.submit(job(steps(2)))
    until(lambda: one.over and not worker._background)


def test_finished_jobs_are_forgotten_in_the_end(worker):
    for _ in range(230):
        one = worker.submit(job(steps(1), long=False))
        until(lambda one=one: one.over)
    assert len(worker.jobs) <= 202


def test_the_server_says_503_when_the_queue_is_full(client, running):
    worker = running.microscope.worker
    before, worker.most = worker.most, 0
    try:
        answer = client.post("/api/jobs", json={"method": "ascend", "inputs": {"objective": "dog"}}, headers=SAME)
        assert answer.status_code == 503
        assert client.get("/api/about").status_code == 503
    finally:
        worker.most = before


def test_the_stream_and_a_look_say_the_same(client):
    question = {"method": "ascend", "inputs": {"objective": "cat"}, "options": {"steps": 4, "size": 24}}
    told = finished(client, question)
    seen = client.get(f"/api/jobs/{told['id']}").json()
    assert told == seen
    assert (told["state"], told["index"], told["total"]) == ("done", 4, 4)
    assert told["command"] is None  # made in Python
    assert told["python"] == "ts.ascend(network, 'cat', size=24, steps=4)"


def test_a_long_job_is_cancelled_over_http_and_its_picture_is_kept(client):
    question = {"method": "ascend", "inputs": {"objective": "dog"}, "options": {"steps": 100_000, "size": 24}}
    one = client.post("/api/jobs", json=question, headers=SAME).json()
    until(lambda: client.get(f"/api/jobs/{one['id']}").json()["index"] > 2)
    assert client.post(f"/api/jobs/{one['id']}/pause", headers=SAME).json()["state"] == "paused"
    assert client.post(f"/api/jobs/{one['id']}/resume", headers=SAME).json()["state"] in ("waiting", "running")
    gone = client.post(f"/api/jobs/{one['id']}/cancel", headers=SAME).json()
    assert gone["state"] == "cancelled"
    file = client.get(f"/api/jobs/{one['id']}/file?form=.png")
    assert file.content.startswith(b"\x89PNG")
    assert b"triscope" in file.content


def test_the_way_of_a_long_job_is_a_moving_picture(client):
    inputs = {"objective": "1"}
    told = finished(client, {"method": "ascend", "inputs": inputs, "options": {"steps": 9, "size": 24}})
    answer = client.get(f"/api/jobs/{told['id']}/animation")
    assert answer.headers["content-type"] == "image/webp"
    with PIL.Image.open(io.BytesIO(answer.content)) as image:
        assert (image.is_animated, image.n_frames, image.size) == (True, 9, (24, 24))
    told = finished(client, {"method": "filters", "inputs": {}})
    assert client.get(f"/api/jobs/{told['id']}/animation").status_code == 404


def test_a_way_of_many_steps_keeps_few_pictures(worker):
    one = worker.submit(job(steps(500)))
    until(lambda: one.over)
    assert 50 <= len(one.frames) <= 62


def test_a_hundred_watch_one_job_and_others_are_still_answered(client, running):
    question = {"method": "ascend", "inputs": {"objective": "boat"}, "options": {"steps": 100_000, "size": 24}}
    one = client.post("/api/jobs", json=question, headers=SAME).json()
    job = running.microscope.worker.jobs[one["id"]]
    heard, streams = [], []

    def listen():
        with client.stream("GET", f"/api/events?jobs={one['id']}") as stream:
            heard.append(sum(line.startswith("data:") for line in stream.iter_lines()))

    for _ in range(100):
        streams.append(threading.Thread(target=listen))
        streams[-1].start()
    until(lambda: len(job.listeners) == 100)
    assert client.get("/page/main.js").status_code == 200
    assert client.post(f"/api/jobs/{one['id']}/cancel", headers=SAME).json()["state"] == "cancelled"
    for stream in streams:
        stream.join(timeout=30)
    assert len(heard) == 100
    assert min(heard) >= 1
    until(lambda: not job.listeners)
