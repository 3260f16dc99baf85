"""Backward rules: what the calls of a pass send back instead of their gradient."""

from triscope.network.backward_rules.rectifiers import DECONVNET, GUIDED, WAKING
from triscope.network.backward_rules.rule import Call, NonlinearityCount, Rule, following, gradient_following

__all__ = ["Call", "DECONVNET", "following", "gradient_following", "GUIDED", "NonlinearityCount", "Rule", "WAKING"]
