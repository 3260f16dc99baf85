"""Every unit of a layer, optimised: a grid of images that shows a layer at a glance.

    x*(c) = argmax over x of  mean of channel c(x) - priors(x)      for every channel c

Each image is as in `triscope.what.ascend`. Many are made in one batch, from the same noise: the place of a converged
one goes to the next (`triscope.what.optimisation.many`).

**When it misleads.** As gradient ascent does, and more: on a grid, the regulariser's own colours and textures look like
a property of the layer. A layer's channels have no order, and neighbours in the grid are not related. A channel without
an image had no gradient for this noise; for another it may.

**Reference.** C. Olah, A. Mordvintsev, L. Schubert, "Feature visualization", Distill 2017; L. Schubert, M. Petrov,
S. Carter, N. Cammarata, G. Goh, C. Olah, "OpenAI Microscope", 2020.

**Differences from the paper.** The random views of an ascent repeat after some 16 steps, so that an image does not
depend on what it shared its batch with, and so that its score can be compared from one round of views to the next.
Where the processor computes in bfloat16, images are optimised in it; scores are of the network as it is.
"""

import math
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Self

import torch
from torch import Tensor

from triscope.errors import ObjectiveError, OptionError
from triscope.methods import BatchSize, Group, LayerInput, NetworkArg, Range, Seed, Step, Steps, method
from triscope.network import Network
from triscope.network.variants.precision import Precision, in_precision
from triscope.objectives.base import Activations, Need, Objective
from triscope.objectives.units import Channel, Logit
from triscope.results import PerImage, Picture, note_about
from triscope.what.optimisation.many import Made, ManySpec, ascend_many
from triscope.what.optimisation.regularisers import REGULARISERS, Regulariser, typical
from triscope.what.optimisation.transforms import Transform
from triscope.what.optimisation.view_sizes import fitted


@dataclass(frozen=True, eq=False)
class UnitPictures(Picture):
    """An image for each unit: values (B, C, H, W) in [0, 1], grey for a unit that has none.

    `asked` names the units, `places` say the layer and the channel of each, `scores` (B,) are their responses to their
    images (NaN where there is none), and `steps` (B,) how many were taken.
    """

    scores: PerImage[Tensor]
    asked: PerImage[tuple[str, ...]]
    places: PerImage[tuple[tuple[str, int], ...]] = field(kw_only=True)
    steps: PerImage[Tensor] = field(kw_only=True)

    def summary(self) -> dict[str, Any]:
        """The units, their scores and steps; a unit without an image has no score."""
        scores = [None if math.isnan(score) else score for score in self.scores.tolist()]
        return {"units": list(self.asked), "scores": scores, "steps": self.steps.tolist(), **super().summary()}

    @property
    def brief(self) -> str:
        """How many, and of what size."""
        return f"{len(self)} of {' x '.join(map(str, self.values.shape[1:]))}"

    def __getitem__(self, index: int) -> Self:
        """One of them; its recipe is that of the unit alone."""
        one = super().__getitem__(index)
        ((layer, channel),) = one.places
        options = {**one.recipe.options, "layers": [layer], "channels": [str(channel)]}
        return replace(one, recipe=replace(one.recipe, options=options))


@method("what")
def units(
    network: NetworkArg,
    layers: Annotated[tuple[str, ...], LayerInput(many=True, argument=True)],
    *,
    channels: Sequence[str] | None = None,
    size: Annotated[int | None, Range(8, 4096)] = None,
    steps: Steps = 256,
    tolerance: Annotated[float, Range(0, 1)] = 0.005,
    seed: Seed = 0,
    regulariser: Annotated[Regulariser, Group(REGULARISERS)] = REGULARISERS["natural"],
    precision: Precision = "auto",
    batch: BatchSize = 16,
) -> Generator[Step[UnitPictures]]:
    """An image for every channel of one or more layers, by gradient ascent on many channels at once.

    Values (B, C, size, size) in [0, 1], the channels of the first layer first; of `output`, the classes. Channels whose
    gradient stays zero stay grey, and a note names them. Raises ObjectiveError if a layer has no such channel.

    channels      the channels, such as 0-63,70  [default: all]
    size          side of the images, in pixels  [default: the network's usual size]
    steps         maximum number of steps per image
    tolerance     stop an image early once 16 steps add less than this fraction of its score's rise; 0 takes all steps
    seed          random seed of the initial noise, which all images share, and of the random views
    regulariser   what keeps the images natural; it sets the defaults of the options from canvas to contribution-clip,
                  as in ascend
    precision     number format: float32, bfloat16, or auto (bfloat16 if the processor supports it natively)
    batch         number of images optimised at once
    """
    asked = [LayerUnits.of(network, layer, channels) for layer in dict.fromkeys(layers)]
    total = steps * sum(len(one.channels) for one in asked)
    sides = (size, size) if size else network.size
    reader = in_precision(precision, network)
    made: dict[tuple[str, int], Made] = {}
    before, result = 0, _pictures(asked, made, network.channels, sides)
    for layer in asked:
        spec = ManySpec(
            reader, network, len(layer.channels), layer.question(regulariser, sides),
            canvas=regulariser.make_canvas(network, sides),
            transforms=_views(layer, reader, regulariser, sides),
            edits=regulariser.edits(),
            rate=regulariser.rate, steps=steps, places=batch, tolerance=tolerance, seed=seed,
        )  # fmt: skip
        for tick in ascend_many(spec):
            if tick.made:
                made |= {(layer.name, layer.channels[one.number]): one for one in tick.made}
                result = _pictures(asked, made, network.channels, sides)
            yield Step(before + tick.taken, total, tick.score, {}, result)
        before += steps * len(layer.channels)


