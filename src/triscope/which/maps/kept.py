"""Maps that took long, kept with their store: opened again where the same is asked of the same pictures."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from triscope.errors import StoreError
from triscope.which.database.durable import write_durably
from triscope.which.store import Store


def recall(store: Store, key: Mapping[str, Any]) -> tuple[Tensor, float] | None:
    """The places (N, 2) that were kept under `key`, and their score; None where there are none."""
    try:
        known = safetensors.torch.load(_place(store, key).read_bytes())
        values, score = known["values"], float(known["score"])
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError):
        return None
    return (values, score) if values.shape == (len(store), 2) and values.isfinite().all() else None


def keep(store: Store, key: Mapping[str, Any], values: Tensor, score: float) -> None:
    """Keep places under `key`; where the store's folder cannot be written they are not kept."""
    path = _place(store, key)
    data = safetensors.torch.save({"values": values.contiguous(), "score": torch.tensor(score, dtype=torch.float64)})
    try:
        path.parent.mkdir(exist_ok=True)
        write_durably(path, data)
    except (OSError, StoreError):
        return


def _place(store: Store, key: Mapping[str, Any]) -> Path:
    """A file for each state of the store and each question."""
    told = json.dumps({**key, "version": store.table.version}, sort_keys=True)
    return store.path / "maps" / f"{key['method']}-{hashlib.sha256(told.encode()).hexdigest()[:16]}.safetensors"
