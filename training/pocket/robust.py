"""Adversarial training: small perturbations of the images that raise the student's loss the most.

A network that is robust within a small L2 ball cannot rely on patterns that people do not see: its gradients follow the
objects in the image, and gradient ascent on it makes recognisable objects (Engstrom et al., 2019, "Adversarial
robustness as a prior for learned representations"; Santurkar et al., 2019). One gradient step from a random start is
enough (Wong et al., 2020, "Fast is better than free"). Half of each batch is perturbed, the other half is not.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIDE = 224  # norms are given for images of this side length; smaller images get proportionally less
RISE = 0.3  # share of the training stage over which the norm grows from 0


def radius(length: float, side: int, progress: float) -> float:
    """The L2 norm of perturbations for images of `side` pixels at `progress` (0 to 1) of the training stage."""
    return length * side / SIDE * min(1.0, progress / RISE)


def adversarial(
    network: nn.Module, images: Tensor, answers: Tensor, temperature: float, length: float, seed: int, half: bool
) -> Tensor:
    """Normalised images (B, 3, H, W), the first B // 2 of them perturbed by at most `length` (L2 norm).

    The perturbation starts at random with norm `length` / 2, takes a step of `length` along the gradient of the
    cross-entropy with `answers` (B, classes) at `temperature`, and is projected back into the ball. `half`: gradients
    in bfloat16.
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
    """Each image (B, 3, H, W) scaled to L2 norm 1."""
    return images / norms(images)
