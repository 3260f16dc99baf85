"""The sections on WHAT image would: units ascended, the picture inverted, a texture, and the picture in a style."""

from collections.abc import Iterator
from functools import partial

from triscope.images.samples import sample_photo
from triscope.objectives.base import Objective
from triscope.objectives.units import Channel
from triscope.reporting.blocks import Block, Figure, Note, each, percent
from triscope.reporting.subject import Subject
from triscope.what.ascend import ascend
from triscope.what.invert import invert
from triscope.what.style.coarse_to_fine import StyleResult
from triscope.what.style.stylize import stylize
from triscope.what.style.texture import texture

_WOVEN, _SIDE = 60, 224
_STEPS = 40  # for a glance: the commands on the page take more, and better pictures come of them


def ascended(subject: Subject) -> Iterator[Block]:
    """What raises the best class, and the channel of each depth that answers most to the picture."""
    if subject.has_classes:
        yield _class(subject)
    yield from each((name, partial(_channel, subject, name)) for name in subject.depths)
    if not subject.has_classes and not subject.depths:
        yield Note(f"{subject.network.name} has no unit that could be raised.")


def inverted(subject: Subject) -> Iterator[Block]:
    """The picture drawn again from the activations of each depth."""
    if not subject.depths:
        yield Note(f"{subject.network.name} has no layer whose activations could be drawn.")
        return
    result, png, command = subject.ask(invert, every_stage=True, steps=_STEPS)
    first, last = (100 * float(result.errors[place, 0]) for place in (0, -1))
    yield Figure(
        "Drawn again from ever deeper layers",
        png,
        f"Each picture is made from the activations of one layer alone, {result.stages[0]} to {result.stages[-1]}; "
        f"below it, how far its own activations still are from the photo's ({first:.0f}% and {last:.0f}%).",
        "Smooth places mean that the layer does not say what was there, not that it was smooth; what is filled in "
        "looks as if it had been remembered. After so few steps, early layers are not drawn as well as they could be.",
        command,
    )


def woven(subject: Subject) -> Iterator[Block]:
    """A texture made anew, and the picture in the style of one."""
    caution = (
        "Only what the network measures is matched, and a small network knows few textures: VGG-19 is what the papers' "
        "pictures are made with. What is larger than the deepest layer sees is not kept."
    )
    example = sample_photo("gravel")
    made, png, command = subject.ask(texture, images=example, steps=_WOVEN, size=_SIDE, scale=2.0)
    yield Figure(
        "Gravel made anew",
        png,
        f"From noise, until {len(made.layers)} layers find the same features together as in scikit-image's photo of "
        f"gravel, wherever they are: their Gram matrices are {_least(made)} of the way off.",
        caution,
        command,
    )
    example = sample_photo("brick")
    made, png, command = subject.ask(stylize, style=[example], steps=_WOVEN, size=_SIDE)
    yield Figure(
        "The picture, made of brick",
        png,
        "The photo changed until its texture is that of scikit-image's photo of a brick wall, and one layer still "
        f"finds the same things in the same places; the textures are {_least(made)} of the way off.",
        caution,
        command,
    )


def _least(made: StyleResult) -> str:
    return percent(float(made.errors.mean().sqrt().clamp(0, 1)))


def _class(subject: Subject) -> Block:
    index, name, share = subject.classes[0]
    had = "" if subject.network.task == "number" else f"The picture has {percent(share)} of it."
    return _raised(subject, subject.asks(index, everywhere=True), f"What raises {name}", had)


def _channel(subject: Subject, layer: str) -> Block:
    unit, _ = subject.strongest(layer)
    asked = Channel(layer, unit.index)
    return _raised(subject, asked, f"What raises {asked}", "The channel that answers most to the picture.")


def _raised(subject: Subject, asked: Objective, title: str, why: str) -> Block:
    result, png, command = subject.ask(ascend, objective=asked, steps=_STEPS)
    caption = f"{why} Gradient ascent from noise, {_STEPS} steps, to a score of {float(result.scores[0]):.3g}.".strip()
    caution = (
        "One optimum of very many: colours and repetition come from the method. A class shows what sets it apart from "
        "the others, its surroundings too; a unit that answers to several things shows a mixture, or one of them."
    )
    return Figure(title, png, " ".join([caption, *result.notes]), caution, command)
