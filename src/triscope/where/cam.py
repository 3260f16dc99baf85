"""Class activation maps: the maps of a late layer, added up with a weight for each, and enlarged to the image.

    map = relu( sum over channels k of  w_k A_k )        A (C, h, w) activations, G their gradients, S the score

    gradient       w_k = mean of G_k                                    Grad-CAM
    gradient++     w_k = sum of a_k relu(G_k), a = G^2 / (2 G^2 + (sum of A_k) G^3)    Grad-CAM++
    hires          w   = G, at each position                            HiResCAM
    layer          w   = relu(G), at each position                      LayerCAM
    ablation       w_k = S - S without A_k                              Ablation-CAM
    score          w   = softmax over k of S(image * A_k, enlarged)     Score-CAM
    eigen          w   = first right singular vector of A as positions x channels      EigenCAM

The score may be any objective, and the layer any layer of maps or tokens before it.

**When it misleads.** The map has the resolution of the layer: its smooth outline comes from interpolation. Positions
of a late layer depend on far more of the image than the cell they are drawn at. Grad-CAM averages the gradient over
positions, so that it can mark places whose gradient is negative (Draelos and Carin, 2020); `hires` does not. `eigen` is
the same map for every class.

**References.** R. Selvaraju et al., "Grad-CAM", ICCV 2017. A. Chattopadhay et al., "Grad-CAM++", WACV 2018. R. Draelos,
L. Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks", 2020. P. Jiang
et al., "LayerCAM", IEEE TIP 2021. H. Ramaswamy et al., "Ablation-CAM", WACV 2020. H. Wang et al., "Score-CAM", CVPR
workshop 2020. M. Muhammad, M. Yeasin, "EigenCAM", IJCNN 2020.

**Differences from the paper.** The ReLU is there for all of them, as in most, and can be left out. Grad-CAM++ leaves
out the factor exp(S), which is the same everywhere. Ablation-CAM divides the drop by S; that only scales the map, and
flips its sign where S is negative, so we do not. EigenCAM leaves the sign open; ours makes the map's sum positive.
Several layers are scaled to a largest magnitude of 1 and averaged.
"""

import dataclasses
from collections.abc import Generator, Sequence
from typing import Annotated

import torch
from torch import Tensor

from triscope.methods import BatchSize, ImagesArg, LayersArg, NetworkArg, ObjectiveArg, Spelled, Step, method
from triscope.objectives.units import TOP_CLASS
from triscope.render import resize
from triscope.results import Heatmap
from triscope.where.cam_layers import LayerMaps, look_at_maps, warn_of_silence
from triscope.where.cam_weights import Weighting, weights_of
from triscope.where.modified_backprop import guided_backprop
from triscope.where.target import Target


@method("where")
def grad_cam(
    network: NetworkArg,
    images: ImagesArg,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    layer: LayersArg | None = None,
    weights: Annotated[Weighting, Spelled("weighting")] = "gradient",
    relu: bool = True,
    batch_size: BatchSize = 16,
) -> Generator[Step[Heatmap]]:
    """The activation maps of a late layer, summed with each map's influence on the score as its weight (Selvaraju et
    al., 2017).

    Values (B, 1, H, W), enlarged from the layer's size; the unit is that of the weights times activations. Without a
    layer, the last one with maps or tokens that the score depends on; the maps of several layers are scaled to 1 and
    averaged. Raises NetworkError if the layer has no maps, or the score does not depend on it.

    weights       how the maps are weighted: gradient (Grad-CAM), gradient++, hires, layer (LayerCAM), ablation, score,
                  or eigen, which ignores the unit
    relu          keep only positive values, as in the papers; otherwise the map is signed
    batch_size    for ablation and score: number of images per forward pass
    """
    target, maps = look_at_maps(network, images, objective, layer)
    if weights in ("gradient", "gradient++", "hires", "layer"):
        warn_of_silence(target, maps)
    notes = _notes(target, maps, layer is not None, weights)
    made: list[Tensor] = []
    for number, one in enumerate(maps):
        for done, total, found in weights_of(weights, target, one, batch_size):
            made[number:] = [_weighed(one, found, relu)]
            result = target.heatmap(resize(_together(made), *images.images.shape[-2:]), notes)
            yield Step(number * total + done, len(maps) * total, float(target.scores.mean()), {}, result)


@method("where")
def guided_grad_cam(
    network: NetworkArg,
    images: ImagesArg,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    layer: LayersArg | None = None,
) -> Heatmap:
    """Guided backprop multiplied by the Grad-CAM map (Selvaraju et al., 2017).

    Values (B, 3, H, W), signed, in colour. Raises NetworkError if there is no ReLU, or no layer with maps.

    """
    where = grad_cam(network, images, objective, layer=layer)
    fine = guided_backprop(network, images, where.objective)
    return dataclasses.replace(fine, values=fine.values * where.values, notes=where.notes + fine.notes)


def _weighed(maps: LayerMaps, weights: Tensor, relu: bool) -> Tensor:
    """The weighted sum of a layer's maps: (B, 1, h, w)."""
    total = (weights * maps.activations).sum(1, keepdim=True)
    return total.relu() if relu else total


def _together(maps: Sequence[Tensor]) -> Tensor:
    """One map of several, (B, 1, h, w) each: scaled to 1, enlarged to the largest, and averaged."""
    if len(maps) == 1:
        return maps[0]
    size = max(one.shape[-2] for one in maps), max(one.shape[-1] for one in maps)
    scaled = [one / one.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-30) for one in maps]
    return torch.stack([resize(one, *size) for one in scaled]).mean(0)


def _notes(target: Target, maps: Sequence[LayerMaps], chosen: bool, weights: Weighting) -> list[str]:
    notes = []
    if not chosen:
        (one,) = maps
        size = " x ".join(map(str, one.activations.shape[-2:]))
        notes.append(
            f"Made of {one.name} ({size}), the last layer of maps that the score depends on; layer= names another."
        )
    if weights == "eigen":
        notes.append("EigenCAM ignores the unit: its map is the same for every unit.")
    return notes
