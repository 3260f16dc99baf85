"""Attention as an explanation: how much of each patch the answer is made of, followed through all layers.

    rollout             A = mean over heads of softmax(q k'),  R <- (A + I) / 2  R                from R = I
    gradient attention  A = mean over heads of (dS/dA * A)+,   R <- R + A R                       from R = I

The map is the class token's row of R, or the mean row where there is no class token.

**When it misleads.** Attention says what is mixed into a token, and neither what is made of it nor whether the answer
uses it (Jain and Wallace, "Attention is not explanation", 2019). Rollout does not depend on the score: its map is the
same for every class. Both ignore what the layers between attentions do.

**References.** S. Abnar, W. Zuidema, "Quantifying attention flow in transformers", ACL 2020 (rollout). H. Chefer, S.
Gur, L. Wolf, "Generic attention-model explainability for interpreting bi-modal and encoder-decoder transformers", ICCV
2021, eq. 5 and 6 (gradient attention).

**Differences from the paper.** The papers read the class token. Patches are interpolated to the image's size.
"""

from typing import Literal

import torch
from torch import Tensor

from triscope.methods import ImagesArg, NetworkArg, ObjectiveArg, method
from triscope.network.backward_rules import NonlinearityCount
from triscope.objectives.units import TOP_CLASS
from triscope.results import Heatmap
from triscope.where.attention_maps import AttentionMaps, TokenGrid, per_image
from triscope.where.gradient import Gradient, gradient_of, heatmap
from triscope.where.target import with_gradients


@method("where")
def attention_rollout(
    network: NetworkArg,
    images: ImagesArg,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    heads: Literal["mean", "max", "min"] = "mean",
) -> Heatmap:
    """How much of each patch reaches the class token through the attention of all layers (Abnar and Zuidema, 2020).

    Values (B, 1, H, W), in [0, 1]: a patch's share of the class token, or of the mean token if there is no class token.
    The map is the same for every class: the unit only determines up to which layer attention is followed. Raises
    NetworkError for networks whose tokens do not all attend to each other, such as Swin.

    heads       how the heads of a layer are combined: their mean (as in the paper), maximum or minimum
    """
    rule = AttentionMaps("attention rollout")
    with with_gradients(network.device):  # rules act only where gradients are on; none is computed here
        look = network.look(images.images, objective.needs, rule=rule)
        scores = objective(look)
    rule.check(look.tally or NonlinearityCount(), network.name)
    maps = per_image(rule, network, len(images.images))
    identity = torch.eye(maps[0].shape[-1], dtype=maps[0].dtype, device=maps[0].device)
    relations = identity.expand(len(images.images), -1, -1)
    for weights in maps:
        mixed = _over_heads(weights, heads) + identity
        relations = mixed / mixed.sum(-1, keepdim=True) @ relations
    found = Gradient(relations, relations, scores, objective.resolve(look), images, look.tally)
    return _shown(network, found, rule, relations)


@method("where")
def gradient_attention(network: NetworkArg, images: ImagesArg, objective: ObjectiveArg = TOP_CLASS) -> Heatmap:
    """The attention that raises the score, through all layers: each weight times its gradient (Chefer et al., 2021).

    Values (B, 1, H, W), not negative: how strongly the answer's token is tied to each patch. Raises NetworkError for
    networks whose tokens do not all attend to each other, such as Swin.
    """
    rule = AttentionMaps("gradient-weighted attention")
    found = gradient_of(network, images, objective, rule=rule)
    maps = per_image(rule, network, len(images.images))
    identity = torch.eye(maps[0].shape[-1], dtype=maps[0].dtype, device=maps[0].device)
    relations = identity.expand(len(images.images), -1, -1)
    for weights, slopes in zip(maps, rule.slopes, strict=True):
        raising = (weights.detach() * slopes.view_as(weights)).clamp(min=0).mean(1)
        relations = relations + raising @ relations
    return _shown(network, found, rule, relations - identity)


def _over_heads(weights: Tensor, heads: str) -> Tensor:
    """The heads (B, heads, T, T) combined: (B, T, T)."""
    return weights.mean(1) if heads == "mean" else weights.amax(1) if heads == "max" else weights.amin(1)


def _shown(network: NetworkArg, found: Gradient, rule: AttentionMaps, relations: Tensor) -> Heatmap:
    images = found.seen.images
    grid = TokenGrid.of(network, images, relations.shape[-1], rule.name)
    values = grid.at_the_pixels(grid.row(relations), (images.shape[-2], images.shape[-1]))
    return heatmap(network, found, values, rule.notes(found.tally or NonlinearityCount(), grid))
