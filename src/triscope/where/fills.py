"""What replaces hidden pixels: plain colours, blur, noise, and inpainting from the surroundings.

    black, grey     every pixel 0, or 0.5
    mean            each image's own mean colour
    blur            the image, blurred until no detail is left
    random          uniform noise
    inpainted       the surroundings of the hidden pixels, interpolated into them

No fill is neutral: a network responds to a grey square, too, and maps depend on the choice.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

Plain: TypeAlias = Literal["grey", "black", "mean", "blur"]
Fill: TypeAlias = Literal[Plain, "inpainted"]

#: (i, mask (1, H, W)) -> image number i (C, H, W) with the pixels of the mask hidden.
Hide: TypeAlias = Callable[[int, Tensor], Tensor]

_BLUR = 1 / 12  # standard deviation of the blur, as a fraction of the image's shorter side


def hiding(images: Tensor, fill: Fill) -> Hide:
    """The function that hides pixels of `images` (B, C, H, W) under a mask, bool (1, H, W), true where hidden."""
    if fill == "inpainted":
        return lambda image, hidden: inpainted(images[image], hidden)
    plain = filled(images, fill)
    return lambda image, hidden: torch.where(hidden, plain[image], images[image])


def filled(images: Tensor, fill: Plain) -> Tensor:
    """Fills of the shape of `images` (B, C, H, W), which show nothing of their content, or nearly nothing."""
    if fill == "mean":
        return images.mean((2, 3), keepdim=True).expand_as(images)
    if fill == "blur":
        return blurred(images, max(min(images.shape[-2:]) * _BLUR, 0.5))
    return torch.full_like(images, 0.5 if fill == "grey" else 0.0)


def noise(images: Tensor, count: int, seed: int) -> Tensor:
    """`count` images (count, C, H, W) of uniform noise, of the size of `images`."""
    generator = torch.Generator().manual_seed(seed)
    made = torch.rand(count, *images.shape[1:], generator=generator, dtype=torch.float64)
    return made.to(images)


def blurred(images: Tensor, spread: float) -> Tensor:
    """Images (B, C, H, W) blurred by a Gaussian of that standard deviation in pixels; border pixels are repeated."""
    reach = round(3 * spread)
    places = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.softmax(-0.5 * (places / spread).square(), 0)
    flat = images.flatten(0, 1)[:, None]
    rows = F.conv2d(F.pad(flat, (0, 0, reach, reach), mode="replicate"), kernel.view(1, 1, -1, 1))
    both = F.conv2d(F.pad(rows, (reach, reach, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    return both.view_as(images)


def inpainted(image: Tensor, hidden: Tensor) -> Tensor:
    """The image (C, H, W) with its hidden pixels (1, H, W) interpolated from those around them.

    Visible pixels are averaged at coarser and coarser scales until these span the gap, then upsampled into it
    (push-pull; S. Gortler et al., "The lumigraph", 1996). Grey where all is hidden.
    """
    seen = (~hidden).to(image)
    if not seen.any():
        return torch.full_like(image, 0.5)
    return torch.where(hidden, _pulled(image * seen, seen), image)


def _pulled(weighed: Tensor, weight: Tensor) -> Tensor:
    """The smooth image (C, h, w) interpolated from `weighed`, values times weights, and weights (1, h, w) in [0, 1]."""
    own = weighed / weight.clamp_min(1e-12)
    if bool(weight.all()) or max(weight.shape[-2:]) == 1:
        return own
    size = (weight.shape[-2] + 1) // 2, (weight.shape[-1] + 1) // 2
    coarse = F.adaptive_avg_pool2d(torch.cat([weighed, weight])[None], size)[0]
    share = coarse[-1:]
    # A coarse pixel with any visible part counts in full: the weight only mixes it with its neighbours.
    below = _pulled(coarse[:-1] / share.clamp_min(1e-12) * (share > 0), (share > 0).to(share))
    up = F.interpolate(below[None], weight.shape[-2:], mode="bilinear", align_corners=False)[0]
    return torch.lerp(up, own, weight)
