"""The report's sections, in the order of a lecture: each a function from a subject to blocks, and a row of the table.

To add one, write a function that yields blocks and add its row. `subject.ask(verb, ...)` gives a method's answer
together with its image and the command that makes it, so that what is shown and what is said cannot differ.
"""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from triscope.methods import Method
from triscope.network import Box
from triscope.objectives.base import Need
from triscope.objectives.units import Neuron
from triscope.reporting.blocks import Bars, Block, Figure, Note, Section, Table, Volume, Volumes, each, percent
from triscope.reporting.imagined import ascended, compared, fooled, inverted, textured
from triscope.reporting.judged import by_eight_methods
from triscope.reporting.subject import Subject
from triscope.results import Heatmap
from triscope.views import activations, filters, predict
from triscope.where.modified_backprop import guided_backprop
from triscope.where.saliency import saliency

_PIXELS_OF_MAPS = 200_000  # of one layer's image, so that a page of large maps stays a small file


def volumes(subject: Subject) -> Iterator[Block]:
    """The representative layers as boxes, and all layers as a table."""
    network = subject.network
    command = subject.command("layers") or "network.layers"
    caution = (
        "The boxes are not to scale, or the last ones would be invisible, and only a few of the layers are drawn. A "
        "unit depends on its whole receptive field, but mostly on the middle of it."
    )
    answer = subject.look[Need("output")][0]
    drawn = [_volume("input", subject.seen.images[0], "the image")]
    drawn += [_volume(name, subject.look[Need(name)][0], network.layer(name).type) for name in subject.depths]
    drawn += [_volume("output", answer, type(network.module).__name__)] if answer.ndim in (1, 3) else []
    yield Volumes(
        "From pixels to class scores",
        tuple(drawn),
        "Each box is a volume of activations, rows × columns × channels, as computed for this photo.",
        caution,
        command,
    )
    layers = [layer for layer in network.layers.values() if layer.name != "output"]
    total = sum(parameter.numel() for parameter in network.module.parameters())
    yield Table(
        f"All {len(layers)} layers",
        ("layer", "type", "output", "parameters", "receptive field"),
        tuple(
            (one.name, one.type, " × ".join(map(str, one.shape)), f"{one.parameters:,}", str(one.receptive_field))
            for one in layers
        ),
        3,
        f"Every layer in the order in which it is computed; {total:,} parameters in all. The receptive field is how "
        "many pixels across one position depends on.",
        caution,
        command,
    )


def first_filters(subject: Subject) -> Iterator[Block]:
    """The filters of the first convolution."""
    grid, png, command = subject.ask(filters)
    count, _, rows, cols = grid.values.shape
    yield Figure.of_tiles(
        grid,
        f"{count} filters of {rows} × {cols} pixels",
        png,
        "The patterns that the first convolution compares every patch of the image with: edges, gratings and colours "
        "in a trained network, noise in one that has learned little.",
        "Each filter is drawn with its own contrast, so a weak one looks as strong as any; and only filters that are "
        "applied to pixels can be viewed like this.",
        command,
    )


_SHARES = {
    "classes": "Softmax probabilities over the {count:,} classes that the network knows.",
    "probabilities": "The probabilities that the network gives to the {count:,} classes it knows.",
    "binary": "The probability of a yes: the sigmoid of the one number that the network gives.",
    "labels": "How probable the network finds each of its {count:,} labels (sigmoid), each judged by itself: they need "
    "not add up to 100%.",
    "maps": "How many of the output's positions are predicted as each of the {count:,} classes.",
}
_DIVIDED = (
    "A softmax probability is not the chance of being right: shown something that belongs to none of its classes, a "
    "network still distributes 100% over them, often with confidence."
)
_OF_PIXELS = "The share of the image says how large an object is, not how sure the network is of it."
_BY_ITSELF = "A network's probability is not the chance of being right; most networks are overconfident."


