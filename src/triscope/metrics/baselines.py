"""Baseline maps, which do not depend on the network. A useful map has better metrics than these."""

import torch
from torch import Tensor
from torch.nn import functional as F

BASELINES = ("random", "gaussian", "edges")


def baseline(name: str, image: Tensor, seed: int = 0) -> Tensor:
    """The baseline map (H, W) of an image (C, H, W), float64. Raises ValueError for an unknown name.

    random      independent noise
    gaussian    a Gaussian in the centre, whose standard deviation is a quarter of each side: the centre bias of photos
    edges       the magnitude of the Sobel gradient of the mean of the channels (I. Sobel, G. Feldman, 1968)
    """
    rows, cols = image.shape[-2:]
    if name == "random":
        return torch.rand(rows, cols, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    if name == "gaussian":
        across, down = (torch.linspace(-2, 2, side, dtype=torch.float64) for side in (cols, rows))
        return torch.exp(-0.5 * (down[:, None].square() + across.square()))
    if name == "edges":
        return sobel(image.double().mean(0))
    raise ValueError(f"A baseline is {', '.join(BASELINES)}, not {name!r}.")


def sobel(grey: Tensor) -> Tensor:
    """The magnitude (H, W) of the Sobel gradient of a grey image (H, W), with replicated borders."""
    across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=grey.dtype, device=grey.device)
    padded = F.pad(grey[None, None], (1, 1, 1, 1), mode="replicate")
    slopes = F.conv2d(padded, torch.stack([across, across.T])[:, None])
    return slopes.square().sum(1).sqrt()[0]