@dataclass(frozen=True)
class LayerUnits:
    """Channels of a layer; of an output of classes, those classes."""

    network: Network
    name: str
    channels: tuple[int, ...]
    classes: bool

    @classmethod
    def of(cls, network: Network, name: str, chosen: Sequence[str] | None = None) -> "LayerUnits":
        """The channels of a layer, or the `chosen` ones. Raises LayerNotFound, ObjectiveError and OptionError."""
        layer = network.layer(name)
        channels = tuple(range(layer.channels)) if chosen is None else tuple(_numbers(chosen))
        for channel in channels:
            Channel(layer.name, channel).bind(network)
        if not channels:
            raise ObjectiveError(f"{name} of {network.name} has no channels; see network.layers.")
        return cls(network, layer.name, channels, layer.name == "output" and layer.grid in ((1, 1), None))

    def objective(self, channels: Sequence[int]) -> Objective:
        """The objective of several images, each its own channel."""
        return Logit(channels).bind(self.network) if self.classes else EachChannel(self.name, tuple(channels))

    def unit(self, channel: int) -> str:
        """A unit's text form."""
        return str(self.objective([channel]).of(0))

    def question(
        self, regulariser: Regulariser, size: tuple[int, int]
    ) -> Callable[[Sequence[int]], tuple[Objective, Objective | None]]:
        """The objective and priors of some of the channels, by their numbers here."""
        typically = typical(self.network, self.objective(self.channels[:1]), size) if regulariser.needs_typical else 1.0

        def ask(numbers: Sequence[int]) -> tuple[Objective, Objective | None]:
            asked = self.objective([self.channels[number] for number in numbers])
            return asked, regulariser.priors_of(asked, typically)

        return ask


@dataclass(frozen=True, repr=False)
class EachChannel(Objective):
    """The mean response of a channel of its own for each image: (B, C, h, w) -> (B,)."""

    layer: str
    indices: tuple[int, ...]

    @property
    def needs(self) -> frozenset[Need]:
        """The layer, pooled."""
        return frozenset({Need(self.layer, "mean")})

    def __call__(self, activations: Activations) -> Tensor:
        """Each image's channel: (B,)."""
        values = activations[Need(self.layer, "mean")]
        return values.gather(1, torch.tensor(self.indices, device=values.device)[:, None])[:, 0]

    def bind(self, network: Network) -> Self:
        """The same objective, its layer and channels known to exist."""
        for index in set(self.indices):
            Channel(self.layer, index).bind(network)
        return self

    def of(self, image: int) -> Objective:
        """The objective of that image."""
        return Channel(self.layer, self.indices[image])


def _views(
    layer: LayerUnits, network: Network, regulariser: Regulariser, size: tuple[int, int]
) -> tuple[Transform, ...]:
    views = regulariser.transforms(min(size))
    asked = layer.objective(layer.channels[:1])
    return (*views, *fitted(network, asked, size, regulariser.scale)) if regulariser.scale else views


def _numbers(words: Sequence[str]) -> Iterator[int]:
    """The numbers that words such as 7 and 0-63 name, in their order, each once."""
    seen = set()
    for word in words:
        found = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", word)
        if found is None or int(found[2] or found[1]) < int(found[1]):
            raise OptionError(f"channels are numbers and ranges of them, such as 0-63,70; {word!r} is none.")
        for number in range(int(found[1]), int(found[2] or found[1]) + 1):
            if number not in seen:
                seen.add(number)
                yield number


def _pictures(
    asked: Sequence[LayerUnits], made: Mapping[tuple[str, int], Made], channels: int, size: tuple[int, int]
) -> UnitPictures:
    """The images so far; grey where there is none."""
    places = [(layer.name, channel) for layer in asked for channel in layer.channels]
    found = [made.get(place) for place in places]
    grey = torch.full((channels, *size), 0.5)
    dead: dict[str, list[int]] = {}
    for row, one in enumerate(found):
        for sentence in one.notes if one else ():
            dead.setdefault(sentence, []).append(row)
    return UnitPictures(
        torch.stack([grey if one is None or one.picture is None else one.picture.cpu() for one in found]),
        torch.tensor([float("nan") if one is None or one.score is None else one.score for one in found]),
        tuple(layer.unit(channel) for layer in asked for channel in layer.channels),
        places=tuple(places),
        steps=torch.tensor([one.steps if one else 0 for one in found]),
        notes=tuple(note_about(sentence, rows, len(found)) for sentence, rows in dead.items()),
    )
