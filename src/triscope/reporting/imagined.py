"""The sections on synthesised images: gradient ascent, feature inversion, a fooling image, texture and style."""

from collections.abc import Iterator
from functools import partial

from triscope import render
from triscope.images import read_image
from triscope.objectives.base import Objective
from triscope.objectives.units import Channel, Logit
from triscope.reporting.blocks import Block, Figure, Mosaic, Note, each, percent
from triscope.reporting.subject import Subject, thumbnail
from triscope.what.ascend import ascend
from triscope.what.compare import regularisers
from triscope.what.fool import fool
from triscope.what.invert import PRESETS, invert
from triscope.what.style.coarse_to_fine import StyleResult
from triscope.what.style.stylize import stylize
from triscope.what.style.texture import texture

_TEXTURE_STEPS, _FOOLING_STEPS, _SIDE = 90, 60, 224
_STEPS = 36
_SHALLOW_STEPS, _DEEP_STEPS = 48, 128  # deep units need more steps until there is something to see, classes most
_SIDE_RAISED = 160  # pixels of what is ascended, where the network takes it: what units see fills more of the image
_COMPARED_STEPS = 64  # of each image of the comparison of regularisers
_SOURCE = 160  # pixels of what an image was made from


def ascended(subject: Subject) -> Iterator[Block]:
    """Images that activate the best class, and at each depth the channel that is most active on the photo."""
    if subject.has_classes:
        yield _class(subject)
    half = len(subject.depths) // 2
    yield from each(
        (name, partial(_channel, subject, name, _DEEP_STEPS if number > half else _SHALLOW_STEPS))
        for number, name in enumerate(subject.depths)
    )
    if not subject.has_classes and not subject.depths:
        yield Note(f"{subject.network.name} has no unit whose activation could be maximised.")


def inverted(subject: Subject) -> Iterator[Block]:
    """The photo reconstructed from the activations of each depth; of one depth, without total variation too."""
    if not subject.depths:
        yield Note(f"{subject.network.name} has no layer that could be inverted.")
        return
    caution = (
        "Smooth areas mean that the layer has lost what was there, not that it was smooth; and what the prior fills in "
        "looks like something that the layer kept. More steps would reconstruct early layers better."
    )
    result, png, command = subject.ask(invert, every_stage=True, steps=_STEPS)
    first, last = (100 * float(result.errors[place, 0]) for place in (0, -1))
    yield Figure(
        "Reconstructed from deeper and deeper layers",
        png,
        f"The photo, then images optimised until they have its activations in one layer, {result.stages[0]} to "
        f"{result.stages[-1]}; below each, the relative error of its activations ({first:.0f}% to {last:.0f}%).",
        caution,
        command,
        wide=True,
        mosaic=Mosaic.of(result),
    )
    layer = result.stages[min(1, len(result.stages) - 1)]
    yield _smoothed(subject, layer, 0.0, caution)
    yield _smoothed(subject, layer, PRESETS["natural"].tv, caution)


def _smoothed(subject: Subject, layer: str, tv: float, caution: str) -> Figure:
    """The inversion of one layer with so much weight on total variation."""
    made, png, command = subject.ask(invert, layer=layer, steps=_STEPS, canvas="pixels", tv=tv)
    said = (
        "Differences between neighbouring pixels are penalised (total variation): the pattern goes, and edges stay."
        if tv
        else "Only the layer's activations are matched: a pattern that the layer does not see stays."
    )
    caption = f"{said} Relative error of the activations: {100 * float(made.errors[0, 0]):.0f}%."
    return Figure(f"{layer}, with{'' if tv else 'out'} total variation", png, caption, caution, command)


def fooled(subject: Subject) -> Iterator[Block]:
    """The photo changed until the network gives it another class."""
    if len(subject.classes) < 2:
        yield Note(f"{subject.network.name} has a single class, so there is no other to be fooled into.")
        return
    index, name, before = subject.classes[min(5, len(subject.classes) - 1)]
    made, png, command = subject.ask(fool, objective=Logit(index), steps=_FOOLING_STEPS)
    yield Figure(
        f"Classified as {name}",
        png,
        f"The photo ({name}: {percent(before)}), the changed photo ({name}: {percent(float(made.scores[0]))}), and the "
        f"change, amplified: on average {float(made.change[0]):.2g} of the range from black to white.",
        "The change is made for this network and this photo. That it cannot be seen does not mean that the network "
        "ignores the content: it shows how close the decision boundaries are.",
        command,
        wide=True,
        mosaic=Mosaic.of(made),
    )


