"""The number format that heavy passes compute in: float32, or bfloat16 where the hardware multiplies it by itself."""

from typing import Literal, TypeAlias

import torch

from triscope.network.network import Network
from triscope.network.weights import quantised_part

Precision: TypeAlias = Literal["auto", "float32", "bfloat16"]


def native_bfloat16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 by itself; elsewhere it is slower there than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    known = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return any(ask is not None and ask() for ask in known)


def chosen(precision: Precision, network: Network) -> torch.dtype:
    """The type that `precision` names; `auto` is bfloat16 where the network's device computes in it, float32 elsewhere.

    Quantised layers take float32 alone.
    """
    if precision == "auto":
        quick = native_bfloat16(network.device) and quantised_part(network.module) is None
        return torch.bfloat16 if quick else torch.float32
    return torch.bfloat16 if precision == "bfloat16" else torch.float32
