"""Numbers to colours, by maps whose steps look even.

Both maps are drawn in OKLab (B. Ottosson, "A perceptual color space for image processing", 2020), where equal distances
look about equally different. Their lightness is a straight line in the value, so an image printed in grey still shows
the unsigned map's order and the signed map's magnitude.

    share = value / scale           the scale is the value that gets the full colour; results state it
    signed:   -1 blue   0 near-white   +1 red           zero is always the neutral colour
    unsigned:  0 dark ... 1 light                       negative values are drawn as zero

A value beyond the scale gets the full colour. Infinities do too, and NaN is a mid-grey that is in neither coloured map,
so that no image holds anything outside [0, 1]. Maps are (..., H, W), images (..., 3, H, W), float32.
"""

import math

import numpy as np
import torch
from torch import Tensor

# Control points at equal distances along the map, each (lightness, chroma, hue in degrees) in OKLab. All that lies
# between two of them is inside sRGB, so nothing is clipped and lightness stays the straight line that it is here.
_FROM_NEUTRAL = ((0.97, 0.0), (0.83, 0.08), (0.69, 0.15), (0.55, 0.17), (0.41, 0.15))
_BLUE, _RED = 260.0, 25.0
_SIGNED = (
    *((lightness, chroma, _BLUE) for lightness, chroma in _FROM_NEUTRAL[:0:-1]),
    *((lightness, chroma, _RED) for lightness, chroma in _FROM_NEUTRAL),
)
_UNSIGNED = (
    (0.12, 0.04, 290.0),
    (0.29, 0.13, 300.0),
    (0.46, 0.17, 345.0),
    (0.63, 0.19, 25.0),
    (0.80, 0.13, 65.0),
    (0.97, 0.05, 100.0),
)

# OKLab to the cube roots of cone responses, and cone responses to linear sRGB (Ottosson, 2020).
_LAB_TO_ROOTS = (
    (1.0, 0.3963377774, 0.2158037573),
    (1.0, -0.1055613458, -0.0638541728),
    (1.0, -0.0894841775, -1.2914855480),
)
_CONES_TO_LINEAR = (
    (4.0767416621, -3.3077115913, 0.2309699292),
    (-1.2684380046, 2.6097574011, -0.3413193965),
    (-0.0041960863, -0.7034186147, 1.7076147010),
)


def signed(values: Tensor, scale: float | None = None) -> Tensor:
    """Maps (..., H, W) of either sign to images (..., 3, H, W): blue below zero, near-white at zero, red above.

    The colours are symmetrical: -scale and +scale are equally dark. Without a scale, that of all the values together.
    Raises ValueError where the scale is not a positive number.
    """
    return _along(_SIGNED, (_share(values, scale).clamp(-1, 1) + 1) / 2)


def unsigned(values: Tensor, scale: float | None = None) -> Tensor:
    """Maps (..., H, W) of magnitudes to images (..., 3, H, W): dark at zero, then purple, red, light yellow.

    Negative values are drawn as zero. Without a scale, that of all the values together.
    Raises ValueError where the scale is not a positive number.
    """
    return _along(_UNSIGNED, _share(values, scale).clamp(0, 1))


def scale_of(values: Tensor, percentile: float = 99.5) -> float:
    """The magnitude that this percentage of all values does not exceed: what a map gives the full colour to.

    A gradient has a few values far above the rest; scaled to its maximum it looks empty. Where so few values differ
    from zero that the percentile is zero, the maximum is used, and 1.0 where all are zero. Infinities and NaN do not
    count. Raises ValueError for a percentile outside (0, 100].
    """
    if not 0 < percentile <= 100:
        raise ValueError(f"A percentile lies above 0 and up to 100; {percentile} does not.")
    magnitudes = values.detach().float().abs().flatten()
    if not math.isfinite(float(magnitudes.sum())):
        magnitudes = magnitudes[magnitudes.isfinite()]
    numbers = magnitudes.cpu().numpy()
    if not numbers.any():
        return 1.0
    rank = math.ceil(percentile / 100 * len(numbers))
    # NumPy's partition is many times as quick as sorting all, and as PyTorch's kthvalue.
    return float(np.partition(numbers, rank - 1)[rank - 1]) or float(numbers.max())


def _share(values: Tensor, scale: float | None) -> Tensor:
    """Each value as a share of the scale, in float32."""
    if scale is None:
        scale = scale_of(values)
    if not 0 < scale < math.inf:
        raise ValueError(f"A colour scale is a positive number; {scale} is not.")
    return values.detach().float() / scale


def _along(points: tuple[tuple[float, float, float], ...], position: Tensor) -> Tensor:
    """Positions (..., H, W) in [0, 1] along control points (lightness, chroma, hue) to colours (..., 3, H, W)."""
    lightness, chroma, hue = torch.tensor(points, dtype=torch.float32, device=position.device).T
    lab = torch.stack((lightness, chroma * hue.deg2rad().cos(), chroma * hue.deg2rad().sin()), dim=-1)
    steps = position * (len(lab) - 1)
    left = steps.long().clamp(0, len(lab) - 2)
    return _srgb(torch.lerp(lab[left], lab[left + 1], (steps - left).unsqueeze(-1))).movedim(-1, -3)


def _srgb(lab: Tensor) -> Tensor:
    """OKLab colours (..., 3) as sRGB in [0, 1]; NaN becomes mid-grey."""
    roots = lab @ lab.new_tensor(_LAB_TO_ROOTS).T
    linear = (roots**3 @ lab.new_tensor(_CONES_TO_LINEAR).T).clamp(0, 1)
    encoded = torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return encoded.nan_to_num(0.5).clamp(0, 1)
