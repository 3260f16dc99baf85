"""Doctor's measurement of threads, which changes nothing."""

import pytest
import torch

from triscope.cli import threads


@pytest.fixture(autouse=True)
def restored():
    usual = torch.get_num_threads()
    yield
    torch.set_num_threads(usual)


@pytest.mark.parametrize("slow", [1, 4])
def test_the_quickest_number_is_named_and_the_usual_one_restored(monkeypatch, slow):
    torch.set_num_threads(4)
    met = []

    def steps() -> float:
        met.append(torch.get_num_threads())
        return 0.5 if torch.get_num_threads() == slow else 0.1

    monkeypatch.setattr(threads, "_small_steps", steps)
    told = threads.quickest_threads()
    assert set(met) == {1, 2, 4}
    assert torch.get_num_threads() == 4
    assert ("OMP_NUM_THREADS=1 is quicker now" in told) == (slow == 4)
    assert "50.0 ms with" in told


def test_the_number_is_restored_where_measuring_fails(monkeypatch):
    torch.set_num_threads(2)
    monkeypatch.setattr(threads, "_small_steps", lambda: torch.zeros(1).view(3))
    with pytest.raises(RuntimeError):
        threads.quickest_threads()
    assert torch.get_num_threads() == 2


def test_a_small_step_takes_some_time():
    assert threads._small_steps() > 0
    torch.set_num_threads(1)
    assert threads.quickest_threads() == "a single one is all there is"
