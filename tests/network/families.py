"""Small networks of the families that keep positions in ways of their own, and how to see where a layer answers."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tests import nets
from triscope.network import Network
from triscope.network.loading._torchvision import import_torchvision

_PLACES = 4
_AROUND = 0.25  # how much of a sharpened convolution comes from around the middle of its window


def timm_networks() -> Mapping[str, Callable[[], tuple[nn.Module, int]]]:
    """Of each family of timm a small network, and its usual size."""
    import_torchvision()
    import timm
    from timm.models.gcvit import GlobalContextVit
    from timm.models.hiera import Hiera
    from timm.models.swin_transformer import SwinTransformer
    from timm.models.swin_transformer_v2 import SwinTransformerV2
    from timm.models.vision_transformer import VisionTransformer

    few: dict[str, Any] = {"depths": (2, 2), "num_heads": (2, 2), "num_classes": 5}
    plain: dict[str, Any] = {"embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 5}
    return {
        "swin": lambda: (SwinTransformer(img_size=56, window_size=7, embed_dim=12, **few), 56),
        "swin v2": lambda: (SwinTransformerV2(img_size=64, window_size=4, embed_dim=12, **few), 64),
        "gcvit": lambda: (
            GlobalContextVit(img_size=112, window_size=7, embed_dim=8, depths=(2, 2), num_heads=(2, 2), num_classes=5),
            112,
        ),
        "mobilevit": lambda: (timm.create_model("mobilevit_xxs", num_classes=5), 128),
        "vit": lambda: (VisionTransformer(img_size=48, patch_size=8, **plain), 48),
        "dinov2": lambda: (
            VisionTransformer(
                img_size=56, patch_size=8, reg_tokens=4, init_values=0.1, no_embed_class=True,
                dynamic_img_size=True, **plain,
            ),
            56,
        ),
        "hiera": lambda: (
            Hiera(img_size=(128, 128), embed_dim=8, num_heads=1, stages=(1, 1, 2), q_pool=2, num_classes=5), 128
        ),
    }  # fmt: skip


def wake(module: nn.Module) -> nn.Module:
    """The module with weights through which something can be seen: He's, where they were drawn so small that signals
    fade out, and others than zero where they silence what follows.
    """
    for part in module.modules():
        weight = getattr(part, "weight", None)
        if not isinstance(weight, Tensor) or not weight.is_floating_point():
            continue
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(weight)
        elif "Norm" in type(part).__name__ and weight.abs().mean() < 0.5:
            nn.init.ones_(weight)
    return module


def settle(module: nn.Module, images: Tensor) -> nn.Module:
    """The module with the statistics of its batch normalisations taken from these images, as in training."""
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    before = {part: part.momentum for part in norms}
    if norms:
        module.train()
        for part in norms:
            part.momentum = 1.0
        with torch.no_grad():
            module(images)
        for part in norms:
            part.momentum = before[part]
    module.eval()
    return module


def sharpen(module: nn.Module) -> None:
    """Let each convolution see most of the middle of its window, as wide as its stride, so that a response is where its
    cause is.
    """
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.Conv2d) and part.weight.ndim == 4 and part.weight.is_floating_point():
                middle = torch.ones(part.kernel_size, dtype=torch.bool)
                for dim, (length, stride) in enumerate(zip(part.kernel_size, part.stride, strict=True)):
                    away = torch.arange(length) - (length - 1) / 2
                    within = (away > -stride / 2) & (away <= stride / 2)
                    middle &= within.view(-1, *(1,) * (1 - dim))
                around = max(1, int((~middle).sum()))
                part.weight.data[..., ~middle] *= _AROUND / around**0.5


def network(module: nn.Module, size: int) -> Network:
    """Around a module with the random weights that it came with; but what they silence is let through."""
    for part in module.modules():
        weight = getattr(part, "weight", None)
        if "Norm" in type(part).__name__ and isinstance(weight, Tensor) and not weight.any():
            nn.init.ones_(weight)
    return nets.network(module.eval(), size=(size, size))


class OwnToken(TorchFunctionMode):
    """While entered, attention answers every token with itself, so that a response is where its cause is; and with
    nothing where the tokens that answer are others. So does a max pooling that leaves out no position.
    """

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name == "multi_head_attention_forward":
            value, width = args[2], args[3]
            value = F.linear(value, args[5][-width:], None if args[6] is None else args[6][-width:])
            return F.linear(value, args[11], args[12]), None
        if name == "scaled_dot_product_attention":
            same = args[0].shape[:-1] == args[2].shape[:-1]
            return args[2] if same else args[2].new_zeros(*args[0].shape[:-1], args[2].shape[-1])
        return self.own(name, args, func(*args, **(kwargs or {})))

    def own(self, name: str, args: Sequence[Any], result: Any) -> Any:
        """The result of a function, or what it would be if each position were left to itself."""
        if "max_pool2d" in name and isinstance(result, Tensor) and result.shape == args[0].shape:
            return args[0]
        if name == "softmax" and result.ndim > 2:
            queries, keys = result.shape[-2:]
            if queries == keys:
                return torch.eye(keys, dtype=result.dtype).expand_as(result)
            if result.ndim == 5 and keys % queries == 0:  # queries of Hiera are those of several keys, pooled
                return torch.eye(queries, dtype=result.dtype).repeat(1, keys // queries).expand_as(result)
            if result.ndim == 4 and 1 not in (queries, keys):
                return _own_of_fewer(queries, keys).to(result.dtype).expand_as(result)
        return result


def _own_of_fewer(queries: int, keys: int) -> Tensor:
    """Which key each query is, where queries are every nth row and column of the keys (LeViT); else none at all."""
    few, many = round(queries**0.5), round(keys**0.5)
    weights = torch.zeros(queries, keys)
    if few**2 == queries and many**2 == keys and few < many:
        step = -(-many // few)
        same = torch.arange(keys).view(many, many)[::step, ::step].flatten()
        if len(same) == queries:
            weights[torch.arange(queries), same] = 1
    return weights


def background(size: tuple[int, int], channels: int = 3) -> Tensor:
    """Faint noise on grey (1, C, H, W): of plain grey, many layers give zeros, which a normalisation blows up."""
    noise = torch.rand(1, channels, *size, generator=torch.Generator().manual_seed(0))
    return 0.35 + 0.3 * noise


def bright_patches(size: tuple[int, int], channels: int = 3) -> list[tuple[tuple[slice, slice], Tensor]]:
    """A bright patch on the background at each of 4 x 4 places: its rows and columns, and the image (1, C, H, W)."""
    color = torch.tensor([1.0, 0.9, 0.1]).repeat(-(-channels // 3))[:channels].view(1, -1, 1, 1)
    found = []
    for place in product(range(_PLACES), repeat=2):
        image = background(size, channels)
        where = []
        for number, length in zip(place, size, strict=True):
            apart = length // _PLACES
            side = max(apart // 3, 4)
            first = number * apart + (apart - side) // 2
            where.append(slice(first, first + side))
        image[:, :, where[0], where[1]] = color
        found.append(((where[0], where[1]), image))
    return found


def places_missed(network: Network, layers: Sequence[str]) -> dict[str, int]:
    """At how many of the 16 places each layer changes most in a cell that is not within one of the bright patch.

    Where it changes most is the one cell that changes most, or the middle of the change: behind max poolings, and
    behind wide kernels of random weights, many cells around a patch change alike. What a patch does to a cell wherever
    it is, by the statistics of a normalisation or by attention, is taken off first. Where maps were made larger again,
    it is one cell of the smallest of them.
    """
    coarsest = _coarsest(network)
    plain = background(network.size, network.channels)
    patches = bright_patches(network.size, network.channels)
    with torch.no_grad(), OwnToken():
        before = network.look(plain.to(network.dtype), layers)
        looks = [network.look(image.to(network.dtype), layers) for _, image in patches]
    missed = {}
    for layer in layers:
        changes = _local(torch.cat([look[layer] - before[layer] for look in looks]).float())
        least = 1e-4 * float(before[layer].abs().max())  # less than that is rounding, or the same everywhere
        right = [
            any(
                _within_one(cell, where, change.shape, network.size, coarsest[layer])
                for most in _most_changed(change)
                for cell in (most, _seen_from(network, layer, most))
            )
            for change, (where, _) in zip(changes, patches, strict=True)
            if change.max() > least and change.max() - change.min() > 1e-3 * change.max()
        ]
        missed[layer] = right.count(False)
    return missed


def _local(changes: Tensor) -> Tensor:
    """How much each cell changed, (P, h, w), in changes (P, C, h, w) by patches at P places; but for what a patch does
    to it wherever it is, which is taken from the quarter of the places that change the cell least.
    """
    total = changes.abs().sum(1, keepdim=True)
    least = total.argsort(0)[: len(changes) // 4].expand(-1, changes.shape[1], -1, -1)
    return (changes - changes.gather(0, least).median(0).values).abs().sum(1)


def _most_changed(change: Tensor) -> list[Sequence[float]]:
    """The cell (row, column) of a map (h, w) that changed most, and the middle of the change."""
    weight = change**4 / (change**4).sum()
    axes = (torch.arange(length, dtype=change.dtype) for length in change.shape)
    rows, cols = torch.meshgrid(*axes, indexing="ij")
    most = divmod(int(change.argmax()), change.shape[1])
    return [most, (float((weight * rows).sum()), float((weight * cols).sum()))]


def _coarsest(network: Network) -> dict[str, tuple[int, int]]:
    """For each layer with positions the smallest grid so far, its own included."""
    found, smallest = {}, network.size
    for name, layer in network.layers.items():
        if layer.grid and min(layer.grid) > 1:
            smallest = min(smallest, layer.grid)
            found[name] = smallest
    return found


def _seen_from(network: Network, layer: str, cell: Sequence[float]) -> Sequence[float]:
    """The cell in which the middle of what `cell` sees lies: padding, or none, on one side moves one off the other."""
    found, size = network.layers[layer], network.size
    spans, grid = (found.receptive_field.rows, found.receptive_field.cols), found.grid or size
    return [
        (span.offset + place * span.stride + span.size / 2) * count / length - 0.5 if span else place
        for place, span, count, length in zip(cell, spans, grid, size, strict=True)
    ]


def _within_one(
    cell: Sequence[float], where: Sequence[slice], grid: Sequence[int], size: Sequence[int], coarsest: Sequence[int]
) -> bool:
    """Whether a cell of a grid is at most one away from those that a patch lies in; one of the coarsest grid."""
    return all(
        patch.start * count // length - max(1, count / few)
        <= place
        <= -(-patch.stop * count // length) - 1 + max(1, count / few)
        for place, patch, count, length, few in zip(cell, where, grid, size, coarsest, strict=True)
    )
