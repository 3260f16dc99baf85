"""Sanity: whether the map depends on what it claims to explain - the weights, the class, the very image.

    randomisation    Spearman's correlation with the map of a network whose weights are random, from the last layer
                     down (cascading) or one layer at a time (independent)                          lower is better
    class            Spearman's correlation with the map of another class                           lower is better
    max-sensitivity  the largest relative change of the map under small noise on the image          lower is better

**When they mislead.** A map of another class may rightly be alike, where both classes look at the same thing. Random
weights change the scale of maps, which a rank correlation does not see; edges of the image stay in maps for any
weights.

**References.** J. Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018; A. Hedstroem et al., "Sanity checks
revisited", 2024 (evaluation over all layers). C.-K. Yeh et al., 2019 (max-sensitivity).
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from triscope.metrics.maps import rank_correlation
from triscope.network import Network

#: Gives the map (H, W) of an image (C, H, W) by a network.
Explain: TypeAlias = Callable[[Network, Tensor], Tensor]
Order: TypeAlias = Literal["cascading", "independent"]

_STAGES = 4


def randomisation(
    explain: Explain,
    network: Network,
    image: Tensor,
    values: Tensor,
    *,
    order: Order = "cascading",
    seed: int = 0,
    networks: Iterable[Network] | None = None,
) -> float:
    """The mean correlation of a map (H, W) with those of the same network with random weights, at several depths.

    `networks` are those of `randomised`, where they were made before.
    """
    changed = randomised(network, order=order, seed=seed) if networks is None else networks
    found = [abs(rank_correlation(values, explain(one, image))) for one in changed]
    return sum(found) / len(found)


def randomised(network: Network, *, order: Order = "cascading", seed: int = 0) -> Iterator[Network]:
    """The network with random weights in its last layers, and ever earlier ones (cascading), or in one at a time.

    A weight is replaced by a normal number of the spread that the layer's weights have. Yields at most a handful of
    networks, evenly from the last layer to the first.
    """
    parts = [path for path, part in network.module.named_modules() if any(True for _ in part.parameters(recurse=False))]
    ends = sorted({round((stage + 1) * len(parts) / _STAGES) for stage in range(_STAGES)} - {0})
    generator = torch.Generator().manual_seed(seed)
    module = copy.deepcopy(network.module)
    done = 0
    for end in ends:
        chosen = parts[len(parts) - end : len(parts) - done] if order == "cascading" else [parts[len(parts) - end]]
        module = module if order == "cascading" else copy.deepcopy(network.module)
        for path in chosen:
            _randomise(module.get_submodule(path), generator)
        done = end
        yield Network(copy.deepcopy(module), **network.settings)


@torch.no_grad()
def _randomise(part: nn.Module, generator: torch.Generator) -> None:
    for weight in part.parameters(recurse=False):
        spread = float(weight.float().std()) if weight.numel() > 1 else 0.0
        made = torch.randn(weight.shape, generator=generator) * (spread or 0.02)
        weight.copy_(made if weight.ndim > 1 else weight.float().mean() + made)


def class_correlation(values: Tensor, other: Tensor) -> float:
    """Spearman's correlation of the maps (H, W) of two classes: near 1, the map is no explanation of either."""
    return rank_correlation(values, other)


def max_sensitivity(
    explain: Explain,
    network: Network,
    image: Tensor,
    values: Tensor,
    *,
    samples: int = 4,
    radius: float = 0.02,
    seed: int = 0,
) -> float:
    """The largest |phi(x + e) - phi(x)| / |phi(x)| over uniform noise e of at most `radius` per pixel."""
    generator = torch.Generator().manual_seed(seed)
    length = float(values.norm()) or 1.0
    worst = 0.0
    for _ in range(samples):
        noise = radius * (2 * torch.rand(image.shape, generator=generator, dtype=torch.float64) - 1)
        moved = (image.double().cpu() + noise).clamp(0, 1).to(image)
        worst = max(worst, float((explain(network, moved) - values).norm()) / length)
    return worst
