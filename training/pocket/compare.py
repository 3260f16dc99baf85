"""Compare two weights files on held-out photos, by paired differences.

    python -m training.pocket.compare OLD.safetensors NEW.safetensors --photos PHOTOS --teacher TEACHER.safetensors

The photos are those that `train.py` holds out (use the same `--held-out` number in all stages). Each line has the two
means and their paired difference with its 95 % interval: 1.96 standard errors of the mean difference. Pairing removes
the variation in difficulty between photos, so that small differences can be seen.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from training.distillation.photos import centre, read_held_out
from training.distillation.teacher import Teacher
from training.pocket.evaluate import TEACHER_SIZE, answers, load, neighbours
from triscope.network.loading.pocket import SIZE

TEMPERATURE = 2


def paired(old: Tensor, new: Tensor) -> tuple[float, float]:
    """The mean of new - old, each (N,), and half the width of its 95 % interval."""
    apart = new.double() - old.double()
    return float(apart.mean()), 1.96 * float(apart.std()) / len(apart) ** 0.5


def line(name: str, old: Tensor, new: Tensor) -> str:
    """One measure (N,) of both files as text; booleans in percent."""
    shown = 100 if old.dtype == torch.bool else 1
    mean, half = paired(old, new)
    before, after = shown * old.double().mean(), shown * new.double().mean()
    return f"{name:28} {before:8.2f} {after:8.2f} {shown * mean:+8.2f} ± {shown * half:.2f}"


def measures(logits: Tensor, taught: Tensor, classes: Tensor) -> dict[str, Tensor]:
    """The measures of each photo, each (N,), from the logits (N, 1000) of a network and of its teacher."""
    five = logits.topk(5, dim=1).indices
    said = (logits / TEMPERATURE).log_softmax(dim=1)
    apart = F.kl_div(said, (taught / TEMPERATURE).softmax(dim=1), reduction="none").sum(dim=1)
    return {
        "top-1 %": five[:, 0] == classes,
        "top-5 %": (five == classes[:, None]).any(dim=1),
        "teacher's first in top-5 %": (five == taught.argmax(dim=1)[:, None]).any(dim=1),
        "divergence from the teacher": apart,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs=2, help="the old file and the new one")
    parser.add_argument("--photos", type=Path, required=True, help="folder of tars with index.csv")
    parser.add_argument("--teacher", type=Path, required=True, help="SqueezeNet 1.1 as safetensors")
    parser.add_argument("--held-out", type=int, default=500, help="number of held-out photos, as in training")
    parser.add_argument("--features", type=Path, help="image folders, one per class, for nearest neighbours")
    parser.add_argument("--sizes", type=int, nargs="+", default=[SIZE])
    options = parser.parse_args()
    torch.set_num_threads(1)
    both = [load(file) for file in options.weights]
    photos = read_held_out(options.photos, options.held_out)
    classes = torch.from_numpy(photos.classes)
    shown = {
        size: torch.stack([centre(image, size) for image in photos.images]) for size in {*options.sizes, TEACHER_SIZE}
    }
    taught = answers(Teacher(options.teacher).network, shown[TEACHER_SIZE])
    for size in options.sizes:
        print(f"{len(photos)} photos at {size:4} pixels {'old':>16} {'new':>8} {'new - old':>10}")
        old, new = (measures(answers(network, shown[size]), taught, classes) for network in both)
        for name in old:
            print(line(name, old[name], new[name]))
        if options.features:
            print(line("nearest neighbour %", *(neighbours(network, options.features, size) for network in both)))


if __name__ == "__main__":
    main()
