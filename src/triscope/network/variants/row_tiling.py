"""Row tiling: the shallow layers of a network run on strips of rows of the image, so that memory is bounded.

    image --strips--> Gram sums, maps, output of the last shallow layer --whole--> deeper layers

Shallow layers need most of the memory of a pass, and have small receptive fields. So they are run on strips of rows,
each with as many further rows above and below (the halo) as its outputs depend on. Gram matrices are sums over
positions, and are added up strip by strip. The activations of a strip are not kept: the backward pass computes them
again. This is exact: every row of every layer is computed from all pixels in its receptive field, and counted once.

The network's `features` must be an nn.Sequential (VGG, AlexNet, SqueezeNet, pocket) with finite receptive fields.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from triscope.errors import NetworkError
from triscope.network.backward_rules import Rule
from triscope.network.layers import Layers
from triscope.network.look import Look
from triscope.network.network import Network
from triscope.network.receptive_field import Span
from triscope.network.refusals import explained_errors
from triscope.network.variants.configured import Configured
from triscope.objectives.base import Need
from triscope.objectives.pooling import gram, mean, pooled


class RowTiled(Configured):
    """A network whose first `cut` features are run on strips of about `rows` rows of the image.

    Raises NetworkError if the network has no `features` in a row, or one of them has an infinite receptive field.
    """

    def __init__(self, network: Network, cut: int, rows: int) -> None:
        features = getattr(network.module, "features", None)
        if not isinstance(features, nn.Sequential):
            raise NetworkError(f"{network.name} has no nn.Sequential `features`, so it cannot be run in strips.")
        super().__init__(network.module, network)
        self._whole = network
        names = [f"features.{name}" for name, _ in features.named_children()]
        self.shallow, self.deep = names[:cut], names[cut:]
        spans = {name: self.layers[name].receptive_field.rows for name in self.shallow}
        if not all(spans.values()):
            raise NetworkError(f"Layers of {network.name} before the cut depend on the whole image; cut it earlier.")
        self.spans = {name: span for name, span in spans.items() if span}
        self.unit = self.spans[names[cut - 1]].stride
        self.rows = max(self.unit, rows // self.unit * self.unit)

    @property
    def layers(self) -> Layers:
        """The layers of the network."""
        return self._whole.layers

    @property
    def random(self) -> bool:
        """Whether the network draws random numbers in a pass."""
        return self._whole.random

    def look(
        self,
        images: Tensor,
        needs: Iterable[Need | str],
        *,
        leaf: str | Sequence[str] | None = None,
        rule: Rule | None = None,
        edits: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
        seed: int = 0,
    ) -> Look:
        """As `Network.look`; Gram matrices, means and maps of features are computed in strips.

        Calls with a leaf, a rule, edits, maxima or other layers than features, and those of a network that draws random
        numbers, run on whole images.
        """
        wanted = [Need(need) if isinstance(need, str) else need for need in needs]
        known = {*self.shallow, *self.deep, "input"}
        other = any(need.layer not in known or need.pool == "max" for need in wanted)
        if leaf or rule or edits or other or self.random:  # the backward pass would draw other numbers
            return self._whole.look(images, wanted, leaf=leaf, rule=rule, edits=edits, seed=seed)
        shallow = [need for need in wanted if need.layer in self.shallow]
        deep = [need for need in wanted if need.layer in self.deep]
        answers: dict[Need, Tensor] = {Need("input"): images}
        twin = self._keeper.get()
        with explained_errors(self, images), self._keeper.running():
            plan = _Plan(self, twin, tuple(shallow), self.shallow[-1] if deep else None)
            in_strips: Callable[..., tuple[Tensor, ...]] = _InStrips.apply
            found = in_strips(images, plan)
            answers |= dict(zip(shallow, found, strict=False))
            if deep:
                answers |= _deeper(twin, found[-1], self.deep, deep)
        return _TiledLook(answers, wanted, images)


class _TiledLook(Look):
    """Activations that are already pooled."""

    def __init__(self, answers: dict[Need, Tensor], needs: Sequence[Need], images: Tensor) -> None:
        super().__init__({}, needs, {"input": images})
        self._answers |= answers


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is computed in strips: the needs, and `onwards`, the layer whose maps the deeper layers read (or None)."""

    network: RowTiled
    twin: nn.Module
    needs: tuple[Need, ...]
    onwards: str | None

    @property
    def last(self) -> str:
        """The deepest layer to run."""
        return self.onwards or max((need.layer for need in self.needs), key=self.network.shallow.index)

    def windows(self, height: int) -> Iterator[tuple[int, int, int, int]]:
        """For each strip (begin, end, first, last): its own rows are begin to end - 1; with halo, first to last - 1."""
        net = self.network
        spans = [net.spans[name] for name in net.shallow[: net.shallow.index(self.last) + 1]]
        above = max(-span.offset for span in spans)
        below = max(span.offset + span.size for span in spans)
        for begin in range(0, height, net.rows):
            end = min(height, begin + net.rows)
            end = height if height - end < net.unit else end
            first = max(0, begin - -(-above // net.unit) * net.unit)
            yield begin, end, first, min(height, end + below)
            if end == height:
                return

    def run(self, strip: Tensor, begin: int, end: int, first: int, height: int) -> list[Tensor]:
        """A strip's own rows of the layer of each need, and of `onwards`."""
        net, kept = self.network, {}
        wanted = {need.layer for need in self.needs} | ({self.onwards} if self.onwards else set())
        x = _cast(net.normalise(strip), self.twin)
        parts = _features(self.twin)
        for name in net.shallow:
            x = parts[name.removeprefix("features.")](x)
            if name in wanted:
                span = net.spans[name]
                kept[name] = _owned(x, span, begin, end, first, height)
            if name == self.last:
                break
            following = net.shallow[net.shallow.index(name) + 1]
            if name in wanted and _writes(parts[following.removeprefix("features.")]):
                x = x.clone()
        return [kept[need.layer] for need in self.needs] + ([kept[self.onwards]] if self.onwards else [])


def _owned(x: Tensor, span: Span, begin: int, end: int, first: int, height: int) -> Tensor:
    """A strip's own rows of a layer: those i with i * stride in [begin, end); for the last strip all that are left."""
    offset = first // span.stride
    start = -(-begin // span.stride) - offset
    stop = x.shape[2] if end == height else -(-end // span.stride) - offset
    return x[:, :, start:stop]


_SUMS = {"gram": gram, "mean": mean}


def _sum_of(rows: Tensor, pool: str) -> Tensor:
    """The sum over the positions of these rows that contributes to a Gram matrix or mean."""
    return _SUMS[pool](rows) * (rows.shape[2] * rows.shape[3])


class _InStrips(torch.autograd.Function):
    """images -> the result for each need, and the output of `onwards`. Only the images are saved for backward."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, plan: _Plan) -> tuple[Tensor, ...]:
        height = images.shape[2]
        ctx.plan, ctx.height = plan, height
        ctx.save_for_backward(images)
        sums: list[Any] = [None] * len(plan.needs)
        positions = [0] * len(plan.needs)
        onwards = []
        for begin, end, first, last in plan.windows(height):
            found = plan.run(images[:, :, first:last], begin, end, first, height)
            for place, need in enumerate(plan.needs):
                rows = found[place]
                positions[place] += rows.shape[2] * rows.shape[3]
                if need.pool in _SUMS:
                    if rows.shape[2]:
                        part = _sum_of(rows, need.pool)
                        sums[place] = part if sums[place] is None else sums[place] + part
                else:
                    sums[place] = [*(sums[place] or []), rows.clone()]
            if plan.onwards:
                onwards.append(found[-1].clone())
        ctx.positions = positions
        answers = [
            one / count if need.pool in _SUMS else torch.cat(one, 2)
            for one, count, need in zip(sums, positions, plan.needs, strict=True)
        ]
        return (*answers, *([torch.cat(onwards, 2)] if plan.onwards else []))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        plan: _Plan = ctx.plan
        (images,) = ctx.saved_tensors
        gradient = torch.zeros_like(images)
        passed = [0] * len(gradients)
        for begin, end, first, last in plan.windows(ctx.height):
            strip = images[:, :, first:last].detach().requires_grad_()
            with torch.enable_grad():
                found = plan.run(strip, begin, end, first, ctx.height)
                total = strip.new_zeros(())
                for place, (rows, back) in enumerate(zip(found, gradients, strict=True)):
                    pool = plan.needs[place].pool if place < len(plan.needs) else "none"
                    if pool in _SUMS:
                        if rows.shape[2]:
                            total = total + (_sum_of(rows, pool) * back / ctx.positions[place]).sum()
                        continue
                    start, passed[place] = passed[place], passed[place] + rows.shape[2]
                    total = total + (rows * back[:, :, start : passed[place]]).float().sum()
                (part,) = torch.autograd.grad(total, strip)
            gradient[:, :, first:last] += part
        return gradient, None


def _deeper(twin: nn.Module, x: Tensor, names: Sequence[str], needs: Sequence[Need]) -> dict[Need, Tensor]:
    """The activations of the deeper layers, from the output `x` of the last shallow one."""
    wanted = {need.layer for need in needs}
    parts = _features(twin)
    kept: dict[str, Tensor] = {}
    before = ""
    for name in names:
        part = parts[name.removeprefix("features.")]
        x = part(x.clone() if (not before or before in kept) and _writes(part) else x)
        if name in wanted:
            kept[name] = x
        before = name
        if len(kept) == len(wanted):
            break
    return {need: pooled(kept[need.layer], need.pool) for need in needs}


def _features(twin: nn.Module) -> dict[str, nn.Module]:
    return dict(twin.get_submodule("features").named_children())


def _cast(x: Tensor, twin: nn.Module) -> Tensor:
    """The image, already normalised, in the precision of the weights."""
    weight = next(twin.parameters())
    if weight.dtype == x.dtype:
        return x
    return x.to(weight.dtype, memory_format=torch.channels_last)


def _writes(part: nn.Module) -> bool:
    """Whether a module may overwrite its input."""
    return any(getattr(one, "inplace", False) for one in part.modules())
