"""What a backward rule is: it is shown every call of a torch function in a pass, and answers it.

    answer = rule.answer(call, tally)       in place of       answer = call.function(*call.args, **call.kwargs)

A rule is followed by a mode over torch's functions, not by hooks on modules: it sees every form of an operation -
module, functional, method, in place, one module used many times - and only in the thread that entered it. The answer's
value is that of the function; what differs is what it sends back.
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
    """One call of one function of torch, however it was written."""

    function: Function
    args: Sequence[Any]
    kwargs: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What the function does, however it is spelled: "add" for `a + b`, `a += b`, `torch.add` and `a.add_`."""
        return _spelling(self.function)[0]

    @property
    def in_place(self) -> bool:
        """Whether the call writes its answer over its first argument."""
        _, always, place = _spelling(self.function)
        if always or place is None:
            return always
        return bool(self.args[place] if len(self.args) > place else self.kwargs.get("inplace", False))

    @property
    def subject(self) -> Any:
        """The first argument: what an elementwise function or a layer reads."""
        return self.args[0] if self.args else self.kwargs.get("input")

    @property
    def of_its_subject(self) -> bool:
        """Whether gradients flow through the first argument, if through any, and through no other."""
        subject = self.subject
        return isinstance(subject, Tensor) and not any(
            one.requires_grad and one is not subject for one in self.tensors()
        )

    def plain(self) -> Any:
        """What the function gives, with its own gradient."""
        return self.function(*self.args, **self.kwargs)

    def tensors(self) -> Iterator[Tensor]:
        """The tensors among the arguments, also those in lists and tuples."""
        for value in (*self.args, *self.kwargs.values()):
            if isinstance(value, Tensor):
                yield value
            elif isinstance(value, list | tuple):
                yield from (part for part in value if isinstance(part, Tensor))

    def replacing(self, change: Callable[[Tensor], Tensor]) -> "Call":
        """The same call of changed tensors."""

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
    """The plain name of a function, whether it always writes in place, and where its argument `inplace` stands."""
    name = getattr(function, "__name__", type(function).__name__)
    if name.startswith("__") and name.endswith("__"):
        name = name[2:-2]
        writes = name in _AUGMENTED or name == "setitem"
        return _AUGMENTED.get(name, name), writes, None
    if name.endswith("_") and name not in _NOT_WRITING:
        return name[:-1], True, None
    parameters = list(inspect.signature(function).parameters) if inspect.isfunction(function) else []
    return name, False, parameters.index("inplace") if "inplace" in parameters else None


_AUGMENTED = {"iadd": "add", "isub": "sub", "imul": "mul", "itruediv": "div", "ipow": "pow"}
_NOT_WRITING = {"requires_grad_", "detach_"}


@dataclass
class NonlinearityCount:
    """The calls met during a pass: those that follow the rule, and those that send back their gradient, by kind.

    `returning` says that it is no pass, but what is computed again on the way back.
    """

    followed: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    returning: bool = False

    def sentence(self) -> str:
        """What was met, in words: "20 ReLU, 21 hardswish"."""
        met = [*self.followed.items(), *sorted(self.others.items())]
        return ", ".join(f"{count} {name}" for name, count in met)

    def meet_functions_behind(self, scores: Tensor) -> None:
        """Count the `torch.autograd.Function`s that other code brought along: no rule reaches into those."""
        for node in nodes_behind(scores):
            made_by = getattr(node, "_forward_cls", None)
            if made_by is not None and not made_by.__module__.startswith("triscope."):
                self.others[made_by.__name__] += 1


class Rule(Protocol):
    """What to do with one call of one function. A rule is a value; what it meets in a pass is written to the tally."""

    @property
    def name(self) -> str:
        """What the rule is called in messages."""

    def answer(self, call: Call, tally: NonlinearityCount) -> Any:
        """What the call gives: `call.plain()`, or the same value with another way back."""

    def check(self, tally: NonlinearityCount, network: str) -> None:
        """Raise NetworkError where the rule had nothing to act on in the pass that ended."""


@contextmanager
def following(rule: Rule, tally: NonlinearityCount | None = None) -> Iterator[NonlinearityCount]:
    """While entered, this thread's calls are answered by `rule`; yields the tally of what was met."""
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
        if not torch.is_grad_enabled():  # nothing is sent back: a Function's own forward, a part under no_grad
            return func(*args, **(kwargs or {}))
        return self.rule.answer(Call(func, args, kwargs or {}), self.tally)


def gradient_following(rule: Rule, scores: Tensor, leaf: Tensor) -> Tensor:
    """The gradient of the sum of `scores` (B,) at `leaf`, for a pass that followed `rule`.

    The rule is followed on the way back, too: parts of a network under checkpoints are computed again there.
    """
    total, to = get_gradient_edge(scores.sum()), get_gradient_edge(leaf)
    nodes = set(nodes_behind(scores))  # for an edge, autograd gives zeros where there is no way to it
    if to.node not in nodes or any("NotImplemented" in node.name() for node in nodes):
        raise RuntimeError("the scores were not computed from it by anything that has a gradient")
    one = torch.ones((), dtype=scores.dtype, device=scores.device)
    # Asked for tensors and not for edges, autograd would leave the mode before it starts.
    with following(rule, NonlinearityCount(returning=True)):
        (values,) = torch.autograd.grad(total, to, one)
    return values


def nodes_behind(tensor: Tensor) -> Iterator[Any]:
    """The nodes of autograd's graph that `tensor` was made by, each once."""
    waiting = [tensor.grad_fn]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [before for before, _ in node.next_functions]
