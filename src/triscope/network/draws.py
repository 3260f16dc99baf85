"""Random numbers in a network's forward pass, such as a dropout that is always on, a VAE or an MAE.

The global generators belong to the caller, so a network must neither advance nor depend on them. Within `Draws`, every
operator of PyTorch that draws random numbers uses a separate state, made from a seed, and the global generator is
restored right after it. `Draws` is a mode over operators, active only in the thread that entered it. It slows a pass
down, so `Network` uses it for the first pass, and then only for networks that were found to draw.

Calls to the global generators of Python and NumPy cannot be intercepted. The first pass shows whether they were used;
if so, they get a separate state during each of the following passes.

**Limits.** Another thread that draws from a global generator at the moment when an operator does gets numbers from the
separate state; with Python's and NumPy's generators, during the whole pass. (Two networks in two threads wait for each
other.) Draws in checkpointed parts (torch.utils.checkpoint), which the backward pass computes again, are not covered.
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

#: Held while a global generator has another state than its owner's.
_REPLACED = threading.RLock()


class Draws(TorchDispatchMode):
    """Within this mode, random numbers follow `seed`; afterwards `drew` says whether there were any.

    With `python`, those of Python's and NumPy's global generators follow it, too. Without, `unseeded` says whether
    numbers were drawn from them; their states are restored.
    """

    def __init__(self, seed: int, *, python: bool = False) -> None:
        TorchDispatchMode.__init__(self)
        self.drew = self.unseeded = False
        self._seed = seed
        self._states: dict[torch.device, Tensor] = {}
        self._python = python
        self._others: list[tuple[Any, Any]] = []  # Python's and NumPy's states before the pass, and at its start

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: networks are never compiled here, and importing the compiler takes seconds."""
        return False

    def __enter__(self) -> Self:
        """Like the base class, without its flags, which are global and would be mixed up by two threads."""
        before = begun = _others()
        if self._python:
            _REPLACED.acquire()
            random.seed(self._seed)
            np.random.seed(self._seed % 2**32)
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
            np.random.set_state(before[1])
        self.drew, self.unseeded = self.drew or moved, moved and not self._python
        if self._python:
            _REPLACED.release()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The operator; with the separate state if it may draw from a global generator."""
        kwargs = kwargs or {}
        if not _is_random(func) or any(isinstance(value, torch.Generator) for value in (*args, *kwargs.values())):
            return func(*args, **kwargs)
        with _REPLACED:
            return self._drawn(_generators(args, kwargs), lambda: func(*args, **kwargs))

    def _drawn(self, generators: Mapping[torch.device, torch.Generator], run: Callable[[], Any]) -> Any:
        before = {device: generator.get_state() for device, generator in generators.items()}
        for device, generator in generators.items():
            if device not in self._states:
                self._states[device] = torch.Generator(device).manual_seed(self._seed).get_state()
            generator.set_state(self._states[device])
        try:
            return run()
        finally:
            for device, generator in generators.items():
                after = generator.get_state()
                self.drew = self.drew or not torch.equal(after, self._states[device])
                self._states[device] = after
                generator.set_state(before[device])


def _others() -> tuple[Any, Any]:
    """The states of Python's and NumPy's global generators."""
    return random.getstate(), np.random.get_state()


def _same(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    (name, keys, *rest), (other_name, other_keys, *other_rest) = one[1], other[1]
    return one[0] == other[0] and (name, rest) == (other_name, other_rest) and np.array_equal(keys, other_keys)


@cache
def _is_random(func: Callable[..., Any]) -> bool:
    """Whether an operator declares that it draws random numbers."""
    return torch.Tag.nondeterministic_seeded in getattr(func, "tags", ())


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within this context, PyTorch's global generators follow `seed`; afterwards they are restored. For random weights.

    Generators of GPUs are left alone if no GPU has been used yet, since seeding would change their first numbers.
    """
    used = torch.cuda.is_initialized()
    generators = [torch.default_generator, *(torch.cuda.default_generators if used else ())]
    with _REPLACED:
        before = [generator.get_state() for generator in generators]
        try:
            for generator in generators:
                generator.manual_seed(seed)
            yield
        finally:
            for generator, state in zip(generators, before, strict=True):
                generator.set_state(state)


def _generators(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[torch.device, torch.Generator]:
    """The global generators that an operator may draw from: the CPU's, and those of its arguments' devices."""
    about = {value.device for value in (*args, *kwargs.values()) if isinstance(value, Tensor)}
    if kwargs.get("device") is not None:
        about.add(torch.empty(0, device=kwargs["device"]).device)  # with the index that `cuda` leaves out
    found = {torch.device("cpu"): torch.default_generator}
    return found | {device: torch.cuda.default_generators[device.index] for device in about if device.type == "cuda"}
