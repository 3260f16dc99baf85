"""Taps: how activations leave a running network.

Every module of a twin carries one forward hook, for good. A hook does nothing unless the current context holds a watch
for its twin, so threads that ask one network at once do not see each other.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from triscope.network import mending

OnOutput = Callable[[str, nn.Module, object], Tensor | None]
#: Runs a twin on images, and takes the output out of what it returns.
Ask = Callable[[nn.Module, Tensor], object]

_listening: ContextVar[tuple[nn.Module, OnOutput] | None] = ContextVar("listening", default=None)


class _Stop(BaseException):
    """Everything wanted has been seen. Not an Exception, so that no `except Exception` in a network swallows it."""


def install(twin: nn.Module) -> None:
    """Hang a tap on every module of `twin` but the outermost, whose result `run` returns."""
    mending.install(twin)
    for path, module in twin.named_modules():
        if path:
            module.register_forward_hook(_tap(twin, layer_name(path)))


def layer_name(path: str) -> str:
    """What the module at `path` is called as a layer: its path.

    "input" and "output" mean the image and the result, so modules of that name are "self.input" and "self.output".
    """
    path = path.replace("._orig_mod", "")  # as torch.compile calls what it wraps; a twin has no wrapping
    return f"self.{path}" if path in ("input", "output") else path


def run(twin: nn.Module, images: Tensor, on_output: OnOutput | None, ask: Ask) -> object:
    """The result of ask(twin, images), or None where `on_output` stopped the pass.

    `on_output(name, module, output)` is called as each module finishes, and may return what is passed on instead; of
    several tensors, in place of the first.
    """
    if on_output is None:
        with mending.mended(twin):
            return ask(twin, images)
    token = _listening.set((twin, on_output))
    try:
        with mending.mended(twin):
            return ask(twin, images)
    except _Stop:
        return None
    finally:
        _listening.reset(token)


def _tap(twin: nn.Module, name: str) -> Callable[[nn.Module, object, object], object]:
    def hook(module: nn.Module, _: object, output: object) -> object:
        listening = _listening.get()
        if listening is None or listening[0] is not twin:
            return None
        changed = listening[1](name, module, output)
        return changed if changed is None or first_of(output) is output else _with_first(output, changed)

    return hook


def first_of(output: object) -> object:
    """What a module's output is taken to be: of a tuple or list that begins with a tensor (as an LSTM's), that."""
    if isinstance(output, tuple | list) and output and isinstance(output[0], Tensor):
        return output[0]
    return output


def _with_first(output: Any, first: Tensor) -> object:
    """A tuple or list with another first entry."""
    if hasattr(output, "_replace"):  # a named tuple
        return output._replace(**{output._fields[0]: first})
    return type(output)((first, *output[1:]))


@dataclass
class Watch:
    """Keeps the outputs of the calls in `wanted`, and stops the pass after the last of them.

    Of the calls in `measured`, only the shape is kept, where they come before that.

    What is kept is a clone, so that in-place operations that follow do not overwrite it, nor does the next pass. The
    outputs of `leaves` get a gradient: each is cut from what made it, unless that comes from another leaf; what is
    passed on is then a clone.
    `edits` change an output before it is kept and passed on.
    """

    wanted: frozenset[str]
    leaves: frozenset[str] = frozenset()
    edits: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    to_the_end: bool = False
    measured: frozenset[str] = frozenset()
    kept: dict[str, Tensor] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _calls: Counter[str] = field(default_factory=Counter)
    _named: frozenset[str] = field(init=False)
    _modules: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._named = self.wanted | self.edits.keys() | self.measured
        self._modules = self._named | {call.rpartition("~")[0] for call in self._named}

    def __call__(self, name: str, module: nn.Module, output: object) -> Tensor | None:
        """Told of the module `name`: keep its output if it is wanted."""
        if name not in self._modules:
            return None
        output = first_of(output)
        self._calls[name] += 1
        call = name if name in self._named else call_name(name, self._calls[name])
        if call not in self._named or not isinstance(output, Tensor):
            return None
        if call in self.measured:
            self.shapes[call] = tuple(output.shape)
        edit = self.edits.get(call)
        if edit is not None:
            output = edit(output)
        if call not in self.wanted:
            return None if edit is None else output
        last = len(self.kept) == len(self.wanted) - 1 and not self.to_the_end
        self.kept[call] = output.clone()
        if call in self.leaves:
            self.kept[call] = as_leaf(self.kept[call])
        if last:
            raise _Stop
        if call in self.leaves:
            return self.kept[call].clone()
        return None if edit is None else output


def as_leaf(values: Tensor) -> Tensor:
    """`values` with a gradient of their own; those that have one already stay in their graph."""
    return values if values.requires_grad else values.detach().requires_grad_()


def call_name(name: str, call: int) -> str:
    """The name of the `call`th call, from 1, of a layer that is called several times."""
    return f"{name}~{call}"
