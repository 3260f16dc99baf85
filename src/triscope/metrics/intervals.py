"""Confidence intervals of means over images."""

import math

import torch
from torch import Tensor

_Z = 1.959963984540054  # 97.5th percentile of the normal distribution


def interval(values: Tensor) -> Tensor:
    """Half the width of the 95 % confidence interval of the mean of values (N, ...) over the first axis: (...).

    By Student's t, with images as independent samples. NaN values are left out; NaN where fewer than two are left.
    """
    known = (~values.isnan()).sum(0)
    freedom = known - 1
    spread = (values - values.nanmean(0)).square().nansum(0) / freedom.clamp_min(1)
    half = t_quantile(freedom) * (spread / known.clamp_min(1)).sqrt()
    return half.masked_fill(freedom < 1, math.nan)


def t_quantile(freedom: Tensor) -> Tensor:
    """The 97.5th percentile of Student's t distribution with `freedom` degrees of freedom.

    Exact for 1 and 2 degrees of freedom; from 3 on the asymptotic expansion of Abramowitz and Stegun, Handbook of
    Mathematical Functions, 26.7.5, with a relative error of at most 0.2 %.
    """
    v = freedom.clamp_min(1).double()
    terms = (
        (_Z**3 + _Z) / 4,
        (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / 96,
        (3 * _Z**7 + 19 * _Z**5 + 17 * _Z**3 - 15 * _Z) / 384,
        (79 * _Z**9 + 776 * _Z**7 + 1482 * _Z**5 - 1920 * _Z**3 - 945 * _Z) / 92160,
    )
    found = _Z + sum(term / v**power for power, term in enumerate(terms, 1))
    share = 0.975
    found = torch.where(v == 1, math.tan(math.pi * (share - 0.5)), found)
    return torch.where(v == 2, (2 * share - 1) / math.sqrt(2 * share * (1 - share)), found)
