"""Faithfulness: whether the score changes as the map predicts when pixels are changed.

    insertion       area under the score as pixels of the image are inserted, the strongest first     higher is better
    deletion        area under the score as pixels are deleted, the strongest first                   lower is better
    ROAD            score with the weakest pixels imputed, minus with the strongest                   higher is better
    infidelity      mean squared error of the map as a prediction of how the score changes            lower is better
    sensitivity-n   correlation of the map's sum over n pixels with the fall of the score without them  higher is better

For a class, the score is its probability. Other units have no natural scale: their curves are normalised to run from 0
to 1, between the score of the reference and that of the image.

**When they mislead.** What replaces a pixel is a choice: grey areas do not occur in the training images, and the score
may fall for that reason alone (ROAD's imputation avoids this, and blur reduces it). Insertion and deletion depend only
on the order of the pixels, infidelity and sensitivity-n on the values of the map.

**References.** V. Petsiuk, A. Das, K. Saenko, "RISE", BMVC 2018 (insertion, deletion). Y. Rong et al., "A consistent
and efficient evaluation strategy for attribution methods", ICML 2022 (ROAD). C.-K. Yeh et al., "On the (in)fidelity and
sensitivity of explanations", NeurIPS 2019. M. Ancona et al., "Towards better understanding of gradient-based
attribution methods", ICLR 2018 (sensitivity-n).
"""

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from triscope.metrics.maps import correlation, ranking
from triscope.metrics.perturbed import Subject, mixed
from triscope.where.fills import filled

Reference: TypeAlias = Literal["blur", "grey"]

_ROAD_SHARES = (0.2, 0.4, 0.6, 0.8)
_ROAD_NOISE = 0.01


def insertion(subject: Subject, values: Tensor, *, steps: int = 28, reference: Reference = "blur") -> float:
    """Area under the insertion curve of a map (H, W): pixels are inserted into the reference, the strongest first.

    In [0, 1] for a class; otherwise see the module's docstring.
    """
    return _area(subject, curve(subject, values, steps=steps, reference=reference, insert=True))


def deletion(subject: Subject, values: Tensor, *, steps: int = 28, reference: Reference = "grey") -> float:
    """Area under the deletion curve of a map (H, W): pixels are replaced by the reference, the strongest first.

    In [0, 1] for a class; otherwise see the module's docstring.
    """
    return _area(subject, curve(subject, values, steps=steps, reference=reference, insert=False))


def curve(subject: Subject, values: Tensor, *, steps: int, reference: Reference, insert: bool) -> Tensor:
    """The scores (steps + 1,) with the fractions 0, 1/steps, ..., 1 of the pixels exchanged, the strongest first."""
    other = filled(subject.image[None], reference)[0]
    start, goal = (other, subject.image) if insert else (subject.image, other)
    order = ranking(values)

    def images() -> Iterator[Tensor]:
        for step in range(steps + 1):
            yield mixed(start, goal, _first_pixels(order, round(step / steps * len(order)), values))

    return subject.scores(images())


def road(subject: Subject, values: Tensor, *, shares: Sequence[float] = _ROAD_SHARES, seed: int = 0) -> float:
    """ROAD: half the score with the weakest pixels imputed minus with the strongest, averaged over `shares` of pixels.

    Removed pixels get the noisy mean of their neighbours (noisy linear imputation), so that the result looks natural.
    About 0 for a random map; in [-0.5, 0.5] for a probability.
    """
    order = ranking(values)
    generator = torch.Generator().manual_seed(seed)

    def images() -> Iterator[Tensor]:
        for share in shares:
            count = round(share * len(order))
            for strongest in (True, False):
                removed = _first_pixels(order if strongest else order.flip(0), count, values)
                yield imputed(subject.image, removed, generator)

    scores = subject.scores(images()).view(-1, 2)
    return float((scores[:, 1] - scores[:, 0]).mean() / 2)


