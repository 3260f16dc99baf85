"""Call after call leaves nothing behind: neither Python objects nor memory of tensors.

What one call leaves is measured exactly, so a few calls on a small image tell what a hundred on a large one would:
objects by the garbage collector's own list, bytes by the allocator's own books (where the C library keeps them).
"""

import ctypes
import gc
import sys
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import pytest
import torch

import triscope as ts
from tests.contract.asking import ASKING, ask, fresh, pictures, tiny


class Books(ctypes.Structure):
    """The C library's `struct mallinfo2`."""

    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"  # see mallinfo(3)
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]


class Held(NamedTuple):
    """What the process holds, or what one call adds to it."""

    objects: float  # that the garbage collector follows: containers, modules, hooks, tensors
    blocks: float  # of Python's allocator: also numbers, strings and the like
    bytes: float  # of the C library's: tensors, large strings


def taken() -> int:
    """Bytes that the C library has given out; 0 where it does not say."""
    books = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if books is None:
        return 0
    books.restype = Books
    now = books()
    return now.uordblks + now.hblkhd


def held() -> Held:
    gc.collect()
    return Held(len(gc.get_objects()), sys.getallocatedblocks(), taken())


def left_by(call, *, before=3, calls=7) -> Held:
    """What a call leaves, as the median over `calls` of them, after some that fill what is kept once."""
    for _ in range(before):
        call()
    gc.freeze()  # what was there is not looked at any more, which is quicker
    try:
        states = [held()]
        for _ in range(calls):
            call()
            states.append(held())
    finally:
        gc.unfreeze()
    return Held(*(median(b - a for a, b in pairwise(each)) for each in zip(*states, strict=True)))


def nothing(left: Held) -> bool:
    """The states themselves are a few objects; interpreters and allocators keep some small change."""
    return left.objects <= 3 and left.blocks <= 120 and left.bytes <= 8_000


@pytest.mark.parametrize("name", ASKING)
def test_a_call_leaves_nothing_in_memory(name):
    network, images = tiny(name), pictures(2, size=(9, 11))
    left = left_by(lambda: ask(name, network, images))
    assert nothing(left), left


KEPT = []
LEAKS = {
    "a result": lambda network, images: ts.saliency(network, images, 1),
    "a graph": lambda network, images: network.module(images).sum().grad_fn,
    "a tensor": lambda network, images: images * 0.5,
    "a hook": lambda network, images: network.module.register_forward_hook(lambda *_: None),
    "a kilobyte of numbers": lambda network, images: [1000.5 + n for n in range(150)],
    "large text": lambda network, images: "x" * len(KEPT) + "y" * 10_000,
}


@pytest.mark.parametrize("leak", LEAKS)
def test_what_a_call_would_leave_is_seen(leak):
    network, images = fresh(), pictures(2, size=(17, 23))
    try:
        left = left_by(lambda: KEPT.append(LEAKS[leak](network, images)))
    finally:
        KEPT.clear()
    assert not nothing(left), left


def test_a_method_whose_network_keeps_what_it_saw_is_seen():
    """As a whole: the same method, and a layer that holds on to its activations."""
    network = fresh()
    images = pictures(2, size=(9, 11))
    network.module[3].register_forward_pre_hook(lambda module, given: KEPT.append(given))
    try:
        left = left_by(lambda: ts.saliency(network, images, 1))
    finally:
        KEPT.clear()
    assert not nothing(left), left


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="this C library keeps no such books")
def test_the_books_follow_a_tensor():
    before = taken()
    kept = torch.zeros(100_000)
    assert taken() - before >= kept.nbytes
