"""Small networks of the families that keep positions in ways of their own, and how to see where a layer answers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tests import nets
from triscope.network import Network
from triscope.network.loading._torchvision import import_torchvision

_PLACES = 4


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


def network(module: nn.Module, size: int) -> Network:
    """Around a module with the random weights that it came with; but what they silence is let through."""
    for part in module.modules():
        weight = getattr(part, "weight", None)
        if "Norm" in type(part).__name__ and isinstance(weight, Tensor) and not weight.any():
            nn.init.ones_(weight)
    return nets.network(module.eval(), size=(size, size))


class OwnToken(TorchFunctionMode):
    """While entered, attention answers every token with itself, so that a response is where its cause is."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name == "scaled_dot_product_attention" and args[0].shape[-2] == args[2].shape[-2]:
            return args[2]
        result = func(*args, **(kwargs or {}))
        if name == "softmax" and result.ndim > 2 and result.shape[-1] == result.shape[-2]:
            return torch.eye(result.shape[-1], dtype=result.dtype).expand_as(result)
        return result


def bright_patches(size: int) -> list[tuple[int, int, int, Tensor]]:
    """A bright patch on grey at each of 4 x 4 places: (top, left, side, image (1, 3, H, W)), in pixels."""
    apart = size // _PLACES
    side = max(apart // 3, 4)
    found = []
    for row in range(_PLACES):
        for col in range(_PLACES):
            image = torch.full((1, 3, size, size), 0.5)
            top, left = (place * apart + (apart - side) // 2 for place in (row, col))
            image[:, :, top : top + side, left : left + side] = torch.tensor([1.0, 0.9, 0.1]).view(1, 3, 1, 1)
            found.append((top, left, side, image))
    return found


def places_missed(network: Network, layers: Sequence[str]) -> dict[str, int]:
    """At how many of the 16 places each layer changes most in a cell that is not within one of the bright patch."""
    size = network.size[0]
    missed = dict.fromkeys(layers, 0)
    with torch.no_grad(), OwnToken():
        grey = network.look(torch.full((1, 3, size, size), 0.5), layers)
        for top, left, side, image in bright_patches(size):
            seen = network.look(image, layers)
            for layer in layers:
                change = (seen[layer] - grey[layer]).abs().sum(1)[0]
                found = divmod(int(change.argmax()), change.shape[1])
                for place, start, count in zip(found, (top, left), change.shape, strict=True):
                    first, last = start * count // size, -(-(start + side) * count // size) - 1
                    if not first - 1 <= place <= last + 1:
                        missed[layer] += 1
                        break
    return missed
