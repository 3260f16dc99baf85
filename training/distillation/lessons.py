"""Training batches: crops, augmentation and targets, determined by the seed and the step number alone."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.distillation.photos import Photos, boxes, cut, order
from training.distillation.teacher import CLASSES, SIZE
from triscope.network.loading.pocket import MEAN, STD

LUMA = torch.tensor([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Lesson:
    """A batch: normalised images (B, 3, S, S), target probabilities (B, 1000), the teacher's features (B, N)."""

    images: Tensor
    answers: Tensor
    features: Tensor


@dataclass(frozen=True)
class Style:
    """How crops become batches: temperature of the targets, and augmentation."""

    temperature: float = 2.0  # of the teacher's softmax
    truth: float = 0.1  # weight of a known class in the targets, against the teacher
    plain: float = 0.25  # share of batches without mixing
    blend: float = 0.4  # share of batches with mixup; the rest get CutMix
    colour: float = 0.25  # range of the brightness factor; that of saturation is twice as wide


class Lessons:
    """Batches of `batch` crops; teacher and student see the same crops.

    Crops and mixtures are new in every second epoch and reused in the next with the teacher's cached outputs, since the
    teacher costs as much as the student's step. The first epoch shows each photo once, later ones in proportion to its
    weight.
    """

    def __init__(
        self, photos: Photos, weights: np.ndarray, teacher: nn.Module, batch: int, seed: int, style: Style
    ) -> None:
        self.photos, self.weights, self.teacher = photos, weights, teacher
        self.batch, self.seed, self.style = min(batch, len(photos)), seed, style
        self.per_epoch = len(photos) // self.batch
        self._boxes = lru_cache(maxsize=2)(lambda k: boxes(photos, k, seed))
        self._order = lru_cache(maxsize=2)(self._drawn)
        self.remembered: dict[int, tuple[Tensor, Tensor]] = {}  # the teacher's outputs for batches that will be reused

    def number_of(self, step: int) -> int:
        """The number of a step's batch: epochs 2e and 2e + 1 have the same ones."""
        epoch, place = divmod(step, self.per_epoch)
        return epoch // 2 * self.per_epoch + place

    def chosen(self, number: int) -> tuple[np.ndarray, int]:
        """The photos of a batch and the number of their crop."""
        epoch, place = divmod(number, self.per_epoch)
        return self._order(epoch)[place * self.batch : (place + 1) * self.batch], epoch

    def _drawn(self, epoch: int) -> np.ndarray:
        return order(self.weights if epoch else np.ones(len(self.photos)), epoch, self.seed)

    def pixels(self, step: int, size: int) -> Tensor:
        """The crops of a step: uint8 (B, 3, S, S), S at least the teacher's size."""
        number = self.number_of(step)
        indices, k = self.chosen(number)
        return cut(self.photos, indices, self._boxes(k), max(size, SIZE), seed=number)

    def lesson(self, step: int, pixels: Tensor, size: int, device: torch.device) -> Lesson:
        """The step's augmented crops, at `size` for the student, with the targets from the teacher."""
        number = self.number_of(step)
        indices, _ = self.chosen(number)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        flipped = torch.rand(len(indices), generator=generator) < 0.5
        pixels[flipped] = pixels[flipped].flip(-1)
        truth = torch.zeros(len(indices), CLASSES)
        classes = torch.from_numpy(self.photos.classes[indices])
        truth[classes >= 0] = F.one_hot(classes[classes >= 0], CLASSES).float()
        pixels, truth = mixed(pixels.to(device).float(), truth.to(device), self.style, generator)

        logits, features = (
            self.remembered.pop(number) if number in self.remembered else self._teacher_outputs(step, pixels)
        )
        answers = torch.softmax(logits / self.style.temperature, dim=1)
        answers = answers * (1 - self.style.truth * truth.sum(dim=1, keepdim=True)) + self.style.truth * truth
        again = torch.Generator().manual_seed(self.seed * 1_000_003 + step + 1)
        images = coloured(resized(pixels, size), self.style.colour, again)
        return Lesson(images, answers, features)

    def _teacher_outputs(self, step: int, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's outputs, cached where the batch will be reused."""
        said: tuple[Tensor, Tensor] = self.teacher(resized(pixels, SIZE))
        if step // self.per_epoch % 2 == 0:
            self.remembered[self.number_of(step)] = said
        return said

    def ahead(self, step: int, size: Callable[[int], int], workers: int = 1) -> Iterator[tuple[int, int, Tensor]]:
        """Endless (step, size, pixels) from `step` on; `size()` is called just before a step's crops are cut."""
        with ThreadPoolExecutor(workers) as pool:
            waiting: deque[tuple[int, int, Future[Tensor]]] = deque()
            while True:
                while len(waiting) < workers + 1:
                    number = step + len(waiting)
                    side = size(number)
                    waiting.append((number, side, pool.submit(self.pixels, number, side)))
                number, side, future = waiting.popleft()
                step = number + 1
                yield number, side, future.result()


def resized(pixels: Tensor, size: int) -> Tensor:
    """Pixels (B, 3, S, S) at another size, antialiased when downsampling."""
    if pixels.shape[-1] == size:
        return pixels
    smaller = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    return smaller.contiguous(memory_format=torch.channels_last)


def mixed(pixels: Tensor, truth: Tensor, style: Style, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mix each image with its neighbour in the batch: not at all, by mixup, or by CutMix.

    The neighbour's share is at most a half. `truth` (B, classes) is mixed in the same proportion.
    """
    kind = float(torch.rand((), generator=generator))
    if kind < style.plain:
        return pixels, truth
    others, side = pixels.roll(1, 0), pixels.shape[-1]
    if kind < style.plain + style.blend:
        share = torch.rand(len(pixels), 1, generator=generator).to(pixels.device) / 2
        return pixels.lerp(others, share[:, :, None, None]), truth.lerp(truth.roll(1, 0), share)
    area, ratio = torch.rand(2, generator=generator).tolist()
    longer = 2 ** (ratio - 0.5)
    rows, cols = (min(side, round(side * (area / 2) ** 0.5 * part)) for part in (longer, 1 / longer))
    top, left = (int(torch.randint(side - part + 1, (), generator=generator)) for part in (rows, cols))
    box = (..., slice(top, top + rows), slice(left, left + cols))
    pixels = pixels.clone()
    pixels[box] = others[box]
    return pixels, truth.lerp(truth.roll(1, 0), rows * cols / side**2)


def coloured(pixels: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Pixels (B, 3, H, W), 0 to 255, channels last -> normalised float32, with random colour.

    Brightness and saturation are drawn per image. One 3 x 3 matrix per image applies both and the normalisation.
    """
    batch, _, height, width = pixels.shape
    draw = 1 + strength * (2 * torch.rand(2, batch, 1, 1, generator=generator) - 1)
    gain, saturation = draw[0], 2 * draw[1] - 1
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    matrix = gain * (saturation * torch.eye(3) + (1 - saturation) * LUMA.view(3, 1).expand(3, 3)) / (255 * std)
    rows = pixels.permute(0, 2, 3, 1).reshape(batch, height * width, 3).float()
    offset = (-mean / std).expand(batch, 1, 3)
    done = torch.baddbmm(offset.to(pixels.device), rows, matrix.to(pixels.device))
    return done.view(batch, height, width, 3).permute(0, 3, 1, 2)
