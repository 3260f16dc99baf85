"""Top patches: where in the images of a collection a unit responds most, cropped to its receptive field.

The patch is the receptive field of the position, all that the unit depends on there; at the border of an image it is
smaller, because beyond it there is only padding.

**When it misleads.** The receptive field is what a unit can depend on; its centre matters most (W. Luo et al.,
"Understanding the effective receptive field", NIPS 2016). In deep layers the field is the whole image.

**Reference.** M. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014 (figure 2).
"""

from collections.abc import Iterator
from functools import reduce
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from triscope import render
from triscope.errors import ImageError, ObjectiveError
from triscope.methods import ObjectiveArg, Range, method
from triscope.network import Box
from triscope.objectives.base import Need
from triscope.objectives.units import Channel, Neuron
from triscope.results import Note
from triscope.which.database.schema import Column
from triscope.which.indexing.decoding import decode
from triscope.which.search.gallery import Gallery
from triscope.which.search.top import Best
from triscope.which.store import Store, StoreArg


@method("which")
def patches(
    store: StoreArg, objective: ObjectiveArg, *, k: Annotated[int, Range(1, 10_000)] = 9, where: str | None = None
) -> Gallery:
    """The k images of a store that activate a unit most, each cropped to the unit's receptive field at its strongest
    position.

    The unit is a channel or a neuron of a layer that the store keeps. A channel's score is its maximum over positions.
    An image file that no longer exists is shown as grey, with a note. Raises ObjectiveError for other objectives,
    StoreError if the store does not keep the layer.

    Values (k,). `boxes` are in pixels of the image as the network saw it, `positions` are (row, column) in the
    activation map.

    k       number of images
    where   only images that meet this SQL condition: folder = 'cats', name LIKE '%2019%', width > 500
    """
    if not isinstance(objective, Channel | Neuron):
        raise ObjectiveError(
            f"patches cuts out what one unit sees, LAYER:CHANNEL or LAYER:CHANNEL@ROW,COLUMN; {objective} is not one. "
            "`top` takes any."
        )
    best = reduce(Best.__add__, _answers(store, objective, k, where), Best.none(k))
    rows = best.rows.tolist()
    cols = _grid(store, objective.layer)[1]
    positions = [divmod(place, cols) for place in best.extra.tolist()]
    cut = [_cut(store, objective.layer, row, position) for row, position in zip(rows, positions, strict=True)]
    return Gallery(
        best.scores,
        rows=tuple(rows),
        names=store.names(rows),
        pictures=tuple(picture for picture, _, _ in cut),
        score=f"maximum of {objective.layer}:{objective.index}"
        if isinstance(objective, Channel)
        else f"value of {objective}",
        boxes=tuple(box for _, box, _ in cut),
        positions=tuple(positions),
        objective=objective,
        notes=tuple(Note(note, (place,), 1) for place, (*_, note) in enumerate(cut) if note),
    )


def _answers(store: Store, unit: Channel | Neuron, k: int, where: str | None) -> Iterator[Best]:
    """The unit's strongest response in each image, and the position of it, a batch at a time."""
    peak = next((column for column in store.columns if column.layer == unit.layer and column.pool == "max"), None)
    if isinstance(unit, Channel) and peak is not None:
        place = next(column for column in store.columns if column.layer == unit.layer and column.pool == "place")
        for rows in store.table.stream([peak.name, place.name], store.condition(where), 8192):
            values = torch.from_numpy(np.array(rows[peak.name][:, unit.index], np.float32))
            places = torch.from_numpy(rows[place.name][:, unit.index].astype(np.int64))
            yield Best.none(k) + Best(values, torch.from_numpy(rows["row"]), places, k)
        return
    need = Need(unit.layer)
    if isinstance(unit, Channel) and not any(column.answers(need) for column in store.columns):
        raise store.missing(unit.layer)  # not its whole maps: to keep a layer is to keep its maximum and the place
    for numbers, answers in store.answers([need], where):
        if isinstance(unit, Neuron):
            scores = unit(answers)
            places = torch.full((len(scores),), unit.row * _grid(store, unit.layer)[1] + unit.col)
        else:
            scores, places = answers[need][:, unit.index].reshape(len(numbers), -1).max(1)
        yield Best.none(k) + Best(scores, torch.from_numpy(numbers), places, k)


def _grid(store: Store, layer: str) -> tuple[int, int]:
    """The size of a layer's maps; one position for vectors."""
    column: Column | None = next((column for column in store.columns if column.layer == layer), None)
    if column is None:
        raise store.missing(layer)
    return column.grid


def _cut(store: Store, layer: str, row: int, position: tuple[int, int]) -> tuple[Tensor, Box, str | None]:
    """What the unit sees in an image, and where that lies in what the network saw; a note where the image is
    gone.
    """
    height, width = store.preprocess.size
    top, left, tall, wide = store.network.layer(layer).receptive_field.box(*position, height, width)
    box = Box(top, left, max(tall, 1), max(wide, 1))
    try:
        path, place = str(store.files([row])[0]), store.place(row)
    except ImageError as error:
        return torch.full((3, box.height, box.width), 0.5), box, str(error)
    exact = bool(store.about.preprocess["exact"])
    decoded = decode(path, store.preprocess, store.channels, exact=exact, place=place)
    if decoded.pixels is None:
        return torch.full((3, box.height, box.width), 0.5), box, decoded.error
    seen = torch.from_numpy(np.array(decoded.pixels)).permute(2, 0, 1).float() / 255
    return render.visible(seen)[:, box.top : box.top + box.height, box.left : box.left + box.width], box, None
