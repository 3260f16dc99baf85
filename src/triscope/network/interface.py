"""How a module is called with images, and which tensor of its return value is the network's output.

    Network(m, output="logits")                             a key or attribute of the return value; "0", or "a.b"
    Network(m, output=lambda y: y[0][:, 4:].amax(2))        a function of the return value
    Network(m, call=lambda m, x: m(pixel_values=x))         how the module is called: keywords, further inputs, a list

By default ("auto"), the output is the return value if it is a tensor, else the only tensor in it, else the one called
`logits` or `out`.
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from triscope.errors import NetworkError

#: Which tensor is the output: "auto", a key, attribute or index (dotted for nested ones), or a function.
Output: TypeAlias = str | int | Callable[[Any], Any]
#: A function that calls a module with normalised images (B, C, H, W).
Call: TypeAlias = Callable[[nn.Module, Tensor], Any]

_USUAL = ("logits", "out")
_SHOWN = 8  # tensors that a message lists


class NoOutput:
    """Stands for the output of a pass that has none; `why` is the reason, as part of a sentence."""

    def __init__(self, why: str) -> None:
        self.why = why


@dataclass(frozen=True)
class Interface:
    """How a module is called, and which tensor of its return value is the output."""

    call: Call | None = None
    output: Output = "auto"

    def __call__(self, module: nn.Module, images: Tensor) -> Tensor | NoOutput:
        """The output of a pass. Raises NetworkError if the module needs other arguments than images."""
        if self.call is None:
            require_images_alone(module)
            return take(module(images), self.output)
        return take(self.call(module, images), self.output)

    def __str__(self) -> str:
        """What differs from the defaults, for `repr(network)`."""
        parts = [] if self.call is None else ["called by a function"]
        if callable(self.output):
            parts.append("output by a function")
        elif self.output != "auto":
            parts.append(f"output {self.output!r}")
        return ", ".join(parts)


def take(returned: object, output: Output) -> Tensor | NoOutput:
    """The output in a module's return value; one number per image, (B,), becomes (B, 1)."""
    if callable(output):
        found: object = output(returned)
    elif output == "auto":
        found = _automatic(returned)
    else:
        found = _named(returned, str(output))
    if isinstance(found, NoOutput):
        return found
    if not isinstance(found, Tensor):
        return NoOutput(f"its output is a {type(found).__name__}, not a tensor; it returns {described(returned)}")
    if found.ndim == 0:
        return NoOutput("it gives one number for all images together")
    if unreal := unreal_numbers(found):
        return NoOutput(f"it gives {unreal}; give what they are made of: Network(module, output=...)")
    return found[:, None] if found.ndim == 1 else found


def unreal_numbers(values: Tensor) -> str | None:
    """A description of a tensor that is not a dense tensor of floats, such as "complex numbers"; else None."""
    if values.is_nested or values.layout is not torch.strided:
        return "a nested tensor" if values.is_nested else f"a tensor that is not dense ({values.layout})"
    if values.is_complex():
        return "complex numbers"
    if values.is_floating_point() or values.is_quantized:
        return None
    return "yes or no" if values.dtype == torch.bool else f"whole numbers ({str(values.dtype).removeprefix('torch.')})"


def tensors(returned: object, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in a module's return value, by the names that `output=` takes."""
    if isinstance(returned, Tensor):
        yield prefix, returned
        return
    for name, part in _parts(returned):
        yield from tensors(part, f"{prefix}.{name}" if prefix else name)


def described(returned: object) -> str:
    """A module's return value in words: the names and shapes of its tensors, without the batch dimension."""
    found = list(tensors(returned))
    if not found:
        return f"a {type(returned).__name__} without any tensor"
    shown = [f"{name} ({' x '.join(map(str, tensor.shape[1:])) or 'one number'})" for name, tensor in found[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else "")


def require_images_alone(module: nn.Module) -> None:
    """Raise NetworkError, with the call to use, if forward cannot be called with one positional argument alone."""
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):
        return
    first = next((one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)), None)
    some = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    needed = [
        one.name
        for one in parameters
        if one is not first and one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if (first is None and not some) or needed:
        wanted = needed if first is not None else [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
        takes = ", ".join(one.name for one in parameters)
        value = "x" if first is None else "..."
        example = ", ".join(["x"] * (first is not None) + [f"{name}={value}" for name in wanted])
        raise NetworkError(
            f"{type(module).__name__} is not called with images alone: forward takes {takes or 'nothing'}. Say how it "
            f"is called: Network(module, call=lambda m, x: m({example}))."
        )


def _automatic(returned: object) -> object:
    if isinstance(returned, Tensor):
        return returned
    found = dict(tensors(returned))
    if len(found) == 1:
        return next(iter(found.values()))
    for name in _USUAL:
        if name in found:
            return found[name]
    example = next((name for name, tensor in found.items() if tensor.ndim == 2), next(iter(found), ""))
    hint = f'; say which is the output: Network(module, output="{example}")' if found else ""
    return NoOutput(f"it returns {described(returned)}{hint}")


def _named(returned: object, path: str) -> object:
    part: object = returned
    for name in path.split("."):
        inner = dict(_parts(part))
        if name not in inner:
            return NoOutput(f"it returns {described(returned)}, and no {path!r}")
        part = inner[name]
    return part


def _parts(returned: object) -> Iterator[tuple[str, object]]:
    """The items of a dict, dataclass, named tuple, tuple or list, by name or number, without None."""
    if isinstance(returned, Mapping):  # also the outputs of transformers
        pairs = [(str(key), value) for key, value in returned.items()]
    elif dataclasses.is_dataclass(returned) and not isinstance(returned, type):
        pairs = [(item.name, getattr(returned, item.name)) for item in dataclasses.fields(returned)]
    elif isinstance(returned, tuple) and hasattr(returned, "_fields"):
        pairs = list(zip(returned._fields, returned, strict=True))
    elif isinstance(returned, list | tuple):
        pairs = [(str(number), value) for number, value in enumerate(returned)]
    else:
        pairs = []
    yield from ((name, value) for name, value in pairs if value is not None)
