"""Scores and gradients in an ascent: of the images that a canvas makes; gradients of silent units are redirected.

Where an image's gradient is exactly zero it is redirected through silent ReLUs for a while, so that these units become
active.
"""

from collections.abc import Callable, Sequence
from itertools import count
from typing import TypeAlias

import torch
from torch import Tensor

from triscope.errors import NetworkError
from triscope.network import Look, Network
from triscope.network.backward_rules import REDIRECTED, following
from triscope.network.cut_gradients import differentiating, no_gradient
from triscope.network.memory_format import ChannelsLastWeights
from triscope.objectives.base import Need, Objective, terms_of
from triscope.objectives.priors import INPUT
from triscope.what.optimisation.optimisers import Answer
from triscope.what.optimisation.parametrisation import Canvas
from triscope.what.optimisation.transforms import View

#: Weighted terms of an objective, by name.
Terms: TypeAlias = dict[str, tuple[float, Objective]]


class Evaluator:
    """Evaluates a batch of images: scores and gradients. `canvas`, `view` and `seed` (of a network that is random) are
    set by its user; `slope` is the gradient at the images that were asked about last.

    With `of_some`, the terms of some of the images, silent ones are redirected in a pass of their own.
    """

    canvas: Canvas
    view: View
    seed: int
    slope: Tensor

    def __init__(
        self,
        network: Network,
        asked: Objective,
        terms: Terms,
        pictures: int,
        *,
        redirect: int,
        of_some: Callable[[Sequence[int]], Terms] | None = None,
    ) -> None:
        self.network, self.asked, self.redirect, self.of_some = network, asked, redirect, of_some
        self.terms = terms
        self.silent = torch.ones(pictures, dtype=torch.bool)
        self.without_gradient = torch.zeros(pictures, dtype=torch.bool)
        # For how many more steps an image's gradient is redirected. The gradient of a single active position is so much
        # smaller than that of all redirected ones that Adam would stand still.
        self.redirected_for = torch.zeros(pictures, dtype=torch.int64)
        # Processors convolve much faster with channels last (1.4 times for half of SqueezeNet); GPUs need not.
        self.channels_last = network.device.type == "cpu"
        self.weights = ChannelsLastWeights()

    @property
    def terms(self) -> Terms:
        """The weighted terms: first the objective's, then the priors'."""
        return self._terms

    @terms.setter
    def terms(self, terms: Terms) -> None:
        self._terms = terms
        self.own, self.seen = _parted(terms)

    def exchange(self, kept: Tensor, new: int) -> None:
        """Continue with the images `kept` (their numbers), followed by `new` others."""
        self.silent = torch.cat([self.silent[kept], torch.ones(new, dtype=torch.bool)])
        self.without_gradient = torch.cat([self.without_gradient[kept], torch.zeros(new, dtype=torch.bool)])
        self.redirected_for = torch.cat([self.redirected_for[kept], torch.zeros(new, dtype=torch.int64)])

    @torch.enable_grad()
    def evaluate(self, numbers: Tensor, only: int | None = None) -> Answer:
        """Scores and their gradients: back through the network, then through the canvas, to notice silence between."""
        leaf = numbers.detach().requires_grad_()
        drawn = self.canvas.draw(leaf)
        pictures = drawn.detach().requires_grad_()
        terms, gradient = self._through_network(pictures, only) if self.seen else ({}, torch.zeros_like(pictures))
        if self.own:
            own = own_terms(self.own, pictures)
            gradient = gradient + torch.autograd.grad(torch.stack(list(own.values())).sum(), pictures)[0]
            terms = terms | own
        (numbers_gradient,) = torch.autograd.grad(drawn, leaf, gradient)
        self.slope = gradient
        terms = {name: values.detach() for name, values in terms.items()}
        return Answer(pictures.detach(), torch.stack(list(terms.values())).sum(0), terms, numbers_gradient)

    def terms_at(self, pictures: Tensor, terms: Terms | None = None) -> dict[str, Tensor]:
        """The value of each term on images, without gradients; of some images, with their `terms`."""
        own, seen = (self.own, self.seen) if terms is None else _parted(terms)
        with torch.no_grad():
            return own_terms(own, pictures) | self._seen_terms(pictures, seen)

    def _through_network(self, pictures: Tensor, only: int | None) -> tuple[dict[str, Tensor], Tensor]:
        seen = self.seen if only is None else {name: (w, term.of(only)) for name, (w, term) in self.seen.items()}
        terms = self._seen_terms(pictures, seen)
        gradient = self._gradient(terms, pictures)
        which = slice(None) if only is None else slice(only, only + 1)
        silent = _silent(gradient)
        self.without_gradient[which] = silent.cpu()
        if only is None:
            self.redirected_for = torch.where(silent.cpu(), self.redirect, (self.redirected_for - 1).clamp_min(0))
            waking = self.redirected_for.to(silent.device) > 0
        else:
            waking = silent & (self.redirect > 0)
        if waking.any():
            gradient = self._redirected(pictures, seen, waking, gradient)
            silent = _silent(gradient)
        self.silent[which] &= silent.cpu()
        return terms, gradient

    def _redirected(self, pictures: Tensor, seen: Terms, waking: Tensor, gradient: Tensor) -> Tensor:
        """The gradient, redirected for the images that are `waking`."""
        if self.of_some is None or waking.all():
            with following(REDIRECTED):
                redirected = self._gradient(self._seen_terms(pictures, seen), pictures)
            return redirected.where(waking.view(-1, 1, 1, 1), gradient)
        rows = waking.nonzero().flatten()
        some = pictures.detach()[rows].requires_grad_()
        with following(REDIRECTED):
            redirected = self._gradient(self._seen_terms(some, _parted(self.of_some(rows.tolist()))[1]), some)
        return gradient.index_copy(0, rows, redirected)

    def _gradient(self, terms: dict[str, Tensor], pictures: Tensor) -> Tensor:
        score = torch.stack(list(terms.values())).sum()
        if not score.requires_grad:
            raise no_gradient(self.network, self.asked)
        with differentiating(self.network, self.asked):
            return torch.autograd.grad(score, pictures)[0]

    def _seen_terms(self, pictures: Tensor, seen: Terms) -> dict[str, Tensor]:
        needs = frozenset[Need]().union(*(term.needs for _, term in seen.values()))
        look = self._look(self.view(pictures).to(self.network.dtype), needs)
        return {name: weight * term(look).float() for name, (weight, term) in seen.items()}

    def _look(self, images: Tensor, needs: frozenset[Need]) -> Look:
        # Numbers are drawn in the order of memory: in another one, a network that draws would be another.
        if self.channels_last and not self.network.random:
            try:
                last = images.contiguous(memory_format=torch.channels_last)
                with self.weights:
                    return self.network.look(last, needs, seed=self.seed)
            except NetworkError:  # some networks call `view`, which takes one order in memory only
                self.channels_last = False
        return self.network.look(images, needs, seed=self.seed)


def named(asked: Objective, priors: Objective | None) -> Terms:
    """The weighted terms of an objective, then of its priors, by name; a name that is taken gets a number."""
    found: Terms = {}
    for weight, term in (*terms_of(asked), *(terms_of(priors) if priors else ())):
        name = str(term)
        if name in found:
            name = next(made for number in count(2) if (made := f"{name} ({number})") not in found)
        found[name] = weight, term
    return found


def own_terms(own: Terms, pictures: Tensor) -> dict[str, Tensor]:
    """The values of priors on the image itself."""
    return {name: weight * term({INPUT: pictures}) for name, (weight, term) in own.items()}


def _parted(terms: Terms) -> tuple[Terms, Terms]:
    """Terms on the image itself, and terms on activations."""
    own = {name: one for name, one in terms.items() if one[1].needs == {INPUT}}
    return own, {name: one for name, one in terms.items() if name not in own}


def _silent(gradient: Tensor) -> Tensor:
    """(B,) whether the gradient of an image is exactly zero."""
    return gradient.abs().flatten(1).amax(1) == 0
