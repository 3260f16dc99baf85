"""Objectives of single units: a class, a channel, a neuron; and of a layer's energy. For directions see `directions`.

Logit(281)                              a class, by index or by name
Channel("features.10", 42)              a feature map: its mean, or its maximum
Neuron("features.10", 42, row=3, col=5) one position of a feature map
Energy("features.10")                   the mean squared activation of a layer
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from torch import Tensor

from triscope.errors import NetworkError, ObjectiveError
from triscope.objectives.base import Activations, Need, Objective, Spatial
from triscope.objectives.detection import top_box
from triscope.objectives.names import Class, Classes, classes_of, classes_text, indices_of, name_text, pick
from triscope.objectives.outputs import Task, log_probabilities
from triscope.objectives.segmentation import Pixels, shares

if TYPE_CHECKING:
    from triscope.network import Network

OUTPUT = Need("output")

Form: TypeAlias = Literal["logit", "probability", "log-probability"]

_OUTPUTS = {"embedding": "an embedding", "number": "one number"}


@dataclass(frozen=True, repr=False, init=False)
class Logit(Objective):
    """The score of a class: output (B, K) -> (B,).

    classes     an index, a name, or a sequence with one of these per image
    form        logit (the output itself), probability (in [0, 1]) or log-probability
    task        what the output is, which decides how probabilities are computed (softmax, sigmoid); set by `bind`
    """

    classes: Classes
    form: Form = "logit"
    task: Task = "classes"

    def __init__(self, classes: Class | Iterable[Class], form: Form = "logit", task: Task = "classes") -> None:
        object.__setattr__(self, "classes", classes_of(classes))
        object.__setattr__(self, "form", form)
        object.__setattr__(self, "task", task)
        if form not in ("logit", "probability", "log-probability"):
            raise ObjectiveError(f"The form of a class score is logit, probability or log-probability, not {form!r}.")

    @property
    def needs(self) -> frozenset[Need]:
        """The network's output."""
        return frozenset({OUTPUT})

    def __call__(self, activations: Activations) -> Tensor:
        """The score of the class in each image: (B,). Raises ObjectiveError if there is not one class per image."""
        output = _scores(activations[OUTPUT])
        if self.form != "logit":
            output = log_probabilities(output, self.task)
        score = pick(output, self.classes)
        return score.exp() if self.form == "probability" else score

    def bind(self, network: "Network") -> "Logit":
        """The objective with class names replaced by indices."""
        if self.form != "logit" and network.task in ("embedding", "number"):
            raise ObjectiveError(
                f"{self} is a probability, and {network.name} outputs {_OUTPUTS[network.task]} per image; use the "
                "output itself, without prob:, or state what it is: Network(..., task=)."
            )
        network.require_classifier()
        return Logit(indices_of(self.classes, network), self.form, network.task)

    def of(self, image: int) -> "Logit":
        """The objective with the class of that image."""
        return Logit(self.classes[image], self.form, self.task) if isinstance(self.classes, tuple) else self

    def __str__(self) -> str:
        prefix = {"logit": "", "probability": "prob:", "log-probability": "logprob:"}[self.form]
        return prefix + classes_text(self.classes)


@dataclass(frozen=True, repr=False)
class TopClass(Objective):
    """The top class of each image: the default objective.

    `resolve` replaces it by the `Logit` of the class with the highest score; for a segmentation network by the `Pixels`
    that are predicted as the most frequent class; for a detector by the `Box` with the highest score.
    """

    @property
    def needs(self) -> frozenset[Need]:
        """The network's output."""
        return frozenset({OUTPUT})

    def __call__(self, activations: Activations) -> Tensor:
        """The score of each image's top class: (B,); in a tie, that of the class that `resolve` names."""
        return self.resolve(activations)(activations)

    def bind(self, network: "Network") -> "TopClass":
        """Itself. Raises NetworkError if the network has no classes."""
        network.count_classes()
        return self

    def resolve(self, activations: Activations) -> Objective:
        """The objective of the top class of each image."""
        output = activations[OUTPUT]
        if output.ndim == 3:
            return top_box(output)
        scores = _scores(output) if output.ndim != 4 else shares(output)
        best = scores.argmax(1).tolist()
        classes = best[0] if len(best) == 1 else tuple(best)
        if output.ndim == 2:
            return Logit(classes)
        return Pixels(classes, None if output.shape[1] == 1 else "predicted").resolve(activations)


#: The default objective.
TOP_CLASS = TopClass()


@dataclass(frozen=True, repr=False)
class Channel(Spatial):
    """The mean or maximum of one feature map: (B, C, h, w) -> (B,).

    In a layer of vectors (B, D), such as AlexNet's last hidden layer, a channel is one entry of the vector.

    layer       the layer
    index       the channel, from 0
    pool        mean or max, over the positions
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
        """The pooled activation: (B,)."""
        return activations[Need(self.layer, self.pool)][:, self.index]

    def map(self, activations: Activations) -> Tensor:
        """The feature map: (B, h, w)."""
        return _volume(activations[Need(self.layer)])[:, self.index]

    def bind(self, network: "Network") -> "Channel":
        """Itself, with its layer and channel checked."""
        _check_channel(network, self.layer, self.index)
        return self

    def __str__(self) -> str:
        return f"{'max:' if self.pool == 'max' else ''}{name_text(self.layer)}:{self.index}"


@dataclass(frozen=True, repr=False)
class Neuron(Spatial):
    """One position of one feature map: (B, C, h, w) -> (B,). `index` is the channel; all numbers are from 0."""

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
        """The activation at that position: (B,). Raises ObjectiveError if the map has no such position."""
        values = self.map(activations)
        rows, cols = values.shape[1:]
        if not (0 <= self.row < rows and 0 <= self.col < cols):
            raise ObjectiveError(
                f"There is no row {self.row}, column {self.col} in the maps of {self.layer}: for this image they have "
                f"rows 0 to {rows - 1} and columns 0 to {cols - 1}."
            )
        return values[:, self.row, self.col]

    def map(self, activations: Activations) -> Tensor:
        """The whole feature map: (B, h, w)."""
        return _volume(activations[Need(self.layer)])[:, self.index]

    def bind(self, network: "Network") -> "Neuron":
        """Itself, with its layer and channel checked. The position is checked in each pass."""
        _check_channel(network, self.layer, self.index)
        return self

    def __str__(self) -> str:
        return f"{name_text(self.layer)}:{self.index}@{self.row},{self.col}"


@dataclass(frozen=True, repr=False)
class Energy(Spatial):
    """The mean squared activation of a layer: (B, C, h, w) -> (B,). The objective of DeepDream."""

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
        """Itself, with its layer checked."""
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
            f"A class score needs an output of one row per image, (B, K); this network's is {tuple(output.shape)}. "
            "Use an inner unit instead, such as LAYER:CHANNEL."
        )
    return output


def _volume(values: Tensor) -> Tensor:
    """Activations as maps: (B, C, h, w) unchanged; vectors (B, D) as D maps of one position, (B, D, 1, 1)."""
    return values if values.ndim == 4 else values[:, :, None, None]
