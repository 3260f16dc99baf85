"""Average weights files of the pocket network that were trained from the same file.

    python -m training.pocket.average A.safetensors B.safetensors --out MEAN.safetensors

The mean of weights that were fine-tuned differently from one start is often more accurate than each of them (Wortsman
et al., 2022, "Model soups").
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from training.pocket.evaluate import load
from training.pocket.run import export
from triscope.network.loading.pocket import PocketAlexNet


def mean(networks: Sequence[PocketAlexNet]) -> PocketAlexNet:
    """A network whose weights are the means of those of `networks`."""
    states = [network.state_dict() for network in networks]
    averaged = PocketAlexNet()
    averaged.load_state_dict({name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]})
    return averaged.eval()


def main() -> None:
    """Write the averaged file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="+", help="the files to average")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    options = parser.parse_args()
    export(mean([load(path) for path in options.weights]), options.out)


if __name__ == "__main__":
    main()
