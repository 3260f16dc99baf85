"""DeepLIFT: what each pixel adds to the score, by differences from a baseline that are carried through the network.

    C(pixel) = m * (pixel - baseline),     m = product of (difference out) / (difference in) in the backward pass

It is the gradient with every derivative replaced by a quotient of differences (the rescale rule), so that a saturated
unit still passes its difference on. Linear parts keep their gradient; the rules of all other operations are in
`triscope.where.propagation.rescale`.

**When it misleads.** As with every baseline, a pixel that equals it gets nothing. Units that cancel each other are both
credited in full. In deep networks its maps are nearly input x gradient, noise
included.

**References.** A. Shrikumar, P. Greenside, A. Kundaje, "Learning important features through propagating activation
differences", ICML 2017. M. Ancona, E. Ceolini, C. Öztireli, M. Gross, "Towards better understanding of gradient-based
attribution methods for deep neural networks", ICLR 2018. Several baselines: S. Lundberg, S.-I. Lee, "A unified approach
to interpreting model predictions", NeurIPS 2017 (DeepSHAP).

**Differences from the paper.** There is no separate rule for positive and negative parts (RevealCancel). Products,
softmax, normalisations and attention are shared out too, so that the values sum to the difference in score.
"""

import dataclasses
from typing import Annotated, Literal

import torch

from triscope.methods import ImagesArg, NetworkArg, ObjectiveArg, Range, Seed, method
from triscope.network import ImageBatch
from triscope.network.backward_rules import NonlinearityCount
from triscope.objectives.units import TOP_CLASS
from triscope.where.gradient import gradient_of
from triscope.where.path_averages import BASELINE, PathHeatmap, starts_of, summed
from triscope.where.propagation.rescale import Recording, Rescale
from triscope.where.target import Target, with_gradients


@method("where")
def deep_lift(
    network: NetworkArg,
    images: ImagesArg,
    objective: ObjectiveArg = TOP_CLASS,
    *,
    baseline: Annotated[ImageBatch | str, BASELINE] = "black",
    baselines: Annotated[int, Range(1, 100)] = 5,
    channels: Literal["sum", "keep"] = "sum",
    seed: Seed = 0,
) -> PathHeatmap:
    """What each pixel adds to the score, from differences to a baseline instead of gradients (Shrikumar et al., 2017).

    Values (B, 1, H, W), signed, or (B, C, H, W) with `channels="keep"`, in units of the score. They sum to the
    difference between the scores of the image and the baseline, up to an error that the result states. The baseline is
    black, grey, mean, blur, random, or an image. Raises NetworkError if the network runs other operations on the
    baseline than on the image.

    baselines     number of random baselines to average, if the baseline is random
    channels      sum over the colour channels, or keep them separate
    """
    pictures = images.images
    starts = starts_of(pictures, baseline, baselines, seed)
    values, differences = torch.zeros_like(pictures), pictures.new_zeros(len(pictures))
    for start in starts:
        recording = Recording()
        with with_gradients(network.device):  # rules act only where gradients are on; none is computed here
            before = network.look(start, objective.needs, rule=recording)
        found = gradient_of(network, images, objective, rule=Rescale(tuple(recording.calls)))
        values += (pictures - start) * found.values / len(starts)
        differences = differences + (found.scores - found.objective(before)) / len(starts)
    target = Target(network, images, found.objective, found.scores)
    how = f"with {len(starts)} baselines" if len(starts) > 1 else "with one baseline"
    result = summed(target, values, differences, channels, how)
    return dataclasses.replace(result, notes=(*result.notes, *_notes(found.tally or NonlinearityCount())))


def _notes(tally: NonlinearityCount) -> tuple[str, ...]:
    if not tally.others:
        return ()
    met = NonlinearityCount(others=tally.others).sentence()
    return (f"Operations without a rescale rule, passed back by their gradient: {met}.",)
