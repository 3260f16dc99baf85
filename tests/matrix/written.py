"""Small networks with the calling conventions and outputs that libraries have."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Plain(nn.Module):
    """Two convolutions, and a head of five classes; what is made of it is up to those that follow."""

    def __init__(self, channels: int = 3, classes: int = 5) -> None:
        super().__init__()
        self.stem, self.body = nn.Conv2d(channels, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, classes)

    def maps(self, x: Tensor) -> Tensor:
        """The last maps."""
        return F.relu(self.body(F.relu(self.stem(x))))

    def forward(self, x: Tensor) -> Any:
        return self.head(self.maps(x).mean((2, 3)))


class LeNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(16 * 4 * 4, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.flatten(1))))))


class Perceptron(nn.Module):
    def __init__(self, view: bool = False) -> None:
        super().__init__()
        self.view = view
        self.layers = nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.view(-1, 784) if self.view else x.flatten(1))


@dataclass
class Answer:
    logits: Tensor
    hidden: Tensor


class Returning(Plain):
    """Gives what `form` makes of its scores and maps."""

    def __init__(self, form: Callable[[Tensor, Tensor], Any], **options: int) -> None:
        super().__init__(**options)
        self.form = form

    def forward(self, x: Tensor) -> Any:
        maps = self.maps(x)
        return self.form(self.head(maps.mean((2, 3))), maps)


class UNet(nn.Module):
    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.middle, self.up1 = nn.Conv2d(16, 16, 3, padding=1), nn.ConvTranspose2d(16, 8, 2, 2)
        self.join, self.up2 = nn.Conv2d(16, 8, 3, padding=1), nn.ConvTranspose2d(8, 8, 2, 2)
        self.head = nn.Conv2d(8, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = F.relu(self.down1(x))
        two = F.relu(self.down2(F.max_pool2d(one, 2)))
        three = F.relu(self.middle(F.max_pool2d(two, 2)))
        up = F.relu(self.join(torch.cat([self.up1(three), F.max_pool2d(one, 2)], 1)))
        return self.head(self.up2(up))


class VAE(Plain):
    def forward(self, x: Tensor) -> Tensor:
        mean = self.maps(x).mean((2, 3))
        return self.head(mean + 0.1 * torch.randn_like(mean))


class Siamese(Plain):
    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        return self.head(self.maps(x).mean((2, 3)) - self.maps(other).mean((2, 3)))


class Keyword(Plain):
    def forward(self, *, pixel_values: Tensor) -> Tensor:
        return super().forward(pixel_values)


class Listed(Plain):
    def forward(self, images: list[Tensor]) -> Tensor:
        if not isinstance(images, list):
            raise TypeError("a list of images is wanted")
        return super().forward(torch.stack(images))


class Metadata(Plain):
    def forward(self, x: Tensor, meta: Tensor) -> Tensor:
        return super().forward(x) + meta


class FrozenBackbone(Plain):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            maps = self.maps(x)
        return self.head(maps.mean((2, 3)))


class Checkpointed(Plain):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        return self.head(checkpoint(self.maps, x, use_reentrant=self.reentrant).mean((2, 3)))


class Recurrent(nn.Module):
    """Columns of maps through an LSTM: (B, T, K) with `each`, else the last of them."""

    def __init__(self, each: bool) -> None:
        super().__init__()
        self.conv, self.lstm, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.LSTM(8, 12, batch_first=True), nn.Linear(12, 6)
        self.each = each

    def forward(self, x: Tensor) -> Tensor:
        found, _ = self.lstm(F.relu(self.conv(x)).mean(2).transpose(1, 2))
        return self.head(found if self.each else found[:, -1])


class Branching(Plain):
    def forward(self, x: Tensor) -> Tensor:
        maps = self.maps(x)
        return self.head(maps.mean((2, 3)) if float(x.detach().std()) > 1e-6 else maps.amax((2, 3)))


class Twice(Plain):
    def maps(self, x: Tensor) -> Tensor:
        y = F.relu(self.stem(x))
        return F.relu(self.body(F.relu(self.body(y))))


class Proposals(nn.Module):
    """Scores of the five best places of each image, a row for each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.box = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        tokens = F.relu(self.conv(x)).flatten(2).transpose(1, 2)
        best = tokens.sum(2).topk(5).indices
        rows = self.box(tokens.gather(1, best[:, :, None].expand(-1, -1, 8)).flatten(0, 1))
        return rows.view(len(x), 5, 6).mean(1)


class SequenceFirst(nn.Module):
    """Tokens come first, images second, as in `nn.MultiheadAttention`."""

    def __init__(self, batch_first: bool = False) -> None:
        super().__init__()
        self.patches, self.batch_first = nn.Conv2d(3, 16, 8, 8), batch_first
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=batch_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2)
        found = self.encoder(tokens.transpose(1, 2) if self.batch_first else tokens.permute(2, 0, 1))
        return self.head(found.mean(1 if self.batch_first else 0))


class Einsum(nn.Module):
    """Mixes channels by einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.mix, self.after = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 8), nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("bchw,dc->bdhw", self.conv(x), self.mix.weight)
        return self.head(F.relu(self.after(y)).mean((2, 3)))


class Shuffled(nn.Module):
    """Its tokens are in an order of their own, and come back as if they were maps."""

    def __init__(self, known: bool) -> None:
        super().__init__()
        self.conv, self.mix, self.after, self.head = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 5)
        self.known = known

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        count, channels, rows, cols = y.shape
        order = torch.randperm(rows * cols, generator=torch.Generator().manual_seed(3))
        tokens = y.flatten(2).transpose(1, 2)
        tokens = tokens[:, order] if self.known else torch.einsum("bnc,mn->bmc", tokens, torch.eye(rows * cols)[order])
        return self.head(self.after(self.mix(tokens)).transpose(1, 2).view(count, channels, rows, cols).mean((2, 3)))


class Six(Plain):
    def __init__(self) -> None:
        super().__init__(channels=6)


class Volume(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv3d(3, 8, 3, padding=1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.conv(x)).mean((2, 3, 4)))


class OneAtATime(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x).reshape(1, 8, 256).mean(2))


class Bytes(Plain):
    def forward(self, x: Tensor) -> Tensor:
        if x.dtype != torch.uint8:
            raise ValueError("images of bytes are wanted")
        return super().forward(x.float())


class Locked(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Clamped(torch.autograd.Function):
    """A ReLU with a way back of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0] * (ctx.saved_tensors[0] > 0)


class OwnRectifier(Plain):
    def maps(self, x: Tensor) -> Tensor:
        return Clamped.apply(self.body(Clamped.apply(self.stem(x))))
