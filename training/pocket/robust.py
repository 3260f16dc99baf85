"""Pictures moved a little to where the student does worst, so that it learns gradients that mean something.

A network that must keep its answer within a small L2 ball cannot lean on patterns that nobody sees: its saliency
follows the things in the picture, and what is ascended from it looks like them (Engstrom et al., 2019, "Adversarial
robustness as a prior for learned representations"; Santurkar et al., 2019). One step from a random start is enough
(Wong et al., 2020, "Fast is better than free"), on half of a batch: the other half stays the plain lesson.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 224  # lengths are given for pictures of this side; a smaller picture has proportionally less
RISE = 0.3  # share of the stretch over which the length grows from nothing


def reach(length: float, side: int, progress: float) -> float:
    """How far pictures of `side` pixels are moved when `progress` (0 to 1) of the stretch is done."""
    return length * side / SIDE * min(1.0, progress / RISE)


def worsened(
    network: nn.Module, images: Tensor, answers: Tensor, temperature: float, length: float, seed: int, half: bool
) -> Tensor:
    """Images (B, 3, H, W) without mean and spread, the first B // 2 of them moved by at most `length` (L2).

    Each is moved by a random half of `length`, then by `length` along the gradient of its cross-entropy with `answers`
    (B, classes) at `temperature`, and brought back into the ball. `half`: gradients in bfloat16.
    """
    count = len(images) // 2
    plain, wanted = images[:count], answers[:count]
    noise = torch.randn(plain.shape, generator=torch.Generator().manual_seed(seed)).to(plain)
    start = length / 2 * unit(noise)
    moved = (plain + start).requires_grad_()
    with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
        logits = network(moved)
    loss = F.cross_entropy(logits.float() / temperature, wanted, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, moved)
    shift = start + length * unit(gradient)
    shift *= (length / norms(shift)).clamp(max=1)
    return torch.cat([plain + shift, images[count:]])


def norms(images: Tensor) -> Tensor:
    """The L2 norm of each image (B, 3, H, W), as (B, 1, 1, 1), never zero."""
    lengths: Tensor = images.flatten(1).norm(dim=1).clamp_min(1e-12)
    return lengths.view(-1, 1, 1, 1)


def unit(images: Tensor) -> Tensor:
    """Each image (B, 3, H, W) at norm 1."""
    return images / norms(images)
