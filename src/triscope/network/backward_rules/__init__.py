"""Backward rules: replacements for the gradients of operations."""

from triscope.network.backward_rules.rectifiers import DECONVNET, GUIDED, REDIRECTED
from triscope.network.backward_rules.rule import Call, NonlinearityCount, Rule, following, gradient_following

__all__ = ["Call", "DECONVNET", "following", "gradient_following", "GUIDED", "NonlinearityCount", "REDIRECTED", "Rule"]