def prediction(subject: Subject) -> Iterator[Block]:
    """The five best classes; of a network that gives one number, that number; of a detector its boxes."""
    if subject.boxes is not None:
        _, _, command = subject.ask(predict)
        rows = tuple((unit, f"{score:.4g}") for unit, score in subject.boxes)
        text = "The boxes with the highest scores: class, then top, left, bottom and right in pixels of its input."
        yield Table(
            "The boxes with the highest scores", ("unit", "score"), rows, 1, text, _BY_ITSELF, command, unfolded=True
        )
        return
    ranking, _, command = subject.ask(predict)
    count, task = len(subject.classes), subject.network.task
    if task == "number":
        caution = "The network does not say what the number means, or which values are large."
        value = f"{float(ranking.values[0, 0]):.4g}"
        text = "The network outputs one number for an image, and no classes."
        yield Table("The number", ("output", "value"), ((subject.classes[0][1], value),), 1, text, caution, command)
        return
    alone = count == 1 and task in ("classes", "probabilities")
    yield Bars(
        "The five best classes" if count > 5 else "The probability" if task == "binary" else "The classes",
        tuple((row["name"], row["score"]) for row in ranking.rows()[0]),
        "The network knows a single class, whose softmax probability is 1 whatever the image."
        if alone
        else _SHARES[task].format(count=count),
        _OF_PIXELS if task == "maps" else _BY_ITSELF if task in ("binary", "labels") else _DIVIDED,
        command,
        ranking.drawing(),
    )


def maps(subject: Subject) -> Iterator[Block]:
    """The maps of each depth."""
    yield from each((name, partial(_maps, subject, name)) for name in subject.depths)
    if not subject.depths:
        yield Note(f"{subject.network.name} has no layer of maps and no hidden vector to show.")


def class_saliency(subject: Subject) -> Iterator[Block]:
    """Saliency of the best class, over the photo, and of the runner-up."""
    caution = (
        "A gradient says what a small change here would do, not which pixels the score is made of; it is noisy, and "
        "where the network is saturated it is small although the evidence is there."
    )
    best, share = subject.best
    heat, png, command = subject.ask(saliency)
    caption = (
        f"How much a small change of each pixel would change the score of {best}{share}: black is zero, white is "
        f"{heat.scale:.2g} per unit of brightness.{_remarks(heat)}"
    )
    yield Figure(f"For {best}", png, caption, caution, command, drawing=heat.drawing())
    _, png, command = subject.ask(saliency, drawn_as="overlay")
    yield Figure(
        "Over the photo", png, "The same map laid over the photo, transparent where it is weak.", caution, command
    )
    yield from _runner_up(subject, saliency, heat, caution)


def class_guided(subject: Subject) -> Iterator[Block]:
    """Guided backprop of the best class and of the runner-up."""
    caution = (
        "The crisp edges come from the rule that drops negative gradients, and hardly depend on the class: they show "
        "what is in the image rather than why it is given this class."
    )
    best, share = subject.best
    heat, png, command = subject.ask(guided_backprop)
    caption = (
        f"The gradient of the score of {best}{share}, with only positive parts passed back through ReLUs. Grey is 0."
    )
    yield Figure(f"For {best}", png, f"{caption}{_remarks(heat)}", caution, command, drawing=heat.drawing())
    yield from _runner_up(subject, guided_backprop, heat, caution)


def neurons(subject: Subject) -> Iterator[Block]:
    """Guided backprop of the strongest neuron of each depth."""
    yield from each((name, partial(_neuron, subject, name)) for name in subject.depths)
    if not subject.depths:
        yield Note(f"{subject.network.name} has no layer with neurons to show.")


SECTIONS = (
    Section(
        "Layers and volumes",
        "A network turns an image into volumes of activations: fewer and fewer positions, more and more channels.",
        volumes,
    ),
    Section(
        "First-layer filters",
        "What the first layer detects can be viewed directly, because its filters are applied to pixels.",
        first_filters,
    ),
    Section("Prediction", "At the other end of the network is one score for each class.", prediction),
    Section(
        "Activation maps",
        "In between, every channel gives a map: where in the image it is active, and how strongly.",
        maps,
    ),
    Section(
        "Saliency",
        "Which pixels does the class score depend on? Its gradient, pixel by pixel.",
        class_saliency,
    ),
    Section(
        "Guided backprop of the class",
        "The same gradient, but only its positive parts pass back through every ReLU.",
        class_guided,
    ),
    Section(
        "Where, by eight methods",
        "The same question answered by eight methods, with numbers that say how far to believe each.",
        by_eight_methods,
    ),
    Section(
        "The most active neuron at each depth",
        "Guided backprop is most informative for single neurons: what in its receptive field activated this one?",
        neurons,
    ),
    Section(
        "Gradient ascent",
        "The question turned round: which image would activate the class, or one channel at each depth, most?",
        ascended,
    ),
    Section(
        "Regularisers",
        "Gradient ascent alone finds noise that the network takes for the class; regularisers make it an image.",
        compared,
    ),
    Section(
        "Feature inversion",
        "How much of the photo can be reconstructed from one layer's activations? The deeper the layer, the less.",
        inverted,
    ),
    Section(
        "Fooling the network",
        "How small a change to the photo gives another answer? One that can hardly be seen.",
        fooled,
    ),
    Section(
        "Texture synthesis and style transfer",
        "A texture is which features occur together, wherever they are; the photo can be given the texture of another.",
        textured,
    ),
)


