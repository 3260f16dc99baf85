"""Colours of one image for another: afterwards, by light, or before, by the distribution of a style's colours.

**Reference.** L. A. Gatys and others, "Preserving color in neural artistic style transfer", 2016; F. Pitié, A. Kokaram,
R. Dahyot, "Automated colour grading using colour distribution transfer", CVIU 2007.
"""

import torch
from torch import Tensor

from triscope.images import resize

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_TURNS = 12


def keep_luminance(photo: Tensor, picture: Tensor) -> Tensor:
    """The light of `image` with the colours of `photo`, both (1, C, H, W): luma from one, chroma from the other."""
    if picture.shape[1] != 3:
        return picture.clone()
    weights = picture.new_tensor(_LUMA).view(1, 3, 1, 1)
    colours = resize(photo, (picture.shape[-2], picture.shape[-1])).to(picture)
    light = ((picture - colours) * weights).sum(1, keepdim=True)
    return (colours + light).clamp(0, 1)


def match_covariance(photo: Tensor, style: Tensor) -> Tensor:
    """`style` (1, C, H, W) moved and stretched so that its colours have the mean and covariance of the photo's.

    Of all such maps, the symmetric one that changes colours least (Monge's; Gatys and others, 2016).
    """
    wanted, own = (one[0].flatten(1).double() for one in (photo, style))
    mean, own_mean = wanted.mean(1, keepdim=True), own.mean(1, keepdim=True)
    goal, have = (torch.cov(one).reshape(len(own), len(own)) for one in (wanted, own))
    root, inverse = _power(have, 0.5), _power(have, -0.5)
    matrix = inverse @ _power(root @ goal @ root, 0.5) @ inverse
    moved = matrix @ (own - own_mean) + mean
    return moved.view(style.shape).to(style).clamp(0, 1)


def match_histogram(photo: Tensor, style: Tensor) -> Tensor:
    """`style` (1, C, H, W) with the distribution of the photo's colours, as far as its own colours allow.

    Along one set of axes after another, each turned at random, the values are given the photo's distribution (Pitié and
    others, 2007); from the linear map on, which is nearly there.
    """
    generator = torch.Generator().manual_seed(0)
    wanted = photo[0].flatten(1).double()
    moved = match_covariance(photo, style)[0].flatten(1).double()
    ranks = torch.linspace(0, 1, moved.shape[1], dtype=torch.float64, device=moved.device)
    for _ in range(_TURNS):
        noise = torch.randn(len(moved), len(moved), generator=generator, dtype=torch.float64)
        turn = torch.linalg.qr(noise)[0].to(moved.device)
        along, goal = turn @ moved, (turn @ wanted).sort(1).values
        places = ranks * (goal.shape[1] - 1)
        low = places.long().clamp_max(goal.shape[1] - 2)
        values = goal[:, low].lerp(goal[:, low + 1], (places - low).expand(len(goal), -1))
        order = along.argsort(dim=1, stable=True)
        moved = turn.T @ along.scatter(1, order, values)
    return moved.view(style.shape).to(style).clamp(0, 1)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A symmetric matrix with no negative eigenvalue, to a power; a colour that never varies stays so."""
    values, vectors = torch.linalg.eigh(matrix)
    power: Tensor = (vectors * values.clamp_min(1e-8) ** exponent) @ vectors.T
    return power
