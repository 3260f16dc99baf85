"""Shapley values of superpixels: what each adds to the score, averaged over every order in which they may appear.

    value of i = mean over orders of  S(those before i, and i) - S(those before i)

The values of an image sum to its score less that of the filled image (efficiency). There are n! orders, so that a
sample of them is taken. Each comes with its reverse, whose error is often the opposite one; the standard error of the
mean over these pairs is in the result. Where all 2^n coalitions cost no more than the sample, all are evaluated and
the values are exact.

**When it misleads.** Values depend on how the image is divided and on what replaces a hidden superpixel. Most
coalitions are images unlike any photo.

**References.** L. Shapley, "A value for n-person games", 1953. J. Castro, D. Gómez, J. Tejada, "Polynomial calculation
of the Shapley value based on sampling", 2009. R. Mitchell et al., "Sampling permutations for Shapley value estimation",
JMLR 2022 (antithetic pairs).
"""

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Annotated

import torch
from torch import Tensor

from triscope.methods import BatchSize, ImagesArg, NetworkArg, ObjectiveArg, Range, Seed, Step, method
from triscope.objectives.units import TOP_CLASS
from triscope.results.batch import PerImage
from triscope.where.fills import Fill
from triscope.where.superpixels import Coalition, Division, Game, SegmentHeatmap
from triscope.where.target import Target


@dataclass(frozen=True, eq=False)
class ShapleyHeatmap(SegmentHeatmap):
    """Shapley values of superpixels.

    `errors` (B, 1, H, W) are their standard errors: zero where values are exact, infinite after one sample alone.
    """

    errors: PerImage[Tensor] = field(kw_only=True)


@method("where")
def shapley(
    network: NetworkArg,
    images: ImagesArg,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    orders: Annotated[int, Range(2, 100_000)] = 16,
    segments: Annotated[int, Range(1, 10_000)] = 50,
    division: Division = "slic",
    fill: Fill = "grey",
    batch_size: BatchSize = 16,
    seed: Seed = 0,
) -> Generator[Step[ShapleyHeatmap]]:
    """What each superpixel adds to the score when superpixels appear one by one, averaged over random orders (Shapley,
    1953).

    Values (B, 1, H, W), signed, in units of the score: every pixel shows its superpixel's value. Over superpixels they
    sum to the score minus that of the filled image. `errors` are their standard errors.

    orders        number of random orders, in pairs of an order and its reverse; the error falls with the square root of
                  this number
    segments      approximate number of superpixels in the image
    division      how superpixels are cut: along colours (slic), or as rectangles (grid)
    fill          what replaces a hidden superpixel: grey, black, the image's mean colour, a blurred copy of the image,
                  or its surroundings (inpainted)
    """
    target = Target.of(network, images, objective)
    game = Game.of(target, division, segments, fill)
    pairs = orders // 2
    costs = [_cost(game.players(image), pairs) for image in range(len(target))]
    values = [torch.zeros(game.players(image), dtype=torch.float64) for image in range(len(target))]
    errors = [torch.full_like(value, math.inf) for value in values]
    notes = [_note(len(value), pairs) for value in values]
    for image in range(len(target)):
        exact = _is_exact(game.players(image), pairs)
        shares = _exact(game, image, batch_size) if exact else _sampled(game, image, pairs, batch_size, seed)
        for done, values[image], errors[image] in shares:
            index = sum(costs[:image]) + done
            result = game.result(ShapleyHeatmap, values, notes, errors=game.painted(errors))
            yield Step(index, sum(costs), float(target.scores.mean()), {}, result)


def _is_exact(players: int, pairs: int) -> bool:
    """Whether all coalitions cost no more than the sample of orders does."""
    return players < 30 and 2**players <= 2 * pairs * (players - 1) + 2


def _cost(players: int, pairs: int) -> int:
    """How many coalitions are evaluated, besides the empty and the full one."""
    return max(1, 2**players - 2) if _is_exact(players, pairs) else 2 * pairs * (players - 1)


def _sampled(game: Game, image: int, pairs: int, batch_size: int, seed: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """How many coalitions were evaluated, the mean over the pairs of orders so far, and their standard errors."""
    players = game.players(image)
    generator = torch.Generator().manual_seed(seed)
    ways = [order for _ in range(pairs) for order in _pair(torch.randperm(players, generator=generator))]
    nothing, everything = game.ends(image)

    def coalitions() -> Iterator[Coalition[None]]:
        for order in ways:
            visible = torch.zeros(players, dtype=torch.bool)
            for player in order[:-1]:
                visible[player] = True
                yield image, visible.clone(), None

    done, pending, means = 0, [nothing], list[Tensor]()
    gains: list[Tensor] = []
    for answered in game.ask(coalitions(), batch_size):
        for _, score in answered:
            pending.append(score)
            if len(pending) == players:  # an order is complete
                order = ways[2 * len(means) + len(gains)]
                gains.append(torch.tensor([*pending, everything], dtype=torch.float64).diff()[order.argsort()])
                pending = [nothing]
            if len(gains) == 2:
                means.append((gains[0] + gains[1]) / 2)
                gains = []
        done += len(answered)
        yield done, *_mean_and_error(torch.stack(means or gains or [torch.zeros(players, dtype=torch.float64)]))


def _mean_and_error(samples: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of samples (m, n), and its standard error, infinite where there is but one."""
    error = samples.std(0) / len(samples) ** 0.5 if len(samples) > 1 else torch.full_like(samples[0], math.inf)
    return samples.mean(0), error


def _pair(order: Tensor) -> tuple[Tensor, Tensor]:
    return order, order.flip(0)


def _exact(game: Game, image: int, batch_size: int) -> Iterator[tuple[int, Tensor, Tensor]]:
    """The values by their definition, once every coalition has its score."""
    players = game.players(image)
    nothing, everything = game.ends(image)
    members = torch.arange(2**players)[:, None] >> torch.arange(players) & 1
    scores = torch.full((2**players,), math.nan, dtype=torch.float64)
    scores[0], scores[-1] = nothing, everything
    done = 0
    coalitions = ((image, members[number].bool(), number) for number in range(1, 2**players - 1))
    for answered in game.ask(coalitions, batch_size):
        for number, score in answered:
            scores[number] = score
        done += len(answered)
        if done < 2**players - 2:
            yield done, torch.zeros(players, dtype=torch.float64), torch.full((players,), math.inf)
    sizes = members.sum(1)
    chances = [1 / (players * math.comb(players - 1, size)) for size in range(players)]
    shares = torch.tensor([*chances, 0.0], dtype=torch.float64)[sizes]
    values = [
        ((scores[members[:, one] == 1] - scores[members[:, one] == 0]) * shares[members[:, one] == 0]).sum()
        for one in range(players)
    ]
    yield max(done, 1), torch.stack(values), torch.zeros(players, dtype=torch.float64)


def _note(players: int, pairs: int) -> str:
    how = "exact" if _is_exact(players, pairs) else f"estimated from {2 * pairs} orders"
    return f"{players} superpixels; values are {how}."
