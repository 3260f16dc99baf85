"""The number format that heavy passes compute in: float32, or bfloat16 where the hardware multiplies it by itself."""

import warnings
from typing import Literal, TypeAlias

import torch

from triscope.errors import TriscopeWarning
from triscope.network.network import Network
from triscope.network.refusals import FAILURES, first_line, no_autocast
from triscope.network.variants.configured import configured
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
    """The type that `precision` names; `auto` is bfloat16 where the network's device computes in it and the network
    runs in it, else float32. Where only the network stands in the way, a warning says why.

    Quantised layers take float32 alone, and some operations (Fourier transforms, matrix inverses) have no bfloat16.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if not native_bfloat16(network.device) or quantised_part(network.module) is not None:
        return torch.float32
    reason = _reason_against(torch.bfloat16, network)
    if reason is None:
        return torch.bfloat16
    if _reason_against(network.dtype, network) is None:
        warnings.warn(
            f"{network.name} does not run in bfloat16 ({reason}), so it is run in float32.",
            TriscopeWarning,
            stacklevel=2,
        )
    return torch.float32


def _reason_against(number: torch.dtype, network: Network) -> str | None:
    """Why the network does not run in a number format, found by one pass over a grey image; None where it does."""
    asked = configured(network, precision=number)
    grey = torch.full((1, network.channels, *network.size), 0.5, dtype=network.dtype, device=network.device)
    try:
        with torch.no_grad(), no_autocast(network.device):
            asked.try_on(asked.normalise(grey))
    except FAILURES as error:
        return first_line(error)
    return None
