"""Units: a class, a channel, a neuron, the energy of a layer; for directions see `directions`.

Logit(281)                              a class, by index or by name
Channel("features.10", 42)              a feature map: its mean, or its maximum
Neuron("features.10", 42, row=3, col=5) one position of it
Energy("features.10")                   how strongly a whole layer responds
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from torch import Tensor

from triscope.errors import NetworkError, ObjectiveError
from triscope.objectives.base import Activations, Need, Objective, Spatial
from triscope.objectives.detection import asked_of_each
from triscope.objectives.names import Class, Classes, classes_of, classes_text, indices_of, name_text, pick
from triscope.objectives.outputs import Task, log_probabilities
from triscope.objectives.segmentation import Pixels, shares

if TYPE_CHECKING:
    from triscope.network import Network

OUTPUT = Need("output")

Form: TypeAlias = Literal["logit", "probability", "log-probability"]

_GIVES = {"embedding": "an embedding", "number": "one number"}


@dataclass(frozen=True, repr=False, init=False)
class Logit(Objective):
    """The score of a class: output (B, K) -> (B,).

    `classes` is an index, a name, or a sequence with one of these per image. `form` is the logit itself (unbounded),
    its softmax probability in [0, 1], or the logarithm of that.
    """

    classes: Classes
    form: Form = "logit"
    task: Task = "classes"

    def __init__(self, classes: Class | Iterable[Class], form: Form = "logit", task: Task = "classes") -> None:
        object.__setattr__(self, "classes", classes_of(classes))
        object.__setattr__(self, "form", form)
        object.__setattr__(self, "task", task)
        if form not in ("logit", "probability", "log-probability"):
            raise ObjectiveError(f"A class score is a logit, a probability or a log-probability, not {form!r}.")

    @property
    def needs(self) -> frozenset[Need]:
        """The network's output."""
        return frozenset({OUTPUT})

    def __call__(self, activations: Activations) -> Tensor:
        """The score of the class in each image: (B,). Raises ObjectiveError where images and classes do not pair up."""
        output = _scores(activations[OUTPUT])
        if self.form != "logit":
            output = log_probabilities(output, self.task)
        score = pick(output, self.classes)
        return score.exp() if self.form == "probability" else score

    def bind(self, network: "Network") -> "Logit":
        """The same question with class names turned into indices."""
        if self.form != "logit" and network.task in ("embedding", "number"):
            raise ObjectiveError(
                f"{self} asks for a probability, and {network.name} gives {_GIVES[network.task]} for an image; use the "
                "number itself, without prob:, or state what it is: Network(..., task=)."
            )
        network.require_classifier()
        return Logit(indices_of(self.classes, network), self.form, network.task)

    def of(self, image: int) -> "Logit":
        """The class asked of that image."""
        return Logit(self.classes[image], self.form, self.task) if isinstance(self.classes, tuple) else self

    def __str__(self) -> str:
        prefix = {"logit": "", "probability": "prob:", "log-probability": "logprob:"}[self.form]
        return prefix + classes_text(self.classes)


@dataclass(frozen=True, repr=False)
class TopClass(Objective):
    """Each image's own best class: asked where nothing else is. Resolves to what it turned out to be.

    That is the `Logit` of the best class; of a segmenter the `Pixels` predicted as the class that most of them are; of
    a detector the `Box` that it is most certain of.
    """

    @property
    def needs(self) -> frozenset[Need]:
        """The network's output."""
        return frozenset({OUTPUT})

    def __call__(self, activations: Activations) -> Tensor:
        """The score of each image's best class: (B,). Of several that are equal it is the one that `resolve` names."""
        return self.resolve(activations)(activations)

    def bind(self, network: "Network") -> "TopClass":
        """Itself; refused where the network has no classes."""
        network.count_classes()
        return self

    def resolve(self, activations: Activations) -> Objective:
        """The question about the class that was best in each image."""
        output = activations[OUTPUT]
        if output.ndim == 3:
            return asked_of_each(output)
        shares_of = _scores(output) if output.ndim != 4 else shares(output)
        best = shares_of.argmax(1).tolist()
        asked = best[0] if len(best) == 1 else tuple(best)
        if output.ndim == 2:
            return Logit(asked)
        return Pixels(asked, None if output.shape[1] == 1 else "predicted").resolve(activations)


#: The question asked where none is given.
TOP_CLASS = TopClass()


