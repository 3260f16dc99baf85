"""The optimisers by name. Methods offer those of this table; a new one is its class and its two lines here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

from torch import Tensor

from triscope.what.optimisation.lbfgs import Lbfgs
from triscope.what.optimisation.optimisers import Adam, Momentum, Optimiser

OptimiserName: TypeAlias = Literal["adam", "lbfgs", "momentum"]


@dataclass(frozen=True)
class NamedOptimiser:
    """An optimiser as methods offer it: its class, and the step size that it has where none is given."""

    kind: type[Optimiser]
    rate: float

    def maker(self, rate: float | None, confine: Callable[[Tensor], Tensor]) -> Callable[[], Optimiser]:
        """What makes it anew for each size of an image. `confine` brings the numbers of an image back into bounds."""
        rate = self.rate if rate is None else rate
        return partial(Lbfgs, rate, confine=confine) if self.kind is Lbfgs else partial(self.kind, rate)


OPTIMISERS: dict[OptimiserName, NamedOptimiser] = {
    "adam": NamedOptimiser(Adam, 0.05),
    "lbfgs": NamedOptimiser(Lbfgs, 1.0),
    "momentum": NamedOptimiser(Momentum, 0.01),
}
