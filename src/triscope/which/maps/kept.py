"""A cache of what takes long for a map, kept with its store for the same request on the same images."""

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from triscope.errors import StoreError
from triscope.which.database.durable import write_durably
from triscope.which.store import Store

WORTH = 2000  # images: results of fewer are computed sooner than read
_STATES = 4  # files of each kind that `once` keeps: those of older states of the store are deleted

_making = threading.Lock()  # of two simultaneous calls, the second waits for the first


def once(
    store: Store,
    key: Mapping[str, Any],
    make: Callable[[], dict[str, Tensor]],
    fits: Callable[[Mapping[str, Tensor]], bool],
) -> Mapping[str, Tensor]:
    """What `make` gives, once for each state of a store of many images; what a file holds counts if it `fits`."""
    if len(store) < WORTH:
        return make()
    with _making:
        known = fitting(store, key, fits)
        if known is not None:
            return known
        made = make()
        keep_new(store, key, lambda: made)
        return made


def fitting(
    store: Store, key: Mapping[str, Any], fits: Callable[[Mapping[str, Tensor]], bool]
) -> Mapping[str, Tensor] | None:
    """What was kept under `key`, where it `fits`."""
    known = recall(store, key)
    with suppress(KeyError, IndexError):
        if known is not None and fits(known):
            return known
    return None


def keep_new(store: Store, key: Mapping[str, Any], made: Callable[[], Mapping[str, Tensor]]) -> None:
    """Cache a result of a store of many images; outdated files are deleted."""
    if len(store) >= WORTH:
        keep(store, key, made())
        _tidy(store.path / "maps", str(key["method"]))


def are_numbers(values: Tensor | None, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> bool:
    """Whether what a file holds, which anybody may have written, are finite numbers of this shape and type."""
    right = values is not None and values.dtype == dtype and values.shape == shape
    return values is not None and right and bool(values.isfinite().all())


def is_kept(store: Store, key: Mapping[str, Any]) -> bool:
    """Whether there is anything under `key`."""
    return _place(store, key).is_file()


def recall(store: Store, key: Mapping[str, Any]) -> Mapping[str, Tensor] | None:
    """The numbers that were kept under `key`; None where there are none."""
    try:
        return safetensors.torch.load(_place(store, key).read_bytes())
    except (OSError, SafetensorError, ValueError, RuntimeError):
        return None


def keep(store: Store, key: Mapping[str, Any], values: Mapping[str, Tensor]) -> None:
    """Keep numbers under `key`; where the store's folder cannot be written they are not kept."""
    path = _place(store, key)
    data = safetensors.torch.save({name: value.contiguous() for name, value in values.items()})
    try:
        path.parent.mkdir(exist_ok=True)
        write_durably(path, data)
    except (OSError, StoreError):
        return


def _tidy(folder: Path, kind: str) -> None:
    """Delete the oldest files of a kind."""
    with suppress(OSError):
        files = sorted(folder.glob(f"{kind}-*.safetensors"), key=lambda file: file.stat().st_mtime)
        for file in files[:-_STATES]:
            file.unlink()


def _place(store: Store, key: Mapping[str, Any]) -> Path:
    """A file for each state of the store and each key."""
    told = json.dumps({**key, "version": store.table.version}, sort_keys=True)
    return store.path / "maps" / f"{key['method']}-{hashlib.sha256(told.encode()).hexdigest()[:16]}.safetensors"