def textured(subject: Subject) -> Iterator[Block]:
    """A texture synthesised, and the photo in the style of one."""
    caution = (
        "Only the network's own features are matched, and a small network has few for textures: the papers use VGG-19. "
        "Structure larger than the deepest layer's receptive field is not kept."
    )
    made, png, command = subject.ask(texture, images="sample:tissue", steps=_TEXTURE_STEPS, size=_SIDE)
    yield Figure(
        "A texture, synthesised",
        png,
        f"Optimised from noise to match the Gram matrices of {len(made.layers)} layers on the photo of stained tissue: "
        f"which features occur together, wherever they are. Relative error: {_least(made)}.",
        caution,
        command,
        sources=(_source("the texture", "sample:tissue"),),
    )
    made, png, command = subject.ask(stylize, style=["sample:tissue"], steps=_TEXTURE_STEPS, size=_SIDE)
    yield Figure(
        "The photo in the style of tissue",
        png,
        "The photo changed to match the Gram matrices of the stained tissue, while one layer keeps its activations: "
        f"the same things in the same places. Relative error of the Gram matrices: {_least(made)}.",
        caution,
        command,
        sources=(("the content", _shown(subject)), _source("the style", "sample:tissue")),
    )


def _source(name: str, word: str) -> tuple[str, bytes]:
    return name, thumbnail(read_image(word), _SOURCE)


def _shown(subject: Subject) -> bytes:
    return thumbnail(render.visible(subject.seen.images[0], subject.network.show)[None], _SOURCE)


def _least(made: StyleResult) -> str:
    return percent(float(made.errors.mean().sqrt().clamp(0, 1)))


def _class(subject: Subject) -> Block:
    index, name, share = subject.classes[0]
    why = "" if len(subject.classes) < 2 else f"The photo above is classified as {name} with {percent(share)}."
    return _raised(subject, subject.asks(index, everywhere=True), f"{name}, maximised", why, _DEEP_STEPS)


def compared(subject: Subject) -> Iterator[Block]:
    """The best class ascended without a regulariser, and under each of them."""
    index, name, _ = subject.classes[0]
    made, png, command = subject.ask(
        regularisers, objective=subject.asks(index, everywhere=True), steps=_COMPARED_STEPS, size=_size(subject)
    )
    yield Figure(
        f"{name}, under {len(made)} regularisers",
        png,
        f"{', '.join(made.titles)}: the same class from the same noise. Without one, the score rises by high-frequency "
        "patterns; L2 limits the colours; blur and clipping remove high frequencies and pixels that contribute little; "
        "jitter and total variation favour what holds when the image is shifted; Fourier optimises a spectrum in place "
        "of pixels; natural combines them. Below each, its score.",
        "Do not compare the scores: the regulariser that lets most noise through reaches the highest. Compare how much "
        "of what drives the score can be recognised.",
        command,
        wide=True,
        mosaic=Mosaic.of(made),
    )


def _channel(subject: Subject, layer: str, steps: int) -> Block:
    unit, _ = subject.strongest(layer)
    asked = Channel(layer, unit.index)
    return _raised(subject, asked, f"{asked}, maximised", "The most active channel on the photo.", steps)


def _raised(subject: Subject, asked: Objective, title: str, why: str, steps: int) -> Block:
    result, png, command = subject.ask(ascend, objective=asked, steps=steps, size=_size(subject))
    caption = f"{why} Gradient ascent from noise, {steps} steps: its score is {float(result.scores[0]):.3g}, "
    caption += f"against {subject.score(asked):.3g} on the photo."
    caution = (
        "One optimum of very many: colours and repetition come from the method. A class shows what sets it apart from "
        "the others, its surroundings included; a unit that detects several things shows a mixture, or one of them."
    )
    return Figure(title, png, " ".join([caption.strip(), *result.notes]), caution, command)


def _size(subject: Subject) -> int | None:
    """The size of what is ascended; None where the network takes its usual size alone."""
    return _SIDE_RAISED if subject.takes(_SIDE_RAISED) else None
