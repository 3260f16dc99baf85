"""`python -m benchmarks.speed [NETWORK ...]`: processor time beside the bare loop and Captum, on one thread."""

import platform
import sys
import warnings

import torch

from benchmarks.speed.cases import CASES, comparisons
from benchmarks.speed.measure import ROUNDS, compare, rows


def main(wanted: list[str]) -> None:
    """Compare, and print each comparison as soon as it is known."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # more would wait for each other wherever the machine has something else to do
    warnings.filterwarnings("ignore", module="captum")  # it says at each call that it sets hooks and gradients
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, 1 thread")
    print(f"processor time, median of {ROUNDS} interleaved rounds; ratio to the bare loop by hand\n")
    for case in CASES:
        if wanted and case.network not in wanted:
            continue
        for name, ways in comparisons(case):
            print(*rows(compare(name, ways)), sep="\n", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
