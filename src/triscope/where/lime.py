"""LIME: a linear model of the score in terms of which superpixels are visible, fitted to random coalitions.

    least squares over coalitions z of  k(z) (S(z) - b - sum of w_i z_i)^2        the values are w

    lime       z by coin flips, k = exp(-d^2 / 0.25^2), d the cosine distance of z to all visible; a ridge penalty of 1
    shapley    z of size s with probability (n - 1) / (s (n - s)), in pairs with their complement, k = 1; b the score of
               the filled image, and the sum of w the difference to it: KernelSHAP, an estimate of Shapley values

**When it misleads.** The score is not linear: the note says how much of its variance the model explains, and where that
is little, the map means little. With the kernel of LIME, the penalty shrinks w towards zero, so that its scale means
little.

**References.** M. Ribeiro, S. Singh, C. Guestrin, "Why should I trust you? Explaining the predictions of any
classifier", KDD 2016. S. Lundberg, S.-I. Lee, "A unified approach to interpreting model predictions", NeurIPS 2017. I.
Covert, S.-I. Lee, "Improving KernelSHAP", AISTATS 2021 (pairs).

**Differences from the paper.** LIME first selects a few superpixels (by default, ten); ours keeps all of them.
"""

from collections.abc import Generator, Iterator
from typing import Annotated, Literal, TypeAlias

import torch
from torch import Tensor

from triscope.methods import BatchSize, ImagesArg, NetworkArg, ObjectiveArg, Range, Seed, Step, method
from triscope.objectives.units import TOP_CLASS
from triscope.where.fills import Fill
from triscope.where.superpixels import Coalition, Division, Game, SegmentHeatmap
from triscope.where.target import Target

Kernel: TypeAlias = Literal["lime", "shapley"]

_WIDTH = 0.25
_PENALTY = 1.0


@method("where")
def lime(
    network: NetworkArg,
    images: ImagesArg,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    samples: Annotated[int, Range(1, 1_000_000)] = 500,
    kernel: Kernel = "lime",
    segments: Annotated[int, Range(1, 10_000)] = 50,
    division: Division = "slic",
    fill: Fill = "grey",
    batch_size: BatchSize = 16,
    seed: Seed = 0,
) -> Generator[Step[SegmentHeatmap]]:
    """A linear model that predicts the score from which superpixels are visible (Ribeiro et al., 2016).

    Values (B, 1, H, W), signed, in units of the score: every pixel shows its superpixel's coefficient.

    samples       number of random subsets of superpixels that the model is fitted to
    kernel        how the subsets are drawn and weighted: lime, or shapley (KernelSHAP)
    segments      approximate number of superpixels in the image
    division      how superpixels are cut: along colours (slic), or as rectangles (grid)
    fill          what replaces a hidden superpixel: grey, black, the image's mean colour, a blurred copy of the image,
                  or its surroundings (inpainted)
    """
    target = Target.of(network, images, objective)
    game = Game.of(target, division, segments, fill)
    values = [torch.zeros(game.players(image), dtype=torch.float64) for image in range(len(target))]
    explained = [1.0] * len(target)
    for image in range(len(target)):
        for done, coefficients, part in _fitted(game, image, samples, kernel, batch_size, seed):
            values[image], explained[image] = coefficients, part
            notes = [f"The linear model explains {part:.0%} of the variance of the score." for part in explained]
            index, total = image * samples + done, samples * len(target)
            yield Step(index, total, float(target.scores.mean()), {}, game.result(SegmentHeatmap, values, notes))


def _fitted(
    game: Game, image: int, samples: int, kernel: Kernel, batch_size: int, seed: int
) -> Iterator[tuple[int, Tensor, float]]:
    """How many coalitions were evaluated, the coefficients so far, and how much of the variance they explain."""
    nothing, everything = game.ends(image)
    members: list[Tensor] = []
    scores: list[float] = []

    def coalitions() -> Iterator[Coalition[Tensor]]:
        for visible in drawn_coalitions(game.players(image), samples, kernel, seed):
            yield image, visible, visible

    for answered in game.ask(coalitions(), batch_size):
        members += [visible for visible, _ in answered]
        scores += [score for _, score in answered]
        visible, score = torch.stack(members).double(), torch.tensor(scores, dtype=torch.float64)
        if kernel == "lime":
            weights = lime_kernel(visible)
            values, start = ridge(visible, score, weights, _PENALTY)
        else:
            weights = torch.ones_like(score)
            values, start = constrained(visible, score - nothing, everything - nothing), nothing
        yield len(scores), values, _explained(score, visible @ values + start, weights)


def drawn_coalitions(players: int, count: int, kernel: Kernel, seed: int) -> Iterator[Tensor]:
    """`count` random coalitions (players,), from the distribution of the kernel."""
    generator = torch.Generator().manual_seed(seed)
    if kernel == "lime" or players < 2:
        for _ in range(count):
            yield torch.rand(players, generator=generator) < 0.5
        return
    sizes = torch.arange(1, players, dtype=torch.float64)
    chances = 1 / (sizes * (players - sizes))
    for number in range(count):
        if number % 2 == 0:
            size = 1 + int(torch.multinomial(chances, 1, generator=generator))
            visible = torch.zeros(players, dtype=torch.bool)
            visible[torch.randperm(players, generator=generator)[:size]] = True
        else:
            visible = ~visible
        yield visible


def lime_kernel(visible: Tensor) -> Tensor:
    """The weights (m,) of coalitions (m, n), by their cosine distance to the full one."""
    cosine = (visible.sum(1) / visible.shape[1]).sqrt()
    return (-((1 - cosine) ** 2) / _WIDTH**2).exp()


def ridge(members: Tensor, scores: Tensor, weights: Tensor, penalty: float) -> tuple[Tensor, float]:
    """Coefficients (n,) and intercept of weighted ridge regression of scores (m,) on members (m, n)."""
    share = weights / weights.sum()
    middle, level = share @ members, share @ scores
    centred = members - middle
    square = centred.T @ (weights[:, None] * centred) + penalty * torch.eye(members.shape[1], dtype=members.dtype)
    values = torch.linalg.solve(square, centred.T @ (weights * (scores - level)))
    return values, float(level - middle @ values)


def constrained(members: Tensor, gains: Tensor, total: float) -> Tensor:
    """Coefficients (n,) of least squares of gains (m,) on members (m, n) that sum to `total`."""
    inverse = torch.linalg.pinv(members.T @ members, hermitian=True)
    free: Tensor = inverse @ (members.T @ gains)
    ones = inverse.sum(1)
    short = total - free.sum()
    if float(ones.sum()) <= 0:
        return free + short / len(free)
    return free.addcmul(ones, short / ones.sum())


def _explained(scores: Tensor, fitted: Tensor, weights: Tensor) -> float:
    """The part of the weighted variance of the scores that the model explains; 1 where the variance is zero."""
    level = (weights @ scores) / weights.sum()
    whole = float(weights @ (scores - level).square())
    return 1 - float(weights @ (scores - fitted).square()) / whole if whole else 1.0
