"""Localisation: whether the map lies on the object.

    pointing    whether the strongest pixel lies in the object, within a tolerance      1 or 0
    energy      the share of the map's positive part that lies in the object            higher is better

**When they mislead.** The prediction may rightly depend on the surroundings. A large object is hit by chance: compare
with the centred Gaussian.

**References.** J. Zhang et al., "Top-down neural attention by excitation backprop", ECCV 2016 (pointing game). H. Wang
et al., "Score-CAM", CVPR workshops 2020 (energy).
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def pointing(values: Tensor, mask: Tensor, *, tolerance: int = 15) -> float:
    """1 if the highest value of a map (H, W) lies in `mask` (H, W), or within `tolerance` pixels of it; else 0."""
    reach = 2 * tolerance + 1
    near = F.max_pool2d(mask[None, None].float(), reach, stride=1, padding=tolerance)[0, 0] > 0
    return float(near.flatten()[int(values.argmax())])


def energy(values: Tensor, mask: Tensor) -> float:
    """The share of the positive part of a map (H, W) that lies in `mask` (H, W): 0 to 1, and 0 without any."""
    positive = values.clamp_min(0)
    total = float(positive.sum())
    return float(positive[mask].sum()) / total if total else 0.0


def box_mask(size: tuple[int, int], box: tuple[int, int, int, int]) -> Tensor:
    """The mask (H, W) of a box (top, left, height, width) in pixels; `size` is (H, W)."""
    made = torch.zeros(size, dtype=torch.bool)
    top, left, height, width = box
    made[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)] = True
    return made
