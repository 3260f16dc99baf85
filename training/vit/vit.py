"""A vision transformer small enough to train in hours on a CPU, for tests and examples.

As ViT (Dosovitskiy et al., 2021), with a stem of three convolutions in place of the patch projection, which speeds up
training (Xiao et al., 2021, "Early convolutions help transformers see better"), and fixed two-dimensional sinusoidal
position embeddings of Beyer et al. (2022, "Better plain ViT baselines").
"""

import torch
from torch import Tensor, nn

PATCH = 8
LONGEST = 10_000.0  # the longest wavelength of the position embeddings, in patches, over 2 pi


class Attention(nn.Module):
    """Multi-head self-attention, written out: its backward pass is much faster on CPUs than the fused kernel's."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, width) -> (B, N, width)."""
        batch, count, width = tokens.shape
        split = self.qkv(tokens).reshape(batch, count, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = split.unbind(0)
        weights = (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(dim=-1)
        mixed = weights.to(value.dtype) @ value
        done: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, count, width))
        return done


class Block(nn.Module):
    """Attention, then an MLP of two dense layers, each with a residual connection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, width) -> (B, N, width)."""
        tokens = tokens + self.attn(self.norm1(tokens))
        done: Tensor = tokens + self.mlp(self.norm2(tokens))
        return done


class SmallViT(nn.Module):
    """Images (B, 3, H, W), H and W multiples of 8, normalised -> logits (B, 1000)."""

    def __init__(self, width: int = 192, depth: int = 6, heads: int = 3, classes: int = 1000) -> None:
        super().__init__()
        self.patches = nn.Sequential(
            nn.Conv2d(3, width // 4, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width // 4, width // 2, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
        )
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def tokens(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 1 + H/8 * W/8, width), the class token first, after the last norm."""
        maps = self.patches(images)
        rows, cols = maps.shape[2:]
        patches = maps.flatten(2).transpose(1, 2)
        patches = patches + places(rows, cols, patches.shape[2]).to(patches)
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1).to(patches), patches], dim=1)
        normed: Tensor = self.norm(self.blocks(tokens))
        return normed

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, classes)."""
        logits: Tensor = self.head(self.tokens(images)[:, 0])
        return logits


def places(rows: int, cols: int, width: int) -> Tensor:
    """Position embeddings: sines and cosines of each patch's row and column: (rows * cols, width), row by row."""
    rates = LONGEST ** -torch.linspace(0, 1, width // 4)
    down = torch.arange(rows)[:, None] * rates
    along = torch.arange(cols)[:, None] * rates
    down, along = down[:, None].expand(rows, cols, -1), along[None].expand(rows, cols, -1)
    return torch.cat([down.sin(), down.cos(), along.sin(), along.cos()], dim=-1).flatten(0, 1)
