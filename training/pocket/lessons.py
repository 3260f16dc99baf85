"""What the student is shown at each step, made from a seed and the step's number alone."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from photos import Photos, boxes, cut, order
from teacher import CLASSES, Bank, Teacher
from torch import Tensor
from torch.nn import functional as F

from triscope.network.pocket import MEAN, STD

LUMA = torch.tensor([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Lesson:
    """Images (B, 3, S, S) ready for the student, and what to answer: (B, 1000), rows add up to 1."""

    images: Tensor
    answers: Tensor


@dataclass(frozen=True)
class Style:
    """How crops become lessons."""

    temperature: float = 2.0  # of the teacher's answers
    truth: float = 0.1  # weight of a known class against the teacher's answer
    mixup: float = 0.2  # share of batches in which pictures are mixed
    colour: float = 0.25  # spread of brightness; saturation's is twice that
    crops: int = 8  # labelled crops of a photo


class Lessons:
    """Steps of `batch` crops. Epoch e shows crop e mod `crops` of the photos; the first epoch shows each photo once."""

    def __init__(self, photos: Photos, bank: Bank, teacher: Teacher, batch: int, seed: int, style: Style) -> None:
        self.photos, self.bank, self.teacher = photos, bank, teacher
        self.batch, self.seed, self.style = min(batch, len(photos)), seed, style
        self.per_epoch = len(photos) // self.batch
        self._boxes = lru_cache(maxsize=2)(lambda k: boxes(photos, k, seed))
        self._order = lru_cache(maxsize=2)(self._drawn)

    def chosen(self, step: int) -> tuple[np.ndarray, int]:
        """The photos of a step and the number of their crop."""
        epoch, place = divmod(step, self.per_epoch)
        return self._order(epoch)[place * self.batch : (place + 1) * self.batch], epoch % self.style.crops

    def _drawn(self, epoch: int) -> np.ndarray:
        weights = self.bank.balance() if epoch else np.ones(len(self.photos))
        return order(weights, epoch, self.seed)

    def pixels(self, step: int, size: int) -> Tensor:
        """The crops of a step: uint8 (B, 3, size, size)."""
        indices, k = self.chosen(step)
        return cut(self.photos, indices, self._boxes(k), size)

    def lesson(self, step: int, pixels: Tensor, device: torch.device) -> Lesson:
        """The step's pixels, flipped, coloured and mixed, and the teacher's answers to them."""
        indices, k = self.chosen(step)
        self.bank.labels(self.teacher, self.photos, indices, k, self._boxes(k))
        answers = torch.softmax(self.bank.read(indices, k) / self.style.temperature, dim=1)
        classes = torch.from_numpy(self.photos.classes[indices])
        known = classes >= 0
        truth = F.one_hot(classes[known], CLASSES).float()
        answers[known] = answers[known].lerp(truth, self.style.truth)

        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        flipped = torch.rand(len(indices), generator=generator) < 0.5
        pixels[flipped] = pixels[flipped].flip(-1)
        images = coloured(pixels.to(device), self.style.colour, generator)
        answers = answers.to(device)
        if torch.rand((), generator=generator) < self.style.mixup:
            share = float(torch.rand((), generator=generator)) / 2
            images, answers = (part.lerp(part.roll(1, 0), share) for part in (images, answers))
        return Lesson(images, answers)

    def ahead(self, step: int, size: Callable[[int], int], workers: int = 1) -> Iterator[tuple[int, Tensor]]:
        """(step, pixels) for ever, from `step` on; `size()` is asked just before a step's pixels are cut."""
        with ThreadPoolExecutor(workers) as pool:
            waiting: deque[tuple[int, Future[Tensor]]] = deque()
            while True:
                while len(waiting) < workers + 1:
                    number = step + len(waiting)
                    waiting.append((number, pool.submit(self.pixels, number, size(number))))
                number, future = waiting.popleft()
                step = number + 1
                yield number, future.result()


def coloured(pixels: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """uint8 (B, 3, H, W), channels last -> float32 without mean and spread; brightness and saturation drawn per image.

    One 3 x 3 matrix per image does both, and the normalisation with it.
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
