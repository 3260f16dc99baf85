"""The student during training: batch normalisation after each layer, folded into the weights at export."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from triscope.network.loading.pocket import PocketAlexNet

TRUNK = ("features.0", "features.3", "features.6", "features.8", "features.10")
NORMED = (*TRUNK, "classifier.1", "classifier.4")  # the last layer gives logits and is left as it is


class Normed(nn.Module):
    """A convolution or dense layer without bias, then batch normalisation."""

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        super().__init__()
        self.layer = copy.deepcopy(layer)
        self.layer.register_parameter("bias", None)
        self.norm = (nn.BatchNorm2d if isinstance(layer, nn.Conv2d) else nn.BatchNorm1d)(layer.weight.shape[0])

    def forward(self, inputs: Tensor) -> Tensor:
        """As the layer."""
        outputs: Tensor = self.norm(self.layer(inputs))
        return outputs


class Student(nn.Module):
    """PocketAlexNet with batch normalisation after every layer but the last."""

    def __init__(self) -> None:
        super().__init__()
        self.network = PocketAlexNet()
        for name in NORMED:
            layer = self.network.get_submodule(name)
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            self.network.set_submodule(name, Normed(layer))
        nn.init.normal_(self.network.classifier[6].weight, std=0.01)
        nn.init.zeros_(self.network.classifier[6].bias)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits (B, 1000)."""
        logits: Tensor = self.network(images)
        return logits

    def with_hidden(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> logits (B, 1000), the last hidden layer (B, 4096)."""
        pooled = self.network.avgpool(self.network.features(images)).flatten(1)
        hidden = self.network.classifier[:6](pooled)
        return self.network.classifier[6](hidden), hidden

    def normed(self) -> dict[str, Normed]:
        """The normalised layers by their name in PocketAlexNet."""
        found = {name: self.network.get_submodule(name) for name in NORMED}
        return {name: module for name, module in found.items() if isinstance(module, Normed)}


@torch.no_grad()
def folded(student: Student) -> PocketAlexNet:
    """The same function in eval mode, without batch normalisation: w' = w g/s and b' = b - m g/s, s the std."""
    with torch.device("meta"):
        network = PocketAlexNet()
    network.to_empty(device="cpu")
    network.classifier[6].load_state_dict(student.network.classifier[6].state_dict())
    for name, normed in student.normed().items():
        norm = normed.norm
        gain = norm.weight / (norm.running_var + norm.eps).sqrt()
        layer = network.get_submodule(name)
        layer.weight.copy_(normed.layer.weight * gain.view(-1, *[1] * (layer.weight.dim() - 1)))
        layer.bias.copy_(norm.bias - norm.running_mean * gain)
    return network.eval()


@torch.no_grad()
def unfolded(network: PocketAlexNet, batches: Iterable[Tensor]) -> Student:
    """A student that computes the same function, to continue training from a weights file alone.

    Batch normalisation is inserted as the identity: its statistics are those of `batches` (normalised images), its gain
    and shift undo them. Weight rows are rescaled to their norm at initialisation, so that the same learning rates fit.
    """
    student = Student()
    student.network.classifier[6].load_state_dict(network.classifier[6].state_dict())
    statistics = _statistics(network.eval(), batches)
    for name, normed in student.normed().items():
        layer, norm = network.get_submodule(name), normed.norm
        rows = layer.weight.flatten(1).norm(dim=1).clamp_min(1e-8)
        scale = rows / 2**0.5
        mean, variance = statistics[name]
        normed.layer.weight.copy_(layer.weight / scale.view(-1, *[1] * (layer.weight.dim() - 1)))
        norm.running_mean.copy_((mean - layer.bias) / scale)
        norm.running_var.copy_(variance / scale**2)
        norm.weight.copy_((norm.running_var + norm.eps).sqrt() * scale)
        norm.bias.copy_(mean)
    return student


@torch.no_grad()
def reheaded(student: Student, batches: Iterable[Tensor]) -> Student:
    """The student with a new head that approximately preserves the trunk's similarities between images.

    The layer of 1024 units computes the first 512 principal components of the pooled maps of `batches`, scaled to the
    fourth root of their variance, and their negatives, so that its ReLU loses nothing. The next layer is random, with
    opposite weights for the negatives, which approximately preserves angles; the last one has its usual initialisation.
    """
    network = student.network.eval()
    pooled = torch.cat([network.avgpool(network.features(batch)).flatten(1) for batch in batches]).double()
    variance, directions = torch.linalg.eigh(torch.cov(pooled.T))
    new = Student()
    reduced, hidden = (new.normed()[name] for name in ("classifier.1", "classifier.4"))
    count = len(reduced.layer.weight) // 2
    rows, gain = directions[:, -count:].T * 2**0.5, variance[-count:].clamp_min(0) ** 0.25
    reduced.layer.weight.copy_(torch.cat([rows, -rows]))
    reduced.norm.weight.copy_((gain / gain.mean()).repeat(2))
    hidden.layer.weight[:, count:] = -hidden.layer.weight[:, :count]
    student.network.classifier = new.network.classifier
    return student


@torch.no_grad()
def denoised(filters: Tensor, images: Tensor, noise: float) -> Tensor:
    """First-layer filters (K, C, h, w) without the components that photos hardly excite: w S (S + noise I)^-1.

    S (Chw, Chw) is the covariance of the patches of `images` (B, C, H, W). Neighbouring pixels are correlated, so most
    directions have little variance: training does not remove the noise of the initialisation along them. This is the
    ridge regression of the old filter's outputs on the patches, with penalty `noise`.
    """
    patches = F.unfold(images, filters.shape[-2:], stride=8).transpose(1, 2).flatten(0, 1).double()
    covariance = torch.cov(patches.T)
    rows = filters.flatten(1).double() @ covariance
    priced = covariance + noise * torch.eye(len(covariance), dtype=torch.float64)
    return torch.linalg.solve(priced, rows.T).T.to(filters.dtype).view(filters.shape)


def _statistics(network: PocketAlexNet, batches: Iterable[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Mean and variance of each normalised layer's outputs, over the batches."""
    sums: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in NORMED}

    def watch(name: str) -> torch.utils.hooks.RemovableHandle:
        def note(module: nn.Module, inputs: tuple[Tensor], outputs: Tensor) -> None:
            values = outputs.transpose(0, 1).flatten(1).double()
            sums[name].append((values.mean(dim=1), values.square().mean(dim=1)))

        return network.get_submodule(name).register_forward_hook(note)

    handles = [watch(name) for name in NORMED]
    for batch in batches:
        network(batch)
    for handle in handles:
        handle.remove()
    moments = {
        name: [torch.stack(part).mean(dim=0) for part in zip(*noted, strict=True)] for name, noted in sums.items()
    }
    return {name: (m.float(), (s - m.square()).clamp_min(0).float()) for name, (m, s) in moments.items()}
