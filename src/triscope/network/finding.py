"""Finding a network's layers: two different images are passed through it, and what its modules give is looked at.

A layer can be asked about images only where it answers for each image on its own. Two images tell: where the
numbers are those of windows, or tokens come first, they are put back (`triscope.network.positions` says where each
belongs); where a module gives any other number of rows (one per proposal), its rows are not images; and where it says
the same of both images it may not see them at all (a table of positions). Then two more images decide.

The first image is grey. The second is grey with noise in some places. So a layer whose numbers look like a grid of
positions, but could not be followed, can prove it: its response has to change where the image does.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triscope.network import tap
from triscope.network.answers import Answer
from triscope.network.comparing import equal, numbers_of, silent
from triscope.network.interface import NoOutput, unreal_numbers
from triscope.network.layers import Layer, Layers, nearest_rows
from triscope.network.layout import Layout, alike, guess
from triscope.network.positions import Reader, Recorder, State, follow, operations
from triscope.network.positions.raster import Raster
from triscope.network.positions.recording import Call, Record
from triscope.network.receptive_field import WHOLE

#: What a module raises that cannot run on a batch.
REFUSALS = (RuntimeError, ValueError, IndexError, AssertionError)

SILENT = "silent here"
_SAME = "gives the same for every image"
_FIRST = "the first tensor of those that it returns"
_UNPROVEN = "has no positions that follow the image"
_SLIDING = (nn.Conv2d, nn.ConvTranspose2d, nn.MaxPool2d, nn.AvgPool2d)
_PATCHES = 7  # so many rows and columns of patches, half of them noise
_LEAST = 0.3  # the least correlation between where the image changes and where the response does
_FEWEST = 9  # positions; with fewer the correlation says nothing


@dataclass(frozen=True)
class Stated:
    """What the user said of the tokens: the (rows, columns) of their grid, and how many are before and after it."""

    grid: tuple[int, int] | None = None
    extra: tuple[int, int] | None = None


@dataclass
class _Heard:
    """What is known of one call of a module that gave a tensor: of two images, once the second has passed."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]
    number: int | None  # in the record of the pass
    guess: Layout | None  # told by the shape, where the places could not be followed
    silent: bool
    several: bool = False  # whether it gave more than this tensor, which came first
    regions: bool = False  # whether it was computed from the regions that a detector proposes
    unreal: str | None = None  # what its numbers are, where they are not real ones
    same: bool = False
    change: Tensor | None = None  # for a guess, where the response changes between the images, (h, w)
    kept: Tensor | None = None  # its values, where images go one by one


@dataclass
class _Listener:
    """Notes each call of a module as it finishes."""

    size: tuple[int, int]
    recorder: Recorder
    pictures: int
    heard: list[_Heard] = field(default_factory=list)
    _calls: Counter[str] = field(default_factory=Counter)

    def on_output(self, name: str, module: nn.Module, output: object) -> None:
        """Told of a module."""
        with torch._C.DisableTorchFunction():  # noqa: SLF001 - nothing of this is part of the pass
            first = tap.first_of(output)
            if isinstance(first, Tensor) and not _inside_vmap(first) and first.ndim >= 2:
                self._calls[name] += 1
                if type(module).__name__ in operations.REGION_MODULES:
                    self.recorder.pooled_regions(first)
                self.recorder.named(first, tap.call_name(name, self._calls[name]))
                self.note(name, module, first, several=first is not output)

    def note(self, name: str, module: nn.Module, output: Tensor, *, several: bool = False) -> None:
        """What is to be remembered of a tensor; the tensor itself only where images go one by one."""
        if unreal := unreal_numbers(output):
            shape = () if output.is_nested else tuple(output.shape)
            self.heard.append(_Heard(name, module, shape, None, None, silent=False, unreal=f"gives {unreal}"))
            return
        values = output.dequantize() if output.is_quantized else output
        shape, number = tuple(values.shape), self.recorder.number(output)
        rows = bool(shape) and shape[0] == self.pictures
        made = guess(shape, self.size, None, None) if rows and self.recorder.lost(number) else None
        numbers = numbers_of(values)
        one = _Heard(name, module, shape, number, made, silent=False, several=several)
        one.regions = self.recorder.of_regions(number)
        if rows and self.pictures == 2:
            _compare(one, numbers[0], numbers[1], self.size)
        differ = rows and self.pictures == 2 and not one.same  # so they are not all zero
        one.silent = not differ and silent(numbers)
        if self.pictures == 1:
            one.kept = values.detach().clone()
        self.heard.append(one)


