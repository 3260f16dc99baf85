"""Progress: on a terminal, in a log, in a notebook; and a job that is stopped leaves its last step."""

import io
import sys
import types
from itertools import islice

import pytest
import torch

import triscope as ts
from tests import nets
from triscope import watching
from triscope.methods import Step
from triscope.results import Picture
from triscope.watching import ProgressDisplay, watch


def steps(total=40):
    """A job that is a second a step by the clock of these tests."""
    for index in range(1, total + 1):
        CLOCK.now += 1.0
        yield Step(index, total, index / 2, {}, Picture(torch.rand(1, 3, 8, 9)))


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    CLOCK.now = 0.0
    monkeypatch.setattr(watching, "time", CLOCK)


def test_a_log_has_a_line_every_ten_seconds_and_the_last(capsys):
    assert [step.index for step in watch(steps())] == list(range(1, 41))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("   ")[0] for line in lines] == [f"step {index} of 40" for index in (10, 20, 30, 40)]
    assert lines[1] == "step 20 of 40   score 10   1.0 steps/s   20 s left"


def test_what_is_soon_done_says_nothing(capsys):
    assert len(list(watch(steps(5)))) == 5
    assert capsys.readouterr().err == ""


def test_a_terminal_has_one_line_that_is_rewritten(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    list(watch(steps(3)))
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.split("\r\x1b[K")[1:] == [
        "step 1 of 3   score 0.5   1.0 steps/s   2 s left",
        "step 2 of 3   score 1   1.0 steps/s   1 s left",
        "step 3 of 3   score 1.5   1.0 steps/s   0 s left\n",
    ]


def test_quiet_is_quiet(capsys):
    assert len(list(watch(steps(), quiet=True))) == 40
    assert capsys.readouterr().err == ""


class Full(io.StringIO):
    def write(self, _):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("stderr", [None, Full()], ids=["closed", "full"])
def test_a_stderr_that_takes_nothing_ends_no_job(monkeypatch, stderr):
    monkeypatch.setattr(sys, "stderr", stderr)
    assert len(list(watch(steps()))) == 40


def test_a_job_that_is_stopped_leaves_its_last_step_and_is_closed(capsys):
    def job():
        yield from steps(7)
        raise KeyboardInterrupt

    try:
        for step in watch(job()):
            assert step.total == 7
    except KeyboardInterrupt:
        assert step.index == 7
        assert step.result.values.shape == (1, 3, 8, 9)
    else:
        pytest.fail("the interruption was swallowed")


def test_leaving_closes_the_job_at_once(capsys):
    closed = []

    def job():
        try:
            yield from steps()
        finally:
            closed.append(True)

    watched = watch(job())
    next(watched)
    watched.close()
    assert closed == [True]


@pytest.fixture
def notebook(monkeypatch):
    """IPython as it is in a notebook: a shell with a kernel, and outputs that can be replaced."""
    shown = []

    class Handle:
        def update(self, content):
            shown.append(content)

    def display(content, *, display_id):
        assert display_id is True
        shown.append(content)
        return Handle()

    ipython, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    module.HTML, module.display = str, display
    ipython.display = module
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return types.SimpleNamespace(shown=shown, ipython=ipython)


def test_a_notebook_shows_a_bar_and_the_picture_so_far(notebook, capsys):
    for step in watch(steps(4)):
        if step.index < 4:
            assert len(notebook.shown) == step.index
            assert f'value="{step.index / 4:.4f}"' in notebook.shown[-1]
            assert '<img src="data:image/webp;base64,' in notebook.shown[-1]
            assert f"step {step.index} of 4" in notebook.shown[-1]
    assert "<img" not in notebook.shown[-1]  # the cell shows the result by itself
    assert "step 4 of 4" in notebook.shown[-1]
    assert capsys.readouterr().err == ""


def test_a_notebook_keeps_the_picture_of_a_job_that_is_stopped(notebook):
    def job():
        yield from islice(steps(4), 2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(watch(job()))
    assert "step 2 of 4" in notebook.shown[-1]
    assert "<img" in notebook.shown[-1]


def test_what_is_no_picture_is_not_drawn(notebook):
    display = ProgressDisplay()
    CLOCK.now += 5
    display.update("3 <of> 4", 0.75, object())
    display.close()
    assert "<img" not in notebook.shown[0]
    assert "3 &lt;of&gt; 4" in notebook.shown[0]


def test_the_ipython_of_a_terminal_is_a_terminal(notebook, capsys):
    notebook.ipython.get_ipython = types.SimpleNamespace
    list(watch(steps(12)))
    assert notebook.shown == []
    assert "step 10 of 12" in capsys.readouterr().err


def test_it_watches_what_the_library_makes(capsys):
    for step in ts.watch(ts.ascend.steps(nets.network(size=(16, 16)), 1, steps=3)):
        assert step.total == 3
    assert step.result.values.shape == (1, 3, 16, 16)
