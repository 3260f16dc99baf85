"""What a question is: needs, a score per image, and arithmetic.

    objective(activations) -> (B,)

An objective names what it reads (`needs`), and turns the answers to those needs into one score per image. It does not
know where the answers come from - a live pass of a network, or vectors stored long ago - and it never changes: `a + b`,
`a - b`, `2 * a` are new values. The score is (B,) and not a scalar, so that a batch means B independent questions.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from torch import Tensor

if TYPE_CHECKING:  # the network stands above; an objective only asks it questions, in `bind`
    from triscope.network import Network

Pool: TypeAlias = Literal["none", "mean", "max", "gram", "class", "tokens"]

_CLASS = "@class"


@dataclass(frozen=True, order=True)
class Need:
    """One thing an objective reads: a layer, whole (`none`) or pooled over its positions (`mean`, `max`, `gram`); of a
    layer of tokens also its class token (`class`), or all of them in its own order (`tokens`).

    The answer is (B, C, h, w) or (B, D) for `none`, (B, C) or (B, D) for the mean and maximum, (B, C, C) for the Gram
    matrix of maps, (B, C) for the class token and (B, T, C) for all tokens.
    """

    layer: str
    pool: Pool = "none"

    @classmethod
    def read(cls, text: str) -> "Need":
        """The need that a layer's name stands for where layers are named: `norm`, or `norm@class` for its class
        token.
        """
        return cls(text.removesuffix(_CLASS), "class") if text.endswith(_CLASS) else cls(text)


Activations: TypeAlias = Mapping[Need, Tensor]


@dataclass(frozen=True, repr=False)
class Objective(ABC):
    """A question that can be asked of a network: where in this image, what image would, which images do."""

    @property
    @abstractmethod
    def needs(self) -> frozenset[Need]:
        """What the score is computed from."""

    @abstractmethod
    def __call__(self, activations: Activations) -> Tensor:
        """One score per image: (B,)."""

    @abstractmethod
    def bind(self, network: "Network") -> "Objective":
        """The same question with every name resolved and checked against `network`.

        Raises LayerNotFound, ObjectiveError or NetworkError where the network cannot be asked it. Binding twice is
        binding once.
        """

    def resolve(self, activations: Activations) -> "Objective":
        """What the question turned out to ask, once its answer is known. Itself, except for `TopClass`."""
        del activations
        return self

    def of(self, image: int) -> "Objective":
        """What is asked of the image at that place in the batch. Itself, unless it asks each image something else."""
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
    """A question with an answer at every position of a layer."""

    @property
    @abstractmethod
    def map_needs(self) -> frozenset[Need]:
        """What `map` is computed from."""

    @abstractmethod
    def map(self, activations: Activations) -> Tensor:
        """The answer at every position: (B, h, w)."""


@dataclass(frozen=True, repr=False)
class Sum(Objective):
    """A weighted sum of questions, as `+`, `-` and `*` make it. Its terms keep their order."""

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
        """Every term, as it is asked of that image."""
        return Sum(tuple((weight, term.of(image)) for weight, term in self.terms))

    def __str__(self) -> str:
        """The text form, `281 - 0.5*285`; where a term has none, the arithmetic that made it."""
        if any(str(term) == repr(term) for _, term in self.terms):
            return repr(self)
        text = ""
        for weight, term in self.terms:
            sign = "-" if weight < 0 else "+"
            size = "" if abs(weight) == 1 else f"{abs(float(weight))!r}".removesuffix(".0") + "*"
            text += f" {sign} {size}{term}" if text else f"{sign.strip('+')}{size}{term}"
        return text

    def __repr__(self) -> str:
        """The arithmetic that made it: `Logit(1) - 0.5 * Logit(2)`."""
        text = ""
        for weight, term in self.terms:
            sign = "-" if weight < 0 else "+"
            size = "" if abs(weight) == 1 else f"{abs(float(weight))!r} * ".replace(".0 ", " ")
            text += f" {sign} {size}{term!r}" if text else f"{'-' if weight < 0 else ''}{size}{term!r}"
        return text


def terms_of(objective: Objective) -> tuple[tuple[float, Objective], ...]:
    """The weighted terms of a sum; anything else is one term of weight 1."""
    return objective.terms if isinstance(objective, Sum) else ((1.0, objective),)


def _shown(value: object) -> str:
    return f"<{tuple(value.shape)} tensor>" if isinstance(value, Tensor) else repr(value)
