"""Tiny networks with known outputs, and torchvision's with weights that are quick to generate."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triscope.network import Network
from triscope.network.loading._torchvision import import_torchvision

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """What a reference computation puts before the module."""

    def __init__(self, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float64).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean.to(x)) / self.std.to(x)


def linear(weight: Tensor, bias: Tensor | None = None) -> nn.Module:
    """scores = weight * pixels, summed: weight (K, C, H, W)."""
    layer = nn.Linear(weight[0].numel(), len(weight), bias=bias is not None, dtype=weight.dtype)
    layer.weight.data = weight.flatten(1).clone()
    if bias is not None:
        layer.bias.data = bias.clone()
    return nn.Sequential(nn.Flatten(), layer)


def cnn(
    channels: int = 3, classes: int = 5, *, inplace: bool = True, norm: bool = True, attention: bool = False
) -> nn.Sequential:
    """Two convolutions for images of any size from 3 x 3 up; ReLUs in place, BatchNorm and dropout as they are used.

    With `attention`, every position attends to all others between the two.
    """
    between = nn.BatchNorm2d(8) if norm else nn.Identity()
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.Sequential(between, Attended(8)) if attention else between,
        nn.ReLU(inplace=inplace),
        nn.Conv2d(8, 6, 3, padding=1),
        nn.ReLU(inplace=inplace),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, classes),
    )


def network(module: nn.Module | None = None, size: tuple[int, int] = (5, 7), **known: object) -> Network:
    """A Network around a tiny module: by default `cnn`, with normalisation, float32."""
    if module is None:
        module = fill(cnn())
    known = {"mean": MEAN, "std": STD} | known
    return Network(module, size=size, **known)


class Forms(nn.Module):
    """One convolution after another, and between them `relu`, in one of the ways people write it."""

    def __init__(self, relu: Callable[[Tensor], Tensor | None]) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 4, 1)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        x = self.relu(x)
        x = self.relu(self.two(x))
        return self.three(x).mean((2, 3))


class Statement(nn.Module):
    """The result of an in-place ReLU is not used: the tensor it wrote to is."""

    def __init__(self, relu: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(x)
        self.relu(y)
        return self.two(y).mean((2, 3))


class PreActivation(nn.Module):
    """A residual block whose ReLU reads what also goes around it: y + conv(relu(y))."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inside, self.head = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 4, 1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        y = y + self.inside(self.relu(y))
        return self.head(self.relu(y)).mean((2, 3))


class Tokens(nn.Module):
    """A transformer in small: patches of 4 x 4 as tokens, `extra` tokens before them, one block, a classifier."""

    def __init__(self, extra: int = 1, grid: tuple[int, int] = (3, 4), patch: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, patch, patch)
        self.extra = nn.Parameter(torch.zeros(1, extra, 8))
        self.place = nn.Parameter(torch.zeros(1, extra + grid[0] * grid[1], 8))
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.extra.expand(len(x), -1, -1), x], 1) + self.place
        return self.head(self.norm(self.block(x)).mean(1))


class Attention(nn.Module):
    """Two heads, as people write them: a fused kernel, a softmax between products ("eager"), or PyTorch's function."""

    def __init__(self, width: int, form: str) -> None:
        super().__init__()
        self.form, self.width = form, width
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "module":
            y, _ = F.multi_head_attention_forward(
                *[x.transpose(0, 1)] * 3, self.width, 2, self.qkv.weight, self.qkv.bias, None, None, False, 0.0,
                self.proj.weight, self.proj.bias, training=False, need_weights=False,
            )  # fmt: skip
            return y.transpose(0, 1)
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, 2, -1).permute(2, 0, 3, 1, 4).unbind(0)
        if self.form == "fused":
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(dim=-1) @ v
        return self.proj(y.transpose(1, 2).reshape(x.shape))


class Attended(nn.Module):
    """A map whose positions are tokens: x + attention(x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = Attention(width, "fused")

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return x + self.attention(tokens).transpose(1, 2).reshape(x.shape)


class ViT(nn.Module):
    """A vision transformer in small: 3 x 4 patches of 4 x 4 pixels, a class token, two blocks, a classifier."""

    def __init__(self, form: str = "fused", width: int = 8, depth: int = 2) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.place = nn.Parameter(torch.zeros(1, 13, width))
        self.blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm1": nn.LayerNorm(width),
                    "attention": Attention(width, form),
                    "norm2": nn.LayerNorm(width),
                    "mlp": nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)),
                }
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.place
        for block in self.blocks:
            x = x + block["attention"](block["norm1"](x))
            x = x + block["mlp"](block["norm2"](x))
        return self.head(self.norm(x)[:, 0])


class CifarBlock(nn.Module):
    """Two convolutions with functional ReLUs; a shortcut without weights: every second pixel, channels filled up."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.stride, self.more = stride, (after - before) // 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride != 1 or self.more:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more, self.more))
        return F.relu(y + x)


class CifarResNet20(nn.Module):
    """CIFAR-10's ResNet-20 (He et al., 2016), 16-32-64 channels, written with F.relu."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, 1)
        self.layer2 = self._stage(16, 32, 2)
        self.layer3 = self._stage(32, 64, 2)
        self.linear = nn.Linear(64, 10)

    @staticmethod
    def _stage(before: int, after: int, stride: int) -> nn.Sequential:
        blocks = [CifarBlock(before, after, stride), CifarBlock(after, after, 1), CifarBlock(after, after, 1)]
        return nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def torchvision(name: str, classes: int = 20, dtype: torch.dtype = torch.float64, seed: int = 0) -> nn.Module:
    """A network of torchvision in eval mode with random weights; wide classifiers are narrowed, so that it is quick."""
    models = import_torchvision().models
    extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        module = models.get_model(name, weights=None, num_classes=classes, **extra)
        if name.startswith(("alexnet", "vgg")):
            wide = next(part.in_features for part in module.classifier if isinstance(part, nn.Linear))
            module.classifier = nn.Sequential(
                nn.Dropout(), nn.Linear(wide, 64), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(64, classes)
            )
    return fill(module.to(dtype).to_empty(device="cpu"), seed).eval()


def fill(module: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights after He et al. (2015), with statistics of BatchNorm that are not trivial; deterministic."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            if not value.is_floating_point() or not value.numel():
                value.zero_()
            elif name.endswith("running_var") or (value.ndim == 1 and name.endswith("weight")):
                value.uniform_(0.5, 1.5, generator=generator)
            elif value.ndim == 1:
                value.normal_(0, 0.1, generator=generator)
            else:
                value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
    return module
