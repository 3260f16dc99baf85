"""Muon for the inner convolutions, AdamW for the rest.

Muon (Jordan et al., 2024) steps along the nearest orthogonal matrix to the momentum, so that no direction of a weight
matrix learns much faster than another. On matrices as small as these it costs a tenth of a step.

The dense layers before the last have a lower learning rate: at the full rate, nearest neighbours get worse.
"""

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from training.pocket.student import Student
from triscope.network.variants.precision import native_bfloat16

FIRST_DECAY = (
    0.5  # weight decay of the first layer, which removes unexcited components (scale is irrelevant: see Normed)
)
SLOW = 0.05  # share of the learning rate, for SLOW_LAYERS
SLOW_LAYERS = ("network.classifier.1.", "network.classifier.4.")
MUON = tuple(f"network.features.{i}.layer.weight" for i in (3, 6, 8, 10))


def orthogonal(matrix: Tensor, steps: int = 5) -> Tensor:
    """About U V^T of a matrix = U S V^T: singular values come out between 0.7 and 1.2 (Newton-Schulz iteration)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = (matrix / (matrix.norm() + 1e-7)).to(torch.bfloat16 if native_bfloat16(matrix.device) else matrix.dtype)
    if flip := x.shape[0] > x.shape[1]:
        x = x.T
    for _ in range(steps):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if flip else x).to(matrix.dtype)


class Muon(Optimizer):
    """Orthogonalised momentum: w <- w (1 - lr decay) - lr sqrt(rows / columns, at least 1) orthogonal(momentum)."""

    def __init__(self, params: list[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step from the current gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                velocity = self.state[weight].setdefault("velocity", torch.zeros_like(weight))
                velocity.lerp_(weight.grad, 1 - group["momentum"])
                ahead = weight.grad.lerp(velocity, group["momentum"])
                rows = orthogonal(ahead.flatten(1))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(rows.view(weight.shape), alpha=-group["lr"] * max(1, rows.shape[0] / rows.shape[1]) ** 0.5)


def optimisers(student: Student, muon: float, adam: float, decay: float) -> list[Optimizer]:
    """The student's optimisers, with learning rates `muon` and `adam`."""
    named = dict(student.named_parameters())
    inner = [named.pop(name) for name in MUON] if muon else []
    slow = [named.pop(name) for name in list(named) if name.startswith(SLOW_LAYERS)]
    first, *rest = named.values()
    groups = [{"params": [first], "weight_decay": FIRST_DECAY}]
    for part, pace in ((rest, 1.0), (slow, SLOW)):
        groups += [
            {"params": [value for value in part if value.dim() > 1], "weight_decay": decay, "lr": pace * adam},
            {"params": [value for value in part if value.dim() == 1], "weight_decay": 0.0, "lr": pace * adam},
        ]
    made: list[Optimizer] = [AdamW(groups, lr=adam, fused=True)]
    if inner:
        made.append(Muon(inner, lr=muon, weight_decay=decay))
    return made
