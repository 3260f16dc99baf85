"""What the student is shown at each step, made from a seed and the step's number alone."""

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
    """Images (B, 3, S, S) ready for the student, the answers (B, 1000), rows adding up to 1, and features (B, N)."""

    images: Tensor
    answers: Tensor
    features: Tensor


@dataclass(frozen=True)
class Style:
    """How crops become lessons."""

    temperature: float = 2.0  # of the teacher's answers
    truth: float = 0.1  # weight of a known class against the teacher's answer
    plain: float = 0.25  # share of batches in which pictures are not mixed
    blend: float = 0.4  # share in which they are blended; in the rest they get a box of another
    colour: float = 0.25  # spread of brightness; saturation's is twice that


class Lessons:
    """Steps of `batch` crops, the teacher shown what the student is shown.

    Crops and mixtures are new in every second epoch and told again in the next, so that the teacher, which costs as
    much as the student's step, is asked for half of them. The first epoch shows each photo once, later ones as often
    as its weight says.
    """

    def __init__(
        self, photos: Photos, weights: np.ndarray, teacher: nn.Module, batch: int, seed: int, style: Style
    ) -> None:
        self.photos, self.weights, self.teacher = photos, weights, teacher
        self.batch, self.seed, self.style = min(batch, len(photos)), seed, style
        self.per_epoch = len(photos) // self.batch
        self._boxes = lru_cache(maxsize=2)(lambda k: boxes(photos, k, seed))
        self._order = lru_cache(maxsize=2)(self._drawn)
        self.remembered: dict[int, tuple[Tensor, Tensor]] = {}  # what the teacher said of lessons to be told again

    def told(self, step: int) -> int:
        """The number of a step's lesson: epochs 2e and 2e + 1 tell the same ones."""
        epoch, place = divmod(step, self.per_epoch)
        return epoch // 2 * self.per_epoch + place

    def chosen(self, number: int) -> tuple[np.ndarray, int]:
        """The photos of a lesson and the number of their crop."""
        epoch, place = divmod(number, self.per_epoch)
        return self._order(epoch)[place * self.batch : (place + 1) * self.batch], epoch

    def _drawn(self, epoch: int) -> np.ndarray:
        return order(self.weights if epoch else np.ones(len(self.photos)), epoch, self.seed)

    def pixels(self, step: int, size: int) -> Tensor:
        """The crops of a step: uint8 (B, 3, S, S), S no less than the teacher wants."""
        number = self.told(step)
        indices, k = self.chosen(number)
        return cut(self.photos, indices, self._boxes(k), max(size, SIZE), seed=number)

    def lesson(self, step: int, pixels: Tensor, size: int, device: torch.device) -> Lesson:
        """The step's pixels, flipped, mixed and coloured, of `size` for the student, and what the teacher says."""
        number = self.told(step)
        indices, _ = self.chosen(number)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        flipped = torch.rand(len(indices), generator=generator) < 0.5
        pixels[flipped] = pixels[flipped].flip(-1)
        truth = torch.zeros(len(indices), CLASSES)
        classes = torch.from_numpy(self.photos.classes[indices])
        truth[classes >= 0] = F.one_hot(classes[classes >= 0], CLASSES).float()
        pixels, truth = mixed(pixels.to(device).float(), truth.to(device), self.style, generator)

        logits, features = self.remembered.pop(number) if number in self.remembered else self._asked(step, pixels)
        answers = torch.softmax(logits / self.style.temperature, dim=1)
        answers = answers * (1 - self.style.truth * truth.sum(dim=1, keepdim=True)) + self.style.truth * truth
        again = torch.Generator().manual_seed(self.seed * 1_000_003 + step + 1)
        images = coloured(resized(pixels, size), self.style.colour, again)
        return Lesson(images, answers, features)

    def _asked(self, step: int, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """What the teacher says; remembered where it is told again."""
        said: tuple[Tensor, Tensor] = self.teacher(resized(pixels, SIZE))
        if step // self.per_epoch % 2 == 0:
            self.remembered[self.told(step)] = said
        return said

    def ahead(self, step: int, size: Callable[[int], int], workers: int = 1) -> Iterator[tuple[int, int, Tensor]]:
        """(step, size, pixels) for ever, from `step` on; `size()` is asked just before a step's pixels are cut."""
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
    """Pixels (B, 3, S, S) at another size, smoothed where they shrink."""
    if pixels.shape[-1] == size:
        return pixels
    smaller = F.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    return smaller.contiguous(memory_format=torch.channels_last)


def mixed(pixels: Tensor, truth: Tensor, style: Style, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each picture with its neighbour in the batch: as it is, a blend (mixup), or with a box of the other (CutMix).

    The neighbour has half at most. `truth` (B, classes) is mixed alike.
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
    """Pixels (B, 3, H, W), 0 to 255, channels last -> float32 without mean and spread.

    Brightness and saturation are drawn per image. One 3 x 3 matrix per image does both, and the normalisation with it.
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
