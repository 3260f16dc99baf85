"""The weights of class activation maps: one for each map of a layer (B, C, 1, 1), or for each position (B, C, h, w).

See `triscope.where.cam` for the formulas and where they come from.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from triscope.errors import NetworkError
from triscope.network import Network
from triscope.render import resize
from triscope.where.cam_layers import LayerMaps
from triscope.where.target import Changed, Target, in_batches, without_gradients

Weighting: TypeAlias = Literal["gradient", "gradient++", "hires", "layer", "ablation", "score", "eigen"]

_TINY = 1e-6  # keeps the quotient of Grad-CAM++ finite


def weights_of(kind: Weighting, target: Target, maps: LayerMaps, batch: int) -> Iterator[tuple[int, int, Tensor]]:
    """The weights, step by step: how many maps are weighted, of how many, and the weights so far."""
    if kind in _FROM_GRADIENTS:
        yield 1, 1, _FROM_GRADIENTS[kind](maps.activations, maps.gradients)
        return
    total = maps.activations.shape[:2].numel()
    scores = torch.full((total,), -torch.inf).to(target.scores)
    answers = _without_each(target, maps, batch) if kind == "ablation" else _masked_by_each(target, maps, batch)
    done = 0
    for found in answers:
        scores = torch.cat([scores[:done], found, scores[done + len(found) :]])
        done += len(found)
        yield done, total, _FROM_SCORES[kind](scores.view(len(target), -1), target.scores[:, None])[..., None, None]


def grad_cam_weights(activations: Tensor, gradients: Tensor) -> Tensor:
    """The mean gradient of each map (Selvaraju et al., 2017, equation 1)."""
    del activations
    return gradients.mean((2, 3), keepdim=True)


def grad_cam_pp_weights(activations: Tensor, gradients: Tensor) -> Tensor:
    """Positive gradients, weighted at each position (Chattopadhay et al., 2018, equations 10 and 19)."""
    square = gradients.square()
    share = square / (2 * square + activations.sum((2, 3), keepdim=True) * square * gradients + _TINY)
    return (share.where(gradients != 0, 0) * gradients.relu()).sum((2, 3), keepdim=True)


def hires_weights(activations: Tensor, gradients: Tensor) -> Tensor:
    """The gradient at each position (Draelos and Carin, 2020)."""
    del activations
    return gradients


def layer_cam_weights(activations: Tensor, gradients: Tensor) -> Tensor:
    """The positive gradient at each position (Jiang et al., 2021)."""
    del activations
    return gradients.relu()


def eigen_weights(activations: Tensor, gradients: Tensor) -> Tensor:
    """The first right singular vector of the activations as positions x channels (Muhammad and Yeasin, 2020).

    The sign, which a singular vector leaves open, is the one that makes the sum of the map positive.
    """
    del gradients
    rows = activations.flatten(2).transpose(1, 2)
    wide = rows.float() if rows.itemsize < 4 else rows
    first: Tensor = torch.linalg.svd(wide, full_matrices=False).Vh[:, 0]
    sign = torch.where((wide @ first[..., None]).sum((1, 2)) < 0, -1.0, 1.0)
    return (first * sign[:, None].to(first)).to(rows)[..., None, None]


def _drops(scores: Tensor, whole: Tensor) -> Tensor:
    """What each map adds to the score; zero for maps that were not tried yet."""
    return (whole - scores).where(scores.isfinite(), 0)


def _shares(scores: Tensor, whole: Tensor) -> Tensor:
    """The softmax over the maps; maps that were not tried yet get weight zero."""
    del whole
    return scores.softmax(1).nan_to_num(0)


_FROM_GRADIENTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gradient": grad_cam_weights,
    "gradient++": grad_cam_pp_weights,
    "hires": hires_weights,
    "layer": layer_cam_weights,
    "eigen": eigen_weights,
}
_FROM_SCORES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"ablation": _drops, "score": _shares}


def _masked_by_each(target: Target, maps: LayerMaps, batch: int) -> Iterator[Tensor]:
    """The scores of the images multiplied by each map, enlarged and scaled to [0, 1], image by image."""

    def seen() -> Iterator[Changed[None]]:
        for image, (picture, several) in enumerate(zip(target.images, maps.activations, strict=True)):
            for one in several:
                mask = resize(one[None], *picture.shape[-2:])
                low, high = mask.aminmax()
                yield Changed(image, picture * ((mask - low) / (high - low).clamp_min(1e-12)), None)

    for some in in_batches(seen(), batch):
        yield target.ask(some.pictures, some.images)


def _without_each(target: Target, maps: LayerMaps, batch: int) -> Iterator[Tensor]:
    """The scores of the images without each map, image by image.

    Everything up to the layer is computed once for many maps: there, one image is repeated for each map left out.
    Where that fails, as when a skip connection around the layer still holds one image, the whole network is run on
    copies of the image.
    """
    layer = target.network.layer(maps.name)
    count = maps.activations.shape[1]
    fans = layer.layout.order is None  # windows of one image lie in the batch
    for image, picture in enumerate(target.images):
        start = 0
        while start < count:
            size = batch * _fan(target.network, layer.name) if fans else batch
            channels = list(range(start, min(start + size, count)))
            found = _ask_without(target, image, picture[None], maps, channels) if fans else None
            if found is None:
                fans = False
                channels = channels[:batch]
                several = picture.expand(len(channels), -1, -1, -1)
                found = _ask_without(target, image, several, maps, channels)
                assert found is not None
            yield found
            start += len(channels)


def _ask_without(
    target: Target, image: int, pictures: Tensor, maps: LayerMaps, channels: Sequence[int]
) -> Tensor | None:
    """The scores without each of the channels, or None where the image cannot be repeated at the layer."""
    asked = target.objective.of(image)
    edits = {maps.name: lambda values: _left_out(values, maps, len(pictures), channels)}
    try:
        with without_gradients(target.network.device):
            look = target.network.look(pictures, asked.needs, edits=edits)
            several = all(len(look[need]) == len(channels) for need in asked.needs)
            return asked(look) if several else None
    except NetworkError:
        if len(pictures) == len(channels):
            raise
        return None


def _left_out(values: Tensor, maps: LayerMaps, pictures: int, channels: Sequence[int]) -> Tensor:
    """The layer's output (in the module's own layout) for as many images as channels, each without one of them.

    A single image is repeated. What is no position, such as a class token, stays.
    """
    count = len(channels)
    if pictures < count:
        values = values.repeat_interleave(count, 0)
    # Maps are a selection of the module's output: the gradient of a map says where in the output it lies.
    with torch.enable_grad():
        probe = torch.zeros_like(values, requires_grad=True)
        chosen = maps.view(probe, count)[range(count), list(channels)]
        (place,) = torch.autograd.grad(chosen.sum(), probe)
    return values * (1 - place)


def _fan(network: Network, layer: str) -> int:
    """How many times as large as this layer the largest one is: so many copies take no more memory than that."""
    sizes = {name: torch.Size(known.shape).numel() for name, known in network.layers.items()}
    return max(1, max(sizes.values()) // sizes[layer])
