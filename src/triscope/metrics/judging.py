"""Computing a judgement: image by image and map by map, with the result so far after each."""

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from triscope.errors import ImageError, NetworkError
from triscope.methods import Step
from triscope.metrics.baselines import BASELINES
from triscope.metrics.journal import Journal, digest
from triscope.metrics.judgement import Judgement, Number
from triscope.metrics.numbers import Explainer, ImageJudge
from triscope.metrics.sanity import randomised
from triscope.network import ImageBatch, Network
from triscope.objectives.base import Objective


@dataclass(frozen=True, eq=False)
class Photo:
    """One image (a batch of one), its objective, and the score (1,).

    `mask` (H, W) marks the pixels of the object, None where it is not known; `kept` (1, C, H, W) is what the result
    keeps of the image.
    """

    name: str
    image: ImageBatch
    objective: Objective
    score: Tensor
    mask: Tensor | None
    kept: Tensor


@dataclass(frozen=True, eq=False)
class Photos:
    """The images to judge on, `count` of them, read one by one; `each` yields None for an image that cannot be used.

    `joined` makes one objective for a batch from those of its images, `notes` gives sentences on what was left out so
    far, and `masked` says whether there are masks of objects.
    """

    count: int
    each: Iterable[Photo | None]
    joined: Callable[[Sequence[Objective]], Objective]
    notes: Callable[[], Sequence[str]] = tuple
    masked: bool = False


@dataclass(eq=False)
class Judging:
    """Computes the numbers of `explainers`, by name, and of the baselines, and adds them to `journal`."""

    network: Network
    explainers: Mapping[str, Explainer]
    numbers: Sequence[Number]
    baselines: bool = True
    steps: int = 28
    seed: int = 0
    journal: Journal = field(default_factory=lambda: Journal(None, {}))
    _seen: list[Photo] = field(default_factory=list)
    _values: list[Tensor] = field(default_factory=list)
    _refused: dict[str, NetworkError] = field(default_factory=dict)
    _random: Sequence[Network] | None = None

    @property
    def rows(self) -> tuple[str, ...]:
        """The maps: methods, then baselines."""
        return (*self.explainers, *(BASELINES if self.baselines else ()))

    def run(self, photos: Photos) -> Generator[Step[Judgement]]:
        """One step per computed map. Numbers that the journal has are taken from there, without a step.

        Raises ImageError if none of the images can be used, and NetworkError if no method works on the network.
        """
        total, done, yielded = photos.count * len(self.rows), 0, 0
        for photo in photos.each:
            if photo is None:
                done += len(self.rows)
                continue
            self._seen.append(photo)
            self._values.append(torch.full((len(self.rows), len(self.numbers)), math.nan, dtype=torch.float64))
            for computed in self._maps(photo):
                done += 1
                if computed:
                    yielded = done
                    yield Step(done, total, math.nan, {}, self._result(photos))
        if not self._seen:
            raise ImageError(f"None of the {photos.count} images can be used. {' '.join(photos.notes())}")
        if yielded < total or photos.notes():
            yield Step(total, total, math.nan, {}, self._result(photos))

    def _maps(self, photo: Photo) -> Iterator[bool]:
        """Fill in the numbers of one image, map by map; yields for each whether anything was computed."""
        known = digest(photo.image.images, photo.mask)
        judge: ImageJudge | None = None
        for place, row in enumerate(self.rows):
            key = (known, str(photo.objective), row)
            missing = self.journal.missing(key, self.numbers)
            if missing and row not in self._refused:
                judge = judge or self._judge(photo)
                try:
                    found = self._numbers(judge, row, missing)
                except NetworkError as error:
                    self._refuse(row, error)
                    yield False
                    continue
                self.journal.add(key, photo.name, dict(zip(missing, found, strict=True)))
            values = self.journal.known(key, self.numbers)
            if values is not None:
                self._values[-1][place] = torch.tensor(values, dtype=torch.float64)
            yield bool(missing)

    def _numbers(self, judge: ImageJudge, row: str, numbers: Sequence[Number]) -> list[float]:
        if row in self.explainers:
            return judge.of(self.explainers[row], numbers)
        return judge.of_baseline(row, numbers)

    def _refuse(self, row: str, error: NetworkError) -> None:
        """Leave out a method that does not work on the network; raises the error where no method is left."""
        self._refused[row] = error
        if all(name in self._refused for name in self.explainers):
            raise error

    def _judge(self, photo: Photo) -> ImageJudge:
        if self._random is None and "randomisation" in self.numbers:
            self._random = list(randomised(self.network, seed=self.seed))
        return ImageJudge(
            self.network,
            photo.image,
            photo.objective,
            steps=self.steps,
            seed=self.seed,
            mask=photo.mask,
            random=self._random,
        )

    def _result(self, photos: Photos) -> Judgement:
        """The result so far."""
        kept = [place for place, row in enumerate(self.rows) if row not in self._refused]
        refused = [f"{row} was left out. {error}" for row, error in self._refused.items()]
        return Judgement(
            torch.stack(self._values)[:, kept].to(self._seen[0].image.images.dtype),
            rows=tuple(self.rows[place] for place in kept),
            columns=tuple(self.numbers),
            names=tuple(photo.name for photo in self._seen),
            image=torch.cat([photo.kept for photo in self._seen]),
            scores=torch.cat([photo.score for photo in self._seen]),
            objective=photos.joined([photo.objective for photo in self._seen]),
            notes=(*refused, *photos.notes()),
        )