def imputed(image: Tensor, removed: Tensor, generator: torch.Generator, noise: float = _ROAD_NOISE) -> Tensor:
    """The image (C, H, W) with the pixels in `removed` (H, W) replaced by the weighted mean of their neighbours.

    Direct neighbours have the weight 1/6, diagonal ones 1/12, as in the paper; the linear system is solved exactly
    (sparse LU). `noise` is the standard deviation of the Gaussian noise that is added.
    """
    if not bool(removed.any()):
        return image
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import spsolve

    rows, cols = removed.shape
    place = torch.full((rows, cols), -1, dtype=torch.long)
    place[removed] = torch.arange(int(removed.sum()))
    at = removed.nonzero()
    count = len(at)
    weights, lines, columns = [torch.ones(count, dtype=torch.float64)], [torch.arange(count)], [torch.arange(count)]
    known = torch.zeros(count, len(image), dtype=torch.float64)
    total = torch.zeros(count, dtype=torch.float64)
    parts: list[tuple[Tensor, Tensor, float]] = []
    for down, across in ((a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)):
        weight = 1 / 6 if 0 in (down, across) else 1 / 12
        r, c = at[:, 0] + down, at[:, 1] + across
        inside = (r >= 0) & (r < rows) & (c >= 0) & (c < cols)
        total[inside] += weight
        line, r, c = torch.arange(count)[inside], r[inside], c[inside]
        gone = removed[r, c]
        parts.append((line[gone], place[r[gone], c[gone]], weight))
        known.index_add_(0, line[~gone], weight * image[:, r[~gone], c[~gone]].T.double().cpu())
    for line, column, weight in parts:
        lines.append(line)
        columns.append(column)
        weights.append(-weight / total[line])
    known /= total[:, None]
    matrix = csr_matrix(
        (torch.cat(weights).numpy(), (torch.cat(lines).numpy(), torch.cat(columns).numpy())), shape=(count, count)
    )
    solved = torch.from_numpy(spsolve(matrix, known.numpy())).view(count, len(image))
    solved += noise * torch.randn(solved.shape, generator=generator, dtype=solved.dtype)
    made = image.clone()
    made[:, removed] = solved.T.to(image)
    return made.clamp(0, 1)


def infidelity(subject: Subject, values: Tensor, *, samples: int = 32, spread: float = 0.2, seed: int = 0) -> float:
    """The relative error of a map (H, W) as a linear prediction of how the score changes under noise: 0 to 1.

    E (b I . phi - (f(x) - f(x - I)))^2 over Gaussian I, the same in all channels, divided by E (f(x) - f(x - I))^2; b
    is the factor that minimises it. 0 for a perfect linear model, 1 for one without any information.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = spread * torch.randn(samples, *values.shape, generator=generator, dtype=torch.float64)
    moved = (subject.image[None].double().cpu() - noise[:, None]).clamp(0, 1).to(subject.image)
    change = subject.scores([subject.image]) - subject.scores(moved)
    predicted = ((subject.image[None].double().cpu() - moved.double().cpu()).mean(1) * values.cpu()).flatten(1).sum(1)
    if not float(change.square().sum()):
        return 0.0
    size = float(predicted.square().sum())
    scale = float((predicted * change).sum() / predicted.square().sum()) if size else 0.0
    return float((scale * predicted - change).square().mean() / change.square().mean())


def sensitivity_n(
    subject: Subject,
    values: Tensor,
    *,
    sizes: Sequence[float] = (0.02, 0.1, 0.3),
    samples: int = 16,
    cells: int = 14,
    reference: Reference = "grey",
    seed: int = 0,
) -> float:
    """The correlation of a map's sum over random regions with the fall of the score when they are removed: -1 to 1.

    A region is a random set of cells of a grid of `cells` by `cells`. `sizes` are the fractions of the cells in a
    region; the correlation over `samples` regions is averaged over sizes.
    """
    generator = torch.Generator().manual_seed(seed)
    other = filled(subject.image[None], reference)[0]
    rows, cols = values.shape
    down = torch.arange(rows) * cells // rows
    across = torch.arange(cols) * cells // cols
    cell = down[:, None] * cells + across
    whole = subject.scores([subject.image])
    found = []
    for size in sizes:
        chosen = [
            torch.isin(cell, torch.randperm(cells**2, generator=generator)[: max(1, round(size * cells**2))])
            for _ in range(samples)
        ]
        falls = whole - subject.scores(mixed(subject.image, other, taken) for taken in chosen)
        sums = torch.stack([values[taken].sum() for taken in chosen])
        found.append(correlation(sums, falls))
    return sum(found) / len(found)


def _first_pixels(order: Tensor, count: int, like: Tensor) -> Tensor:
    """A mask (H, W) of the first `count` pixels of an order; `like` has its shape."""
    taken = torch.zeros(len(order), dtype=torch.bool)
    taken[order[:count]] = True
    return taken.view(like.shape)


def _area(subject: Subject, scores: Tensor) -> float:
    """The area under a curve over [0, 1]. Scores that are not probabilities are scaled so that the ends are 0 and 1."""
    if getattr(subject.objective, "form", "") != "probability":
        low, high = sorted((float(scores[0]), float(scores[-1])))
        scores = (scores - low) / (high - low) if high > low else torch.zeros_like(scores)
    return float(torch.trapezoid(scores, dx=1 / (len(scores) - 1)))
