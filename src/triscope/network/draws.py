"""What a network draws: random numbers in its forward pass, as a dropout that is always on, a VAE or an MAE has them.

The global generator is the caller's, so that a network may neither move it nor depend on it. While `Draws` is entered,
every function of torch that draws is given a state of its own, made from a seed, and the generator is put back right
after it. It is a mode over torch's operators, and only in the thread that entered it. It slows a pass down, so that
`Network` enters it once for each network, and from then on only where the network was found to draw.

Python's and NumPy's global generators cannot be watched in this way. A first pass tells whether they were drawn from;
where they were, they are given a state of their own during the whole of every pass that follows.

**What it does not do.** One generator cannot be two things at once: while an operator draws, another thread that draws
from the global generator at that very moment gets numbers of this state, and of Python's and NumPy's during a pass that
draws from them. (Two networks asked in two threads wait for each other.) Draws in the parts of a network that are
computed again on the way back (torch.utils.checkpoint) are not seen.
"""

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _pop_mode, _push_mode

#: Held while a global generator is not as its owner left it.
_AWAY = threading.RLock()


class Draws(TorchDispatchMode):
    """While entered, what is drawn follows `seed`; `drew` says whether anything was.

    `python` says that Python's and NumPy's generators follow it, too. Otherwise `unseeded` says whether they were drawn
    from; they are put back to where they were.
    """

    def __init__(self, seed: int, *, python: bool = False) -> None:
        TorchDispatchMode.__init__(self)
        self.drew = self.unseeded = False
        self._seed = seed
        self._states: dict[torch.device, Tensor] = {}
        self._python = python
        self._others: list[tuple[Any, Any]] = []  # Python's and NumPy's, as they were and as they began

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: what is asked is never compiled, and to load the compiler takes seconds."""
        return False

    def __enter__(self) -> Self:
        """As the class above has it, without its flags: they are the process's, and two threads would mix them up."""
        before = begun = _others()
        if self._python:
            _AWAY.acquire()
            random.seed(self._seed)
            np.random.seed(self._seed % 2**32)  # noqa: NPY002 - the global one is what a network may draw from
            begun = _others()
        self._others = [before, begun]
        _push_mode(self)
        return self

    def __exit__(self, *_: object) -> None:
        _pop_mode()
        before, begun = self._others
        moved = not _same(_others(), begun)
        if moved or self._python:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002 - the global one is the caller's, and is put back
        self.drew, self.unseeded = self.drew or moved, moved and not self._python
        if self._python:
            _AWAY.release()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The operator, from a state of our own where it may draw from a global generator."""
        kwargs = kwargs or {}
        if not _may_draw(func) or any(isinstance(value, torch.Generator) for value in (*args, *kwargs.values())):
            return func(*args, **kwargs)
        with _AWAY:
            return self._drawn(_generators(args, kwargs), lambda: func(*args, **kwargs))

    def _drawn(self, generators: Mapping[torch.device, torch.Generator], ask: Callable[[], Any]) -> Any:
        before = {device: generator.get_state() for device, generator in generators.items()}
        for device, generator in generators.items():
            if device not in self._states:
                self._states[device] = torch.Generator(device).manual_seed(self._seed).get_state()
            generator.set_state(self._states[device])
        try:
            return ask()
        finally:
            for device, generator in generators.items():
                after = generator.get_state()
                self.drew = self.drew or not torch.equal(after, self._states[device])
                self._states[device] = after
                generator.set_state(before[device])


def _others() -> tuple[Any, Any]:
    """The states of Python's and NumPy's global generators."""
    return random.getstate(), np.random.get_state()  # noqa: NPY002 - whether the global one moves is the question


def _same(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    (name, keys, *rest), (other_name, other_keys, *other_rest) = one[1], other[1]
    return one[0] == other[0] and (name, rest) == (other_name, other_rest) and np.array_equal(keys, other_keys)


@cache
def _may_draw(func: Callable[..., Any]) -> bool:
    """Whether an operator draws random numbers, as far as its own declaration says."""
    return torch.Tag.nondeterministic_seeded in getattr(func, "tags", ())


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """While entered, the global generators follow `seed`; afterwards they are as before. For weights at random.

    Those of GPUs are left alone where no GPU was used yet: to seed them is to change what they will be.
    """
    used = torch.cuda.is_initialized()
    generators = [torch.default_generator, *(torch.cuda.default_generators if used else ())]
    with _AWAY:
        before = [generator.get_state() for generator in generators]
        try:
            for generator in generators:
                generator.manual_seed(seed)
            yield
        finally:
            for generator, state in zip(generators, before, strict=True):
                generator.set_state(state)


def _generators(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[torch.device, torch.Generator]:
    """The global generators that an operator may draw from: the processor's, and those of the devices it is about."""
    about = {value.device for value in (*args, *kwargs.values()) if isinstance(value, Tensor)}
    if kwargs.get("device") is not None:
        about.add(torch.empty(0, device=kwargs["device"]).device)  # which has a number: cuda is cuda:0, or another
    found = {torch.device("cpu"): torch.default_generator}
    return found | {device: torch.cuda.default_generators[device.index] for device in about if device.type == "cuda"}