@dataclass(frozen=True, repr=False)
class Channel(Spatial):
    """The response of one feature map, its mean or its maximum: (B, C, h, w) -> (B,).

    In a layer of vectors (B, D), such as AlexNet's last hidden layer, a channel is one number of the vector.
    """

    layer: str
    index: int
    pool: Literal["mean", "max"] = "mean"

    @property
    def needs(self) -> frozenset[Need]:
        """The layer, pooled."""
        return frozenset({Need(self.layer, self.pool)})

    @property
    def map_needs(self) -> frozenset[Need]:
        """The layer, whole."""
        return frozenset({Need(self.layer)})

    def __call__(self, activations: Activations) -> Tensor:
        """The pooled response: (B,)."""
        return activations[Need(self.layer, self.pool)][:, self.index]

    def map(self, activations: Activations) -> Tensor:
        """The feature map: (B, h, w)."""
        return _volume(activations[Need(self.layer)])[:, self.index]

    def bind(self, network: "Network") -> "Channel":
        """The same question, its layer and channel known to exist."""
        _check_channel(network, self.layer, self.index)
        return self

    def __str__(self) -> str:
        return f"{'max:' if self.pool == 'max' else ''}{name_text(self.layer)}:{self.index}"


@dataclass(frozen=True, repr=False)
class Neuron(Spatial):
    """One position of one feature map: (B, C, h, w) -> (B,)."""

    layer: str
    index: int
    row: int
    col: int

    @property
    def needs(self) -> frozenset[Need]:
        """The layer, whole."""
        return frozenset({Need(self.layer)})

    @property
    def map_needs(self) -> frozenset[Need]:
        """The layer, whole."""
        return self.needs

    def __call__(self, activations: Activations) -> Tensor:
        """The response at that position: (B,). Raises ObjectiveError where the map has no such position."""
        values = self.map(activations)
        rows, cols = values.shape[1:]
        if not (0 <= self.row < rows and 0 <= self.col < cols):
            raise ObjectiveError(
                f"{self} asks for row {self.row}, column {self.col}; here the maps of {self.layer} have "
                f"rows 0 to {rows - 1} and columns 0 to {cols - 1}."
            )
        return values[:, self.row, self.col]

    def map(self, activations: Activations) -> Tensor:
        """The whole feature map: (B, h, w)."""
        return _volume(activations[Need(self.layer)])[:, self.index]

    def bind(self, network: "Network") -> "Neuron":
        """The same question, its layer and channel known to exist; the position depends on the image's size."""
        _check_channel(network, self.layer, self.index)
        return self

    def __str__(self) -> str:
        return f"{name_text(self.layer)}:{self.index}@{self.row},{self.col}"


@dataclass(frozen=True, repr=False)
class Energy(Spatial):
    """How strongly a whole layer responds: the mean of its squares, (B, C, h, w) -> (B,). What a dream raises."""

    layer: str

    @property
    def needs(self) -> frozenset[Need]:
        """The layer, whole."""
        return frozenset({Need(self.layer)})

    @property
    def map_needs(self) -> frozenset[Need]:
        """The layer, whole."""
        return self.needs

    def __call__(self, activations: Activations) -> Tensor:
        """The mean square: (B,)."""
        return activations[Need(self.layer)].square().flatten(1).mean(1)

    def map(self, activations: Activations) -> Tensor:
        """The mean square over the channels at every position: (B, h, w)."""
        return _volume(activations[Need(self.layer)]).square().mean(1)

    def bind(self, network: "Network") -> "Energy":
        """The same question, its layer known to exist."""
        network.layer(self.layer)
        return self


def _check_channel(network: "Network", layer: str, index: int) -> None:
    channels = network.layer(layer).channels
    if not 0 <= index < channels:
        raise ObjectiveError(
            f"{layer} of {network.name} has channels 0 to {channels - 1}; there is no channel {index}."
        )


def _scores(output: Tensor) -> Tensor:
    if output.ndim != 2:
        raise NetworkError(
            f"A class score needs an output of one row per image, (B, K); this network gives {tuple(output.shape)}. "
            "Use an inner unit instead, such as LAYER:CHANNEL."
        )
    return output


def _volume(values: Tensor) -> Tensor:
    """(B, C, h, w) as it is; a vector (B, D) as D maps of one position."""
    return values if values.ndim == 4 else values[:, :, None, None]
