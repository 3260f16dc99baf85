"""Evaluate a weights file of the pocket network: all figures of docs/pocket.md.

    python -m training.pocket.evaluate --labelled DIR --teacher squeezenet1_1.safetensors --features DIR --show cat.png

Images are resized so that the short side has the given size, then centre-cropped.
"""

import argparse
import csv
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from training.distillation.photos import centre
from training.distillation.teacher import Teacher, normalise
from triscope.network.loading.pocket import SIZE, PocketAlexNet, expand, load_pocket, weights_path

TEACHER_SIZE = 224


def squares(files: Iterable[Path], size: int) -> Tensor:
    """Centre crops of image files: uint8 (B, 3, size, size)."""
    return torch.stack([centre(Image.open(file).convert("RGB"), size) for file in files])


@torch.inference_mode()
def answers(network: torch.nn.Module, pixels: Tensor) -> Tensor:
    """Logits (B, 1000)."""
    return torch.cat([network(normalise(part)) for part in pixels.split(50)])


def accuracy(logits: Tensor, classes: Tensor) -> str:
    """Top-1 and top-5 accuracy as text."""
    hits = logits.topk(5, dim=1).indices == classes[:, None]
    return f"top-1 {hits[:, 0].float().mean():6.1%}  top-5 {hits.any(dim=1).float().mean():6.1%}"


def neighbours(network: PocketAlexNet, folder: Path, size: int) -> Tensor:
    """Whether each image's nearest other image is in its folder (N,): last hidden layer, centred, cosine."""
    files = sorted(file for file in folder.glob("*/*") if file.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    names = sorted({file.parent.name for file in files})
    labels = torch.tensor([names.index(file.parent.name) for file in files])
    hidden = torch.nn.Sequential(network.features, network.avgpool, torch.nn.Flatten(), *network.classifier[:6])
    features = answers(hidden, squares(files, size))
    features = F.normalize(features - features.mean(dim=0), dim=1)
    similarity = (features @ features.T).fill_diagonal_(-1)
    return labels[similarity.argmax(dim=1)] == labels


def dead_filters(network: PocketAlexNet) -> int:
    """First-layer filters whose norm is below a tenth of the median."""
    norms = network.features[0].weight.flatten(1).norm(dim=1)
    return int((norms < norms.median() / 10).sum())


@torch.inference_mode()
def milliseconds(network: PocketAlexNet, size: int, times: int = 30) -> float:
    """The median time of one image's forward pass."""
    image = torch.randn(1, 3, size, size)
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        network(image)
        taken.append(time.perf_counter() - start)
    return 1000 * sorted(taken)[times // 2]


def load(weights: Path) -> PocketAlexNet:
    """The network of a weights file."""
    network = PocketAlexNet()
    network.load_state_dict(expand(load_file(weights)))
    return network.eval()


def arguments() -> argparse.Namespace:
    """The parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=weights_path(), help="default: the bundled file")
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 128, 160, SIZE])
    parser.add_argument("--labelled", type=Path, help="folder of images and labels.csv with columns file, class_index")
    parser.add_argument("--teacher", type=Path, help="SqueezeNet 1.1 as safetensors, to measure agreement")
    parser.add_argument("--features", type=Path, help="image folders, one per class, for nearest neighbours")
    parser.add_argument("--show", type=Path, nargs="+", default=[], help="images to classify")
    return parser.parse_args()


def main() -> None:
    """Print the measures asked for."""
    options = arguments()
    torch.set_num_threads(2)
    start = time.perf_counter()
    load_pocket()
    print(f"bundled file: {weights_path().stat().st_size / 1e6:.2f} MB, loads in {time.perf_counter() - start:.3f} s")
    network = load(options.weights)
    print(f"{options.weights.name}: {dead_filters(network)} of 64 first-layer filters are dead")
    print(f"forward pass of one picture at {SIZE}: {milliseconds(network, SIZE):.1f} ms")
    if options.labelled:
        report_accuracy(network, options)
    if options.features:
        for size in options.sizes:
            print(f"{size:4}: nearest neighbour {neighbours(network, options.features, size).float().mean():6.1%}")
    for file in options.show:
        best = answers(network, squares([file], SIZE)).softmax(dim=1)[0].topk(5)
        print(file.name, *(f"{int(c)}:{p:.0%}" for p, c in zip(best.values, best.indices, strict=True)))


def report_accuracy(network: PocketAlexNet, options: argparse.Namespace) -> None:
    """Accuracy at each size, top-1 agreement with the teacher, and KL divergence at temperature 2."""
    with (options.labelled / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    files = [options.labelled / row["file"] for row in rows]
    classes = torch.tensor([int(row["class_index"]) for row in rows])
    taught = answers(Teacher(options.teacher).network, squares(files, TEACHER_SIZE)) if options.teacher else None
    if taught is not None:
        print(f"teacher at {TEACHER_SIZE}: {accuracy(taught, classes)}")
    for size in options.sizes:
        logits = answers(network, squares(files, size))
        line = f"{size:4}: {accuracy(logits, classes)}"
        if taught is not None:
            line += f"  agrees with the teacher {(logits.argmax(1) == taught.argmax(1)).float().mean():6.1%}"
            apart = F.kl_div((logits / 2).log_softmax(1), (taught / 2).softmax(1), reduction="batchmean")
            line += f"  divergence {apart:.2f}"
        print(line)


if __name__ == "__main__":
    main()
