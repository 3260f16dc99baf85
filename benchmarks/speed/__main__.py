"""CPU time compared with a plain loop and with Captum, on one thread.

python -m benchmarks.speed [NETWORK ...] [--rounds 21]
"""

import argparse
import platform
import warnings

import torch

from benchmarks.speed.cases import CASES, comparisons
from benchmarks.speed.measure import ROUNDS, compare, rows

#: The networks that can be measured.
NETWORKS = tuple(dict.fromkeys(case.network for case in CASES))


def main() -> None:
    """Compare, and print each comparison when it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(NETWORKS)}; all of them")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    asked = parser.parse_args()
    if unknown := set(asked.networks).difference(NETWORKS):
        parser.error(f"{', '.join(sorted(unknown))} is not compared; {', '.join(NETWORKS)} are")
    torch.manual_seed(0)
    torch.set_num_threads(1)  # more would wait for each other wherever the machine has something else to do
    warnings.filterwarnings("ignore", module="captum")  # it says at each call that it sets hooks and gradients
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, 1 thread")
    print(f"CPU time, median of {asked.rounds} interleaved rounds; ratio to the plain loop\n")
    for case in CASES:
        if case.network in (asked.networks or NETWORKS):
            for name, ways in comparisons(case):
                print(*rows(compare(name, ways, asked.rounds)), sep="\n", flush=True)


if __name__ == "__main__":
    main()