def _volume(name: str, values: Tensor, kind: str) -> Volume:
    rows, cols = values.shape[1:] if values.ndim == 3 else (1, 1)
    return Volume(name, rows, cols, len(values), kind)


def _maps(subject: Subject, name: str) -> Block:
    values = subject.look[Need(name)][0]
    count = len(values)
    caution = (
        "A map shows where a channel is active, not what it detects; and as all maps of a layer share one scale, a "
        "weak but informative map looks empty."
    )
    if values.numel() == count:
        grid, png, command = subject.ask(activations, layer=name, most=max(count, 1024))
        alive = int(values.count_nonzero())
        caption = (
            f"All {count:,} activations, one square each; {alive:,} are not zero. This layer has no spatial positions."
        )
        return Figure.of_tiles(grid, f"{name}: {count:,} units", png, caption, caution, command)
    most = _how_many(count, values[0].numel())
    grid, png, command = subject.ask(activations, layer=name, order="response", most=most)
    rows, cols = values.shape[1:]
    shown = f"The {most} most active of {count:,} maps" if most < count else f"All {count} maps"
    scale = grid.note.rpartition("; ")[2].capitalize()
    first = ", ".join(title.rpartition(":")[2] for title in grid.titles[:3])
    caption = f"{shown}, strongest mean first (channels {first}, …), {rows} × {cols} each. {scale}"
    return Figure.of_tiles(grid, f"{name}: {count:,} maps", png, caption, caution, command)


def _how_many(count: int, positions: int) -> int:
    """How many maps to show: all, or as many as stay small together and fill their rows."""
    affordable = min(64, max(6, _PIXELS_OF_MAPS // positions))
    return count if count <= affordable else next(full for full in (54, 40, 24, 15, 6) if full <= affordable)


def _runner_up(subject: Subject, verb: Method[Heatmap], first: Heatmap, caution: str) -> Iterator[Block]:
    """The same map for the second best class, and how similar the two are."""
    if len(subject.classes) > 1:
        index, name, share = subject.classes[1]
        heat, png, command = subject.ask(verb, objective=subject.asks(index))
        caption = f"The same for {name} ({percent(share)}). {_likeness(first.values, heat.values)}{_remarks(heat)}"
        yield Figure(f"For {name}, the runner-up", png, caption, caution, command, drawing=heat.drawing())


def _remarks(heat: Heatmap) -> str:
    """What a reader should know of this map in particular."""
    empty = () if heat.values.any() else ("The map is zero everywhere.",)
    return "".join(f" {remark}" for remark in (*heat.notes, *empty))


def _likeness(first: Tensor, second: Tensor) -> str:
    """How alike two maps of one image are, in a sentence."""
    likeness = float(torch.corrcoef(torch.stack((first.flatten(), second.flatten())).double())[0, 1].nan_to_num())
    word = "hardly differ" if likeness > 0.9 else "share much" if likeness > 0.5 else "differ"
    return f"The two maps {word}: their correlation is {likeness:.3f}."


def _neuron(subject: Subject, name: str) -> Block:
    unit, response = subject.strongest(name)
    heat, png, command = subject.ask(guided_backprop, objective=unit)
    sees = subject.sees(unit)
    everything = sees == Box(0, 0, *subject.seen.images.shape[-2:])
    extent = "all of the image" if everything else f"the outlined {sees.height} × {sees.width} pixels"
    where = f", row {unit.row}, column {unit.col}" if isinstance(unit, Neuron) else ""
    caption = (
        f"Channel {unit.index}{where} has the highest activation of {name}, {response:.3g}. Its receptive field is "
        f"{extent}; on the right, what activated it there."
    )
    return Figure(
        str(unit),
        png,
        f"{caption}{_remarks(heat)}",
        "One neuron on one image: elsewhere the same channel may be activated by something else, and the most active "
        "neurons are often the least specific ones.",
        command,
        sees=sees,
    )