def _inside_vmap(value: Tensor) -> bool:
    """Whether a tensor stands for several, in a function of `torch.func`: of modules called there nothing is noted."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(value))  # noqa: SLF001 - there is no other way to tell


def _compare(one: _Heard, first: Any, second: Any, size: tuple[int, int]) -> None:
    """Whether two images are answered in the same way, and where a guess says otherwise."""
    one.same = equal(first, second)
    if one.guess and one.guess.grid:
        change = torch.as_tensor(abs(second - first))
        one.change = one.guess.view(change[None], 1, size, {})[0].float().sum(0)


@dataclass(frozen=True)
class _Pass:
    """A pass, or one for each image in turn: what its modules gave, its record, and what came out in the end."""

    calls: list[_Heard]
    record: Record
    outputs: list[object]


@dataclass(frozen=True)
class Findings:
    """What was heard of a network in a recorded pass, of which its layers are read."""

    heard: Sequence[_Heard]
    record: Record
    outputs: Sequence[object]  # of all passes
    size: tuple[int, int]
    where: Tensor  # the places at which the second image is noise
    single: bool

    def layers(self, twin: nn.Module, network: str, stated: Stated) -> Layers:
        """The layers of `twin`. `Layers.single` says that it takes one image at a time."""
        copied = any(isinstance(entry, Call) and entry.name in operations.COPYING for entry in self.record)
        table = _table(twin, self, stated)
        answer = Answer.of(twin, table["output"].shape if "output" in table else None, self.outputs)
        return Layers(table, _calls(self.heard), _aliases(twin), network, answer, self.single, copied)

    @property
    def pictures(self) -> int:
        """How many images passed at once."""
        return 1 if self.single else 2


def listen(twin: nn.Module, normalise: Callable[[Tensor], Tensor], grey: Tensor, ask: tap.Ask) -> Findings:
    """What `twin` says of `grey`, an image (1, C, H, W), and of one with noise in places.

    Where the module cannot run on two images at once they go one after the other. Raises what the module raises where
    it cannot run on one either.
    """
    size = (grey.shape[-2], grey.shape[-1])
    where = _places(size)
    pictures = torch.cat([grey, torch.where(where.to(grey.device), _noise(grey, seed=0), grey)])
    try:
        heard, single = _listen(twin, normalise, pictures, ask), False
    except REFUSALS:
        heard, single = _one_by_one(twin, normalise, pictures, ask), True
    outputs = heard.outputs
    if any(one.same and not one.silent for one in heard.calls):
        others = torch.cat([_noise(grey, seed=1), _noise(grey, seed=2)])
        again = (_one_by_one if single else _listen)(twin, normalise, others, ask)
        # A network that took another way for these images says nothing about the layers of the first.
        alike = [one.name for one in heard.calls] == [one.name for one in again.calls]
        for one, more in zip(heard.calls, again.calls, strict=False):
            one.same = one.same and alike and more.same and not more.silent
        outputs = outputs + again.outputs
    if not single and heard.calls and (heard.calls[-1].name, heard.calls[-1].shape) == ("output", (2, 2)):
        with torch.no_grad():
            alone = ask(twin, normalise(grey))
        if isinstance(alone, Tensor) and alone.shape[1:] != (2,):  # of two images and not of two classes
            heard.calls.pop()
            outputs = [NoOutput("it gives as many numbers for each image as there are images")]
    return Findings(heard.calls, heard.record, outputs, size, where, single)


def _places(size: tuple[int, int]) -> Tensor:
    """Where the second image is noise: (H, W), true in half of its patches."""
    patches = torch.rand(1, 1, _PATCHES, _PATCHES, generator=torch.Generator().manual_seed(0)) < 0.5
    return F.interpolate(patches.float(), size, mode="nearest")[0, 0] > 0


def _noise(like: Tensor, seed: int) -> Tensor:
    """An image of noise in [0, 1], the same for the same seed."""
    noise = torch.rand(like.shape, generator=torch.Generator().manual_seed(seed))
    return noise.to(like.device, like.dtype)


def _listen(twin: nn.Module, normalise: Callable[[Tensor], Tensor], pictures: Tensor, ask: tap.Ask) -> _Pass:
    """One pass over all the images."""
    images = normalise(pictures)
    recorder = Recorder(images)
    listener = _Listener((images.shape[-2], images.shape[-1]), recorder, len(pictures))
    with torch.no_grad(), recorder:
        output = tap.run(twin, images, listener.on_output, ask)
    if isinstance(output, Tensor):
        listener.note("output", twin, output)
        output = output.clone() if output.ndim == 2 else None  # another pass may write to the same memory
    return _Pass(listener.heard, recorder.record, [output])


def _one_by_one(twin: nn.Module, normalise: Callable[[Tensor], Tensor], pictures: Tensor, ask: tap.Ask) -> _Pass:
    """The same for a module that takes one image at a time; the record is of the first."""
    first, second = (_listen(twin, normalise, picture[None], ask) for picture in pictures)
    both = _Pass(first.calls, first.record, first.outputs + second.outputs)
    if [(one.name, one.shape) for one in first.calls] != [(other.name, other.shape) for other in second.calls]:
        return both
    size = (pictures.shape[-2], pictures.shape[-1])
    for one, other in zip(first.calls, second.calls, strict=True):
        if one.kept is not None and other.kept is not None and one.shape[:1] == (1,):
            _compare(one, numbers_of(one.kept)[0], numbers_of(other.kept)[0], size)
        one.silent = one.silent and other.silent
    return both


def _table(twin: nn.Module, found: Findings, stated: Stated) -> dict[str, Layer]:
    calls, so_far, reader = _calls(found.heard), Counter[str](), Reader(found.pictures)
    states, sizes = follow(found.record), _sizes(twin)
    layers: dict[str, Layer] = {}
    for one in found.heard:
        so_far[one.name] += 1
        call = tap.call_name(one.name, so_far[one.name]) if calls[one.name] > 1 else one.name
        parameters = sizes[one.module] if one.module in sizes else _size(one.module)
        state = None if one.number is None else states.get(one.number)
        layout, note = _judged(one, _layout(one, found, stated, reader, state), found)
        if layout.source and calls[source := layout.source.rpartition("~")[0]] == 1:
            layout = replace(layout, source=source)
        seen = state.field if isinstance(state, Raster) and layout.kind in ("maps", "maps-last") else WHOLE
        shape = _shape_of_one(one.shape, layout, found.pictures)
        layers[call] = Layer(call, type(one.module).__name__, shape, parameters, seen, layout, note)
    wrong = [name for name, layer in layers.items() if not layer.layout.pictures]
    return layers | {name: replace(layers[name], instead=nearest_rows(layers, name)) for name in wrong}


def _layout(one: _Heard, found: Findings, stated: Stated, reader: Reader, state: State) -> Layout:
    """What is stated, or was followed through the pass, or is a guess that was proven."""
    fits = bool(one.shape) and one.shape[0] == found.pictures
    if len(one.shape) == 2 and fits:
        return Layout("vector")
    if len(one.shape) == 4 and fits and one.shape[2:] == (1, 1):
        return Layout("maps", grid=(1, 1))
    if (stated.grid or stated.extra) and len(one.shape) == 3 and fits:
        return guess(one.shape, found.size, stated.grid, stated.extra)
    if state is not None:
        return reader.read(state, one.shape)
    # Maps of a sliding window are positions by what it is, where they are as square as the image.
    sliding = isinstance(one.module, _SLIDING) and len(one.shape) == 4 and alike(*one.shape[2:], *found.size)
    if one.guess is None or (one.guess.grid and not (sliding or _proven(one.change, found.where))):
        return Layout("other", why=_UNPROVEN if len(one.shape) in (3, 4) else None)
    return one.guess


def _judged(one: _Heard, layout: Layout, found: Findings) -> tuple[Layout, str | None]:
    """The layout that a layer is asked by, and what is to be said of it."""
    if one.unreal:
        return Layout("other", pictures=False, why=one.unreal), one.unreal
    rows, pictures = one.shape[0] if one.shape else 1, found.pictures
    if not layout.rows_fit(one.shape, pictures):
        each = f"{rows // pictures} rows for each image"
        shown = f"{rows} row{'s' * (rows > 1)} for {pictures} images" if rows % pictures else each
        if one.regions:
            return Layout("roi", pictures=False), f"gives a row for each proposed region, {shown}"
        return Layout("other", pictures=False), f"gives {shown}"
    if one.same and not one.silent and one.name != "output":
        return Layout("other", pictures=False), _SAME
    if layout.kind == "tokens" and layout.grid:
        (height, width), (rows, cols) = found.size, layout.grid
        layout = replace(layout, patch=(height / rows, width / cols))
    said = filter(None, (SILENT if one.silent else layout.why, _FIRST if one.several else None))
    return layout, "; ".join(said) or None


def _shape_of_one(shape: tuple[int, ...], layout: Layout, pictures: int) -> tuple[int, ...]:
    """What a layer gives for one image, without the dimension of images where there is one."""
    rows = shape[0] if shape else 1
    if rows == pictures:
        return shape[1:]
    if layout.order:
        return layout.order.shape_of_one(shape, pictures)
    return shape if rows % pictures else (rows // pictures, *shape[1:])


def _proven(change: Tensor | None, where: Tensor) -> bool:
    """Whether a response changes where the image does; a single position, and what has none, need no proof."""
    if change is None or change.numel() == 1:
        return True
    if change.numel() < _FEWEST:
        return False
    wanted = F.adaptive_avg_pool2d(where[None, None].float(), (change.shape[0], change.shape[1]))[0, 0]
    both = torch.stack([wanted.flatten().to(change), change.flatten()])
    return float(torch.corrcoef(both)[0, 1]) >= _LEAST


def _calls(heard: Iterable[_Heard]) -> Mapping[str, int]:
    return Counter(one.name for one in heard)


def _sizes(twin: nn.Module) -> Mapping[nn.Module, int]:
    """How many numbers the parameters of each module and its parts are, each parameter once."""
    held: dict[nn.Module, dict[int, int]] = {}

    def gather(module: nn.Module) -> dict[int, int]:
        if module not in held:
            held[module] = {id(parameter): parameter.numel() for parameter in module.parameters(recurse=False)}
            for part in module.children():
                held[module] |= gather(part)
        return held[module]

    gather(twin)
    return {module: sum(counts.values()) for module, counts in held.items()}


def _size(module: nn.Module) -> int:
    """The same of one that is no part of the twin any more: it was replaced as it ran."""
    return sum(parameter.numel() for parameter in module.parameters())


def _aliases(twin: nn.Module) -> dict[str, str]:
    """Other names under which a module is registered, to the name its tap carries."""
    first: dict[nn.Module, str] = {}
    names = ((tap.layer_name(path), module) for path, module in twin.named_modules(remove_duplicate=False))
    return {name: tapped for name, module in names if (tapped := first.setdefault(module, name)) != name}
