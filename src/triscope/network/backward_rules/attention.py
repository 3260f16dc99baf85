"""Attention in separate operations, so that a rule can handle those that fused functions contain.

    softmax(q k' * scale + mask) v          q (..., L, d), k (..., S, d), v (..., S, e)

`torch.nn.functional.scaled_dot_product_attention` and `multi_head_attention_forward` are single calls for a rule. The
functions here compute the same in several calls. The user's module is not changed: a rule replaces the call.
"""

import inspect
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from triscope.network.backward_rules.rule import Call


@dataclass(frozen=True)
class Attention:
    """The arguments of one call of `scaled_dot_product_attention`."""

    query: Tensor
    key: Tensor
    value: Tensor
    attn_mask: Tensor | None = None
    dropout_p: float = 0.0
    is_causal: bool = False
    scale: float | None = None
    enable_gqa: bool = False

    @classmethod
    def of(cls, call: Call) -> "Attention":
        """The arguments of the call."""
        return cls(*call.args, **call.kwargs)

    @property
    def openable(self) -> bool:
        """Whether `weights` and `apply` compute the same as the call: there is no dropout and no grouped query."""
        return not self.dropout_p and not self.enable_gqa

    def weights(self) -> Tensor:
        """The attention weights: (..., L, S), which sum to 1 over S."""
        scale = 1 / math.sqrt(self.query.shape[-1]) if self.scale is None else self.scale
        scores = self.query @ self.key.transpose(-2, -1) * scale
        mask = self._mask(scores)
        return (scores if mask is None else scores + mask).softmax(-1)

    def apply(self, weights: Tensor) -> Tensor:
        """The attended values: (..., L, e)."""
        return weights @ self.value

    def _mask(self, scores: Tensor) -> Tensor | None:
        mask = self.attn_mask
        if self.is_causal:
            mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        return _added(mask, scores) if mask is not None and mask.dtype == torch.bool else mask


_EXTRAS = ("bias_k", "bias_v", "static_k", "static_v")


def open_multi_head(call: Call) -> Any:
    """`multi_head_attention_forward` as linear layers and `scaled_dot_product_attention`.

    None for calls with dropout, added biases or zeros, or static keys or values.
    """
    given = inspect.signature(F.multi_head_attention_forward).bind(*call.args, **call.kwargs)
    given.apply_defaults()
    arguments = given.arguments
    draws = arguments["training"] and arguments["dropout_p"]
    if draws or arguments["add_zero_attn"] or any(arguments[name] is not None for name in _EXTRAS):
        return None
    batched = arguments["query"].ndim == 3
    inputs = [arguments[name] if batched else arguments[name].unsqueeze(1) for name in ("query", "key", "value")]
    length, count, width = inputs[0].shape
    heads = arguments["num_heads"]
    query, key, value = (
        part.reshape(len(part), count, heads, -1).permute(1, 2, 0, 3) for part in _projected(arguments, inputs)
    )
    attention = Attention(query, key, value, _mask(arguments, query, key))
    attended = F.scaled_dot_product_attention(query, key, value, attention.attn_mask)
    output = F.linear(
        attended.permute(2, 0, 1, 3).reshape(length, count, width),
        arguments["out_proj_weight"],
        arguments["out_proj_bias"],
    )
    weights = None
    if arguments["need_weights"]:
        with torch.no_grad():
            weights = attention.weights()
            weights = weights.mean(1) if arguments["average_attn_weights"] else weights
            weights = weights if batched else weights.squeeze(0)
    return output if batched else output.squeeze(1), weights


def _projected(arguments: dict[str, Any], inputs: list[Tensor]) -> list[Tensor]:
    """Queries, keys and values (length, B, width)."""
    bias = arguments["in_proj_bias"]
    if arguments["use_separate_proj_weight"]:
        weights = [arguments[f"{name}_proj_weight"] for name in "qkv"]
    elif arguments["query"] is arguments["key"] is arguments["value"]:
        return list(F.linear(inputs[0], arguments["in_proj_weight"], bias).chunk(3, -1))
    else:
        weights = list(arguments["in_proj_weight"].chunk(3))
    biases = bias.chunk(3) if bias is not None else [None] * 3
    return [F.linear(*each) for each in zip(inputs, weights, biases, strict=True)]


def _mask(arguments: dict[str, Any], query: Tensor, key: Tensor) -> Tensor | None:
    """The mask to add to the scores (B, heads, L, S); in the module's own masks, True means masked out."""
    count, heads = query.shape[:2]
    mask, padding = arguments["attn_mask"], arguments["key_padding_mask"]
    total = None
    if mask is not None:
        mask = mask.view(count, heads, *mask.shape[-2:]) if mask.ndim == 3 else mask
        total = _added(~mask, query) if mask.dtype == torch.bool else mask
    if padding is not None:
        padding = padding.view(count, 1, 1, key.shape[2])
        padding = _added(~padding, query) if padding.dtype == torch.bool else padding
        total = padding if total is None else total + padding
    return total


def _added(seen: Tensor, like: Tensor) -> Tensor:
    """A boolean mask as one to add to scores: 0 where `seen`, minus infinity elsewhere."""
    return torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill(~seen, -math.inf)
