"""Measure with how many threads a small step is quickest on this machine now."""

import time

import torch
from torch.nn import functional as F

_ROUNDS = 7  # of which the median counts
_STEPS = 10


def quickest_threads() -> str:
    """Small steps, of a network at 64 pixels, timed with one thread and with all; what to do where fewer are quicker.

    Threads wait for each other at the end of every operation, so that where other programs run on the same processors,
    two can be slower than one. Afterwards, the number of threads is restored.
    """
    usual = torch.get_num_threads()
    counts = sorted({1, max(1, usual // 2), usual})
    if len(counts) == 1:
        return "a single one is all there is"
    times: dict[int, list[float]] = {count: [] for count in counts}
    try:
        for _ in range(_ROUNDS):  # in turn, so that other load affects all alike
            for count in counts:
                torch.set_num_threads(count)
                times[count].append(_small_steps())
    finally:
        torch.set_num_threads(usual)
    taken = {count: sorted(seconds)[_ROUNDS // 2] for count, seconds in times.items()}
    best = min(taken, key=lambda count: taken[count])
    told = ", ".join(f"{1000 * seconds / _STEPS:.1f} ms with {count}" for count, seconds in taken.items())
    if taken[best] > 0.8 * taken[usual]:
        return f"a small step takes {told}"
    return f"a small step takes {told}: other programs are at work, and OMP_NUM_THREADS={best} is quicker now"


def _small_steps() -> float:
    """The seconds of a few convolutions, forward and back."""
    images = torch.full((1, 16, 64, 64), 0.5, requires_grad=True)
    weight = torch.full((16, 16, 3, 3), 0.01)
    start = time.perf_counter()
    for _ in range(_STEPS):
        torch.autograd.grad(F.relu(F.conv2d(images, weight, padding=1)).sum(), images)
    return time.perf_counter() - start
