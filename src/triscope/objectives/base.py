"""The base class of objectives: what an objective reads, its score per image, and arithmetic.

    objective(activations) -> (B,)

An objective lists the activations that it reads (`needs`), and computes one score per image from them. They may come
from a forward pass or from a store. Objectives are immutable: `a + b`, `a - b` and `2 * a` are new objects. The score
is (B,) and not a scalar, so that a batch is B independent problems.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from torch import Tensor

if TYPE_CHECKING:  # networks depend on objectives; an objective gets a network only as an argument, in `bind`
    from triscope.network import Network

Pool: TypeAlias = Literal["none", "mean", "max", "gram", "class", "tokens"]

_CLASS = "@class"


@dataclass(frozen=True, order=True)
class Need:
    """The activations of a layer, whole or pooled, that an objective reads.

    layer       the name of the layer
    pool        none: whole, (B, C, h, w) or (B, D). mean, max: over positions, (B, C) or (B, D). gram: the Gram matrix
                of maps, (B, C, C). For layers of tokens also class: the class token, (B, C), and tokens: all tokens in
                the layer's own order, (B, T, C)
    """

    layer: str
    pool: Pool = "none"

    @classmethod
    def read(cls, text: str) -> "Need":
        """The need for a layer given as text: `norm`, or `norm@class` for its class token."""
        return cls(text.removesuffix(_CLASS), "class") if text.endswith(_CLASS) else cls(text)


Activations: TypeAlias = Mapping[Need, Tensor]


@dataclass(frozen=True, repr=False)
class Objective(ABC):
    """Base class of objectives: functions from a network's activations to one score per image.

    Where-, what- and which-methods take the same objectives. `+`, `-`, `*` and `/` make weighted sums.
    """

    @property
    @abstractmethod
    def needs(self) -> frozenset[Need]:
        """The activations from which the score is computed."""

    @abstractmethod
    def __call__(self, activations: Activations) -> Tensor:
        """One score per image: (B,)."""

    @abstractmethod
    def bind(self, network: "Network") -> "Objective":
        """The objective with all names of classes and layers resolved for `network`, and checked.

        Idempotent. Raises LayerNotFound, ObjectiveError or NetworkError if the network lacks what it needs.
        """

    def resolve(self, activations: Activations) -> "Objective":
        """The objective with all that depends on the images determined, such as the top class. Itself by default."""
        del activations
        return self

    def of(self, image: int) -> "Objective":
        """The objective of the image of that index in the batch. Itself by default."""
        del image
        return self

    def __add__(self, other: "Objective") -> "Objective":
        return Sum(terms_of(self) + terms_of(other))

    def __sub__(self, other: "Objective") -> "Objective":
        return self + -other

    def __mul__(self, factor: float) -> "Objective":
        return Sum(tuple((factor * weight, term) for weight, term in terms_of(self)))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> "Objective":
        return self * (1 / divisor)

    def __neg__(self) -> "Objective":
        return self * -1.0

    def __repr__(self) -> str:
        """The constructor: required fields by position, others by name where they differ from their default."""
        parts = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.default is dataclasses.MISSING:
                parts.append(_shown(value))
            elif value != field.default:
                parts.append(f"{field.name}={_shown(value)}")
        return f"{type(self).__name__}({', '.join(parts)})"


class Spatial(Objective):
    """An objective that also has a score at every position of a layer."""

    @property
    @abstractmethod
    def map_needs(self) -> frozenset[Need]:
        """The activations from which `map` is computed."""

    @abstractmethod
    def map(self, activations: Activations) -> Tensor:
        """The score at every position: (B, h, w)."""


@dataclass(frozen=True, repr=False)
class Sum(Objective):
    """A weighted sum of objectives: (weight, objective) pairs, in order. Made by `+`, `-`, `*` and `/`."""

    terms: tuple[tuple[float, Objective], ...]

    @property
    def needs(self) -> frozenset[Need]:
        """The union of the terms' needs."""
        return frozenset[Need]().union(*(term.needs for _, term in self.terms))

    def __call__(self, activations: Activations) -> Tensor:
        """The weighted sum of the terms' scores: (B,)."""
        first, *rest = (weight * term(activations) for weight, term in self.terms)
        for score in rest:
            first = first + score
        return first

    def bind(self, network: "Network") -> "Sum":
        """Every term bound."""
        return Sum(tuple((weight, term.bind(network)) for weight, term in self.terms))

    def resolve(self, activations: Activations) -> "Sum":
        """Every term resolved."""
        return Sum(tuple((weight, term.resolve(activations)) for weight, term in self.terms))

    def of(self, image: int) -> "Sum":
        """The sum of the terms' objectives for that image."""
        return Sum(tuple((weight, term.of(image)) for weight, term in self.terms))

    def __str__(self) -> str:
        """The text form, `281 - 0.5*285`; the same as `repr` if a term has none."""
        if any(str(term) == repr(term) for _, term in self.terms):
            return repr(self)
        text = ""
        for weight, term in self.terms:
            sign = "-" if weight < 0 else "+"
            size = "" if abs(weight) == 1 else f"{abs(float(weight))!r}".removesuffix(".0") + "*"
            text += f" {sign} {size}{term}" if text else f"{sign.strip('+')}{size}{term}"
        return text

    def __repr__(self) -> str:
        """The sum as a Python expression: `Logit(1) - 0.5 * Logit(2)`."""
        text = ""
        for weight, term in self.terms:
            sign = "-" if weight < 0 else "+"
            size = "" if abs(weight) == 1 else f"{abs(float(weight))!r} * ".replace(".0 ", " ")
            text += f" {sign} {size}{term!r}" if text else f"{'-' if weight < 0 else ''}{size}{term!r}"
        return text


def terms_of(objective: Objective) -> tuple[tuple[float, Objective], ...]:
    """The weighted terms of a sum; for any other objective, itself with weight 1."""
    return objective.terms if isinstance(objective, Sum) else ((1.0, objective),)


def _shown(value: object) -> str:
    return f"<{tuple(value.shape)} tensor>" if isinstance(value, Tensor) else repr(value)
