"""Evaluate a network's saliency: faithfulness by deletion and insertion, and agreement with the teacher's SmoothGrad.

    python -m training.pocket.gradients OLD.safetensors NEW.safetensors --photos PHOTOS --teacher TEACHER.safetensors

On held-out photos, for the class that the teacher ranks first. The saliency (|gradient| of the logit, maximum over
colour channels) is summed into 14 x 14 cells.

    deletion     mean class probability, relative to that of the full image, while cells are replaced by a blurred copy,
                 the most salient first (Petsiuk et al., 2018, "RISE"): lower is better
    insertion    the same while cells of the image are inserted into the blurred copy: higher is better
    smoothgrad   rank correlation of the cells with those of the teacher's SmoothGrad (Smilkov et al., 2017)
    rough        share of the gradient's energy above a quarter of the sampling rate: how noisy it looks

Probabilities for insertion and deletion are the teacher's: it is more accurate, and its confidence does not depend on
the weights file. Cells in random order are the baseline.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.distillation.photos import centre, read_held_out
from training.distillation.teacher import Teacher, normalise
from training.pocket.compare import paired
from training.pocket.evaluate import TEACHER_SIZE, load

CELL = 16
STAGES = 14
TOGETHER = 16
NOISES, SPREAD = 12, 0.15  # of SmoothGrad; the spread as a share of the range of pixel values
BLUR = 15  # half the width, in pixels, of the box filter that blurs deleted cells (applied twice)


def gradients(network: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Gradients of the logit of each image's class: (B, 3, H, W), like the images, which are normalised."""
    leaf = images.detach().requires_grad_()
    scores = network(leaf).gather(1, classes[:, None]).sum()
    (found,) = torch.autograd.grad(scores, leaf)
    return found


def cells(saliency: Tensor) -> Tensor:
    """Saliency (B, H, W) summed into cells: (B, N)."""
    return F.avg_pool2d(saliency[:, None], CELL).flatten(1)


def smoothgrad(network: nn.Module, images: Tensor, classes: Tensor, seed: int = 0) -> Tensor:
    """The mean gradient over noisy copies of the images, maximum |value| over colour channels: (B, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    spread = SPREAD * float(images.max() - images.min())
    total = torch.zeros_like(images)
    for _ in range(NOISES):
        total += gradients(network, images + spread * torch.randn(images.shape, generator=generator), classes)
    return total.abs().amax(dim=1)


def rank_correlation(one: Tensor, other: Tensor) -> Tensor:
    """Spearman's, of each row: (B,)."""
    ranks = [part.argsort(dim=1).argsort(dim=1).double() for part in (one, other)]
    return F.cosine_similarity(*(part - part.mean(dim=1, keepdim=True) for part in ranks), dim=1)


def blurred(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) blurred by applying a box filter twice."""
    for _ in range(2):
        images = F.avg_pool2d(F.pad(images, (BLUR,) * 4, mode="reflect"), 2 * BLUR + 1, stride=1)
    return images


@torch.no_grad()
def kept(judge: nn.Module, images: Tensor, classes: Tensor, order: Tensor, *, insert: bool) -> Tensor:
    """The judge's mean relative class probability during deletion or insertion in `order` (B, N): (B,)."""
    away, side, count = blurred(images), images.shape[-1] // CELL, order.shape[1]
    places = order.argsort(dim=1).view(-1, 1, side, side)
    whole = judge(images).softmax(dim=1).gather(1, classes[:, None])[:, 0]
    shares = []
    for stage in range(1, STAGES):
        chosen = F.interpolate((places < stage * count / STAGES).float(), scale_factor=CELL)
        mask = chosen if insert else 1 - chosen
        shown = mask * images + (1 - mask) * away
        shares.append(judge(shown).softmax(dim=1).gather(1, classes[:, None])[:, 0] / whole)
    return torch.stack(shares).mean(dim=0)


def rough(gradient: Tensor) -> Tensor:
    """The share of the energy of gradients (B, 3, H, W) above a quarter of the sampling rate: (B,)."""
    power = torch.fft.fft2(gradient).abs().square().sum(dim=1)
    rates = [torch.fft.fftfreq(side) for side in gradient.shape[-2:]]
    high = (rates[0][:, None].square() + rates[1].square()).sqrt() > 0.25
    return (power * high).sum(dim=(1, 2)) / power.sum(dim=(1, 2))


def measures(
    network: nn.Module, judge: nn.Module, images: Tensor, classes: Tensor, wanted: Tensor
) -> dict[str, Tensor]:
    """The measures of a batch, each (B,); `wanted` (B, N) holds the cells of the teacher's SmoothGrad."""
    found = gradients(network, images, classes)
    salient = cells(found.abs().amax(dim=1))
    order = salient.argsort(dim=1, descending=True)
    return {
        "deletion": kept(judge, images, classes, order, insert=False),
        "insertion": kept(judge, images, classes, order, insert=True),
        "smoothgrad": rank_correlation(salient, wanted),
        "rough": rough(found),
    }


def main() -> None:
    """Print a column for each file, and the difference between the last and the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--photos", type=Path, required=True, help="folder of tars with index.csv")
    parser.add_argument("--teacher", type=Path, required=True, help="SqueezeNet 1.1 as safetensors")
    parser.add_argument("--held-out", type=int, default=500, help="number of held-out photos, as in training")
    parser.add_argument("--count", type=int, default=64, help="number of held-out photos to use")
    options = parser.parse_args()
    torch.set_num_threads(1)
    judge = Teacher(options.teacher).network
    held_out = read_held_out(options.photos, options.held_out).images
    photos = held_out[:: max(1, len(held_out) // options.count)][: options.count]
    images = normalise(torch.stack([centre(image, TEACHER_SIZE) for image in photos]))
    with torch.no_grad():
        classes = torch.cat([judge(part).argmax(dim=1) for part in images.split(TOGETHER)])
    asked = list(zip(images.split(TOGETHER), classes.split(TOGETHER), strict=True))
    wanted = [cells(smoothgrad(judge, *part)) for part in asked]
    generator = torch.Generator().manual_seed(0)
    orders = [torch.rand(part.shape, generator=generator).argsort(dim=1) for part in wanted]
    for name, insert in (("deletion", False), ("insertion", True)):
        shares = [kept(judge, *part, order, insert=insert) for part, order in zip(asked, orders, strict=True)]
        print(f"{name} in random order: {torch.cat(shares).mean():.3f}")
    tables = []
    for file in options.weights:
        network = load(file)
        rows = [measures(network, judge, *part, goal) for part, goal in zip(asked, wanted, strict=True)]
        tables.append({name: torch.cat([row[name] for row in rows]) for name in rows[0]})
    for name in tables[0]:
        means = "".join(f" {table[name].mean():8.3f}" for table in tables)
        mean, half = paired(tables[0][name], tables[-1][name])
        print(f"{name:12}{means}   last - first {mean:+.3f} ± {half:.3f}")


if __name__ == "__main__":
    main()
