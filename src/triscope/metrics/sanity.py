"""Sanity checks: whether the map depends on the weights and the class, and is stable under noise.

    randomisation    Spearman's correlation with the map of the network with random weights, from the last layer
                     down (cascading) or in one layer at a time (independent)                       lower is better
    class            Spearman's correlation with the map of another class                           lower is better
    max-sensitivity  the largest relative change of the map under small noise on the image          lower is better

**When they mislead.** Maps of two classes may rightly be similar, where both depend on the same object. Random weights
change the scale of maps, to which a rank correlation is invariant; edges of the image remain in maps for any weights.

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

#: Computes the map (H, W) of an image (C, H, W) for a network.
Explain: TypeAlias = Callable[[Network, Tensor], Tensor]
Order: TypeAlias = Literal["cascading", "independent"]

_STAGES = 4  # networks at most, at equal distances from the last layer to the first


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
    """The mean absolute rank correlation of a map (H, W) with maps of the network with random weights.

    In [0, 1]. `networks` are those of `randomised`, if they were made before; then `order` and `seed` have no effect.
    """
    changed = randomised(network, order=order, seed=seed) if networks is None else networks
    found = [abs(rank_correlation(values, explain(one, image))) for one in changed]
    return sum(found) / len(found)


def randomised(network: Network, *, order: Order = "cascading", seed: int = 0) -> Iterator[Network]:
    """Copies of the network with random weights from the last layer down to ever earlier ones, or in one layer each.

    Weights are replaced by normal random numbers of the same standard deviation; parameters with one axis, such as
    biases, also keep their mean. Yields at most four networks, at equal distances from the last layer to the first.
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
    """Spearman's correlation of the maps (H, W) of two classes: near 1, the map does not explain the class."""
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
    """The largest |phi(x + e) - phi(x)| / |phi(x)| over `samples` of uniform noise e of at most `radius` per pixel."""
    generator = torch.Generator().manual_seed(seed)
    length = float(values.norm()) or 1.0
    worst = 0.0
    for _ in range(samples):
        noise = radius * (2 * torch.rand(image.shape, generator=generator, dtype=torch.float64) - 1)
        moved = (image.double().cpu() + noise).clamp(0, 1).to(image)
        worst = max(worst, float((explain(network, moved) - values).norm()) / length)
    return worst
