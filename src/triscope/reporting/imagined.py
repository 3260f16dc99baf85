"""The sections on WHAT image would: units ascended, the picture inverted, a class fooled, a texture and a style."""

from collections.abc import Iterator
from functools import partial

from triscope import render
from triscope.images import read_image
from triscope.objectives.base import Objective
from triscope.objectives.units import Channel, Logit
from triscope.reporting.blocks import Block, Figure, Note, each, percent
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
_SIDE_RAISED = 160  # pixels of what is ascended, where the network takes it: what units see fills more of the picture
_COMPARED_STEPS = 64  # of each picture of the comparison of regularisers
_SOURCE = 160  # pixels of what a picture was made from


def ascended(subject: Subject) -> Iterator[Block]:
    """What raises the best class, and the channel of each depth that answers most to the picture."""
    if subject.has_classes:
        yield _class(subject)
    half = len(subject.depths) // 2
    yield from each(
        (name, partial(_channel, subject, name, _DEEP_STEPS if number > half else _SHALLOW_STEPS))
        for number, name in enumerate(subject.depths)
    )
    if not subject.has_classes and not subject.depths:
        yield Note(f"{subject.network.name} has no unit that could be raised.")


def inverted(subject: Subject) -> Iterator[Block]:
    """The picture drawn again from the activations of each depth; of one depth, without total variation too."""
    if not subject.depths:
        yield Note(f"{subject.network.name} has no layer whose activations could be drawn.")
        return
    caution = (
        "Smooth places mean that the layer does not say what was there, not that it was smooth; what is filled in "
        "looks as if it had been remembered. After so few steps, early layers are not drawn as well as they could be."
    )
    result, png, command = subject.ask(invert, every_stage=True, steps=_STEPS)
    first, last = (100 * float(result.errors[place, 0]) for place in (0, -1))
    yield Figure(
        "Drawn again from ever deeper layers",
        png,
        f"The photo, and then a picture made from the activations of one layer alone, {result.stages[0]} to "
        f"{result.stages[-1]}; below each, how far its own activations still are from the photo's ({first:.0f}% and "
        f"{last:.0f}%).",
        caution,
        command,
        filled=_filled(len(result) + 1),
        wide=True,
    )
    layer = result.stages[min(1, len(result.stages) - 1)]
    yield _smoothed(subject, layer, 0.0, caution)
    yield _smoothed(subject, layer, PRESETS["natural"].tv, caution)


def _filled(count: int, columns: int = 4) -> tuple[float, float] | None:
    """How far, and from where on, the last row of `count` pictures is filled."""
    rows, last = divmod(count, columns)
    return (last / columns, rows / (rows + 1)) if rows and last else None


def _smoothed(subject: Subject, layer: str, tv: float, caution: str) -> Figure:
    """The inversion of one layer with so much weight on total variation."""
    made, png, command = subject.ask(invert, layer=layer, steps=_STEPS, canvas="pixels", tv=tv)
    said = (
        "Differences of neighbouring pixels cost something (total variation), so that the pattern goes and edges stay."
        if tv
        else "Nothing is asked of the picture but the layer's activations: a pattern that the layer does not see stays."
    )
    caption = f"{said} The activations are {100 * float(made.errors[0, 0]):.0f}% off."
    return Figure(f"{layer}, with{'' if tv else 'out'} total variation", png, caption, caution, command)


def fooled(subject: Subject) -> Iterator[Block]:
    """The photo changed until the network calls it something else."""
    if len(subject.classes) < 2:
        yield Note(f"{subject.network.name} has a single answer, so that there is no other to be fooled into.")
        return
    index, name, before = subject.classes[min(5, len(subject.classes) - 1)]
    made, png, command = subject.ask(fool, objective=Logit(index), steps=_FOOLING_STEPS)
    yield Figure(
        f"Called {name}",
        png,
        f"The photo ({name}: {percent(before)}), the photo changed ({name}: {percent(float(made.scores[0]))}), and the "
        f"change, enlarged: {float(made.change[0]):.2g} of the way from black to white in a pixel, on average.",
        "The change is made for this network and this photo. That it cannot be seen does not mean that the network "
        "looks at nothing: it says how thin the borders between classes are.",
        command,
        wide=True,
    )


def textured(subject: Subject) -> Iterator[Block]:
    """A texture made anew, and the picture in the style of one."""
    caution = (
        "Only what the network measures is matched, and a small network knows few textures: VGG-19 is what the papers' "
        "pictures are made with. What is larger than the deepest layer sees is not kept."
    )
    made, png, command = subject.ask(texture, images="sample:tissue", steps=_TEXTURE_STEPS, size=_SIDE)
    yield Figure(
        "A texture made anew",
        png,
        f"From noise, until {len(made.layers)} layers find the same features together as in the photo of stained "
        f"tissue, wherever they are: their Gram matrices are {_least(made)} of the way off.",
        caution,
        command,
        sources=(_source("the texture", "sample:tissue"),),
    )
    made, png, command = subject.ask(stylize, style=["sample:tissue"], steps=_TEXTURE_STEPS, size=_SIDE)
    yield Figure(
        "The photo, made of tissue",
        png,
        "The photo changed until its texture is that of the stained tissue, and one layer still finds the same things "
        f"in the same places; the textures are {_least(made)} of the way off.",
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
    why = "" if len(subject.classes) < 2 else f"The photo above is taken for {name} with {percent(share)}."
    return _raised(subject, subject.asks(index, everywhere=True), f"What would raise {name}", why, _DEEP_STEPS)


def compared(subject: Subject) -> Iterator[Block]:
    """The best class ascended without a regulariser, and with each."""
    index, name, _ = subject.classes[0]
    made, png, command = subject.ask(
        regularisers, objective=subject.asks(index, everywhere=True), steps=_COMPARED_STEPS, size=_size(subject)
    )
    yield Figure(
        f"{name}, under {len(made)} regularisers",
        png,
        f"{', '.join(made.titles)}: the same class from the same noise. Without one, the score rises by patterns that "
        "no eye can read; L2 keeps the colours down, blur and clipping take away small and idle pixels, jitter and "
        "total variation ask for what holds wherever it lies, and natural puts these together. Below each, its score.",
        "The scores are no contest: the regulariser that lets noise through reaches the highest ones. What to compare "
        "is how much of a picture's score a person can see a reason for.",
        command,
        wide=True,
    )


def _channel(subject: Subject, layer: str, steps: int) -> Block:
    unit, _ = subject.strongest(layer)
    asked = Channel(layer, unit.index)
    return _raised(subject, asked, f"What would raise {asked}", "The channel that answers most to the photo.", steps)


def _raised(subject: Subject, asked: Objective, title: str, why: str, steps: int) -> Block:
    result, png, command = subject.ask(ascend, objective=asked, steps=steps, size=_size(subject))
    caption = f"{why} Gradient ascent from noise, {steps} steps: the score here is {float(result.scores[0]):.3g}, and "
    caption += f"{subject.score(asked):.3g} on the photo."
    caution = (
        "One optimum of very many: colours and repetition come from the method. A class shows what sets it apart from "
        "the others, its surroundings too; a unit that answers to several things shows a mixture, or one of them."
    )
    return Figure(title, png, " ".join([caption.strip(), *result.notes]), caution, command)


def _size(subject: Subject) -> int | None:
    """The size of what is ascended; None where the network takes its usual size alone."""
    return _SIDE_RAISED if subject.takes(_SIDE_RAISED) else None
