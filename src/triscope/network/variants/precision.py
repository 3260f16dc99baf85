"""The precision of long computations: float32, or bfloat16 on hardware that supports it natively."""

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
    """Whether `device` supports bfloat16 natively; otherwise it is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    known = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return any(ask is not None and ask() for ask in known)


def chosen(precision: Precision, network: Network) -> torch.dtype:
    """The dtype for `precision`: for "auto", bfloat16 if the device supports it natively and the network runs in it.

    Otherwise float32; if the network is the reason, with a TriscopeWarning. Quantised layers need float32, and some
    operations (Fourier transforms, matrix inverses) do not support bfloat16.
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


def in_precision(precision: Precision, network: Network) -> Network:
    """`network`, run in what `precision` names; itself where that is its own, or it is not a float32 network."""
    return configured(network, precision=chosen(precision, network)) if network.dtype == torch.float32 else network


def _reason_against(number: torch.dtype, network: Network) -> str | None:
    """Why the network does not run in a dtype, found by one pass over a grey image; None if it does."""
    variant = configured(network, precision=number)
    grey = torch.full((1, network.channels, *network.size), 0.5, dtype=network.dtype, device=network.device)
    try:
        with torch.no_grad(), no_autocast(network.device):
            variant.try_on(variant.normalise(grey))
    except FAILURES as error:
        return first_line(error)
    return None
