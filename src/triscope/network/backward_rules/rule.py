"""Backward rules: a rule gives calls of torch functions in a pass other gradients, and leaves their values as they are.

    result = rule.apply(call, tally)        in place of       result = call.function(*call.args, **call.kwargs)

Rules are applied by a mode over torch's functions, not by hooks on modules. A mode sees every form of an operation -
module, functional, method, in place, one module used many times - and only in the thread that entered it.
"""

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge
from torch.overrides import TorchFunctionMode

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function of torch, in whatever form it was written."""

    function: Function
    args: Sequence[Any]
    kwargs: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The name of the operation in any form: "add" for `a + b`, `a += b`, `torch.add` and `a.add_`."""
        return _spelling(self.function)[0]

    @property
    def in_place(self) -> bool:
        """Whether the call writes its result to its first argument."""
        _, always, place = _spelling(self.function)
        if always or place is None:
            return always
        return bool(self.args[place] if len(self.args) > place else self.kwargs.get("inplace", False))

    @property
    def subject(self) -> Any:
        """The first argument, which is the input of an elementwise function or a layer."""
        return self.args[0] if self.args else self.kwargs.get("input")

    @property
    def of_its_subject(self) -> bool:
        """Whether the first argument is a tensor, and no other argument needs a gradient."""
        subject = self.subject
        return isinstance(subject, Tensor) and not any(
            one.requires_grad and one is not subject for one in self.tensors()
        )

    def plain(self) -> Any:
        """The result of the function, with its own gradient."""
        return self.function(*self.args, **self.kwargs)

    def tensors(self) -> Iterator[Tensor]:
        """The tensors among the arguments, also those in lists and tuples."""
        for value in (*self.args, *self.kwargs.values()):
            if isinstance(value, Tensor):
                yield value
            elif isinstance(value, list | tuple):
                yield from (part for part in value if isinstance(part, Tensor))

    def replacing(self, change: Callable[[Tensor], Tensor]) -> "Call":
        """The call with `change` applied to all of its tensors."""

        def changed(value: Any) -> Any:
            if isinstance(value, Tensor):
                return change(value)
            if isinstance(value, list | tuple) and any(isinstance(part, Tensor) for part in value):
                return type(value)(changed(part) for part in value)
            return value

        return Call(
            self.function, [changed(value) for value in self.args], {k: changed(v) for k, v in self.kwargs.items()}
        )


@lru_cache(maxsize=4096)
def _spelling(function: Function) -> tuple[str, bool, int | None]:
    """The plain name of a function, whether it always works in place, and the position of its argument `inplace`."""
    name = getattr(function, "__name__", type(function).__name__)
    if name.startswith("__") and name.endswith("__"):
        name = name[2:-2]
        writes = name in _AUGMENTED or name == "setitem"
        return _AUGMENTED.get(name, name), writes, None
    if name.endswith("_") and name not in _NOT_IN_PLACE:
        return name[:-1], True, None
    parameters = list(inspect.signature(function).parameters) if inspect.isfunction(function) else []
    return name, False, parameters.index("inplace") if "inplace" in parameters else None


_AUGMENTED = {"iadd": "add", "isub": "sub", "imul": "mul", "itruediv": "div", "ipow": "pow"}
_NOT_IN_PLACE = {"requires_grad_", "detach_"}


@dataclass
class NonlinearityCount:
    """The nonlinearities of a pass by kind: those that the rule changes, and `others`, which keep their gradient.

    `returning` says that the calls are those of checkpointed parts, computed again in the backward pass.
    """

    followed: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    returning: bool = False

    def sentence(self) -> str:
        """The counts in words: "20 ReLU, 21 hardswish"."""
        met = [*self.followed.items(), *sorted(self.others.items())]
        return ", ".join(f"{count} {name}" for name, count in met)

    def meet_functions_behind(self, scores: Tensor) -> None:
        """Count the `torch.autograd.Function`s of other code among `others`, since a rule cannot change them."""
        for node in nodes_behind(scores):
            made_by = getattr(node, "_forward_cls", None)
            if made_by is not None and not made_by.__module__.startswith("triscope."):
                self.others[made_by.__name__] += 1


class Rule(Protocol):
    """A backward rule. Rules have no state: what they count in a pass is written to the tally."""

    @property
    def name(self) -> str:
        """The rule's name in messages."""

    def apply(self, call: Call, tally: NonlinearityCount) -> Any:
        """The result of a call: `call.plain()`, or the same value with another gradient."""

    def check(self, tally: NonlinearityCount, network: str) -> None:
        """Raise NetworkError if the pass had no operation that the rule changes."""


@contextmanager
def following(rule: Rule, tally: NonlinearityCount | None = None) -> Iterator[NonlinearityCount]:
    """Context in which `rule` is applied to all calls of torch functions in this thread; yields the tally."""
    mode = _Following(rule, tally or NonlinearityCount())
    with mode:
        yield mode.tally


class _Following(TorchFunctionMode):
    def __init__(self, rule: Rule, tally: NonlinearityCount) -> None:
        super().__init__()
        self.rule = rule
        self.tally = tally

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if not torch.is_grad_enabled():  # no gradient: a Function's own forward, a part under no_grad
            return func(*args, **(kwargs or {}))
        return self.rule.apply(Call(func, args, kwargs or {}), self.tally)


def gradient_following(rule: Rule, scores: Tensor, leaf: Tensor) -> Tensor:
    """The gradient of the sum of `scores` (B,) at `leaf`, for a pass to which `rule` was applied.

    The rule is also applied in the backward pass, in which checkpointed parts of a network are computed again. Raises
    RuntimeError if the scores have no gradient at `leaf`.
    """
    total, to = get_gradient_edge(scores.sum()), get_gradient_edge(leaf)
    nodes = set(nodes_behind(scores))  # for an edge that the scores do not depend on, autograd returns zeros
    if to.node not in nodes or any("NotImplemented" in node.name() for node in nodes):
        raise RuntimeError("the scores were not computed from it by anything that has a gradient")
    one = torch.ones((), dtype=scores.dtype, device=scores.device)
    # With tensors instead of edges, autograd would leave the mode before it starts.
    with following(rule, NonlinearityCount(returning=True)):
        (values,) = torch.autograd.grad(total, to, one)
    return values


def nodes_behind(tensor: Tensor) -> Iterator[Any]:
    """The nodes of the autograd graph of `tensor`, each once."""
    waiting = [tensor.grad_fn]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [before for before, _ in node.next_functions]
