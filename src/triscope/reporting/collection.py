"""The section on a collection: its pictures nearest to this one, and what units of each depth answer to most."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triscope.images import read_image, resize, to_pil
from triscope.images.samples import MORE, PREFIX, SAMPLES, TEXTURES
from triscope.methods import Method
from triscope.methods.spelling import command_line, python_line
from triscope.network import Network
from triscope.objectives.units import Channel
from triscope.reporting.blocks import Block, Figure, Note, Section, each
from triscope.reporting.subject import Subject
from triscope.which.maps.map import Map
from triscope.which.maps.pca import pca
from triscope.which.maps.tsne import tsne
from triscope.which.search.gallery import Gallery
from triscope.which.search.neighbors import neighbors
from triscope.which.search.patches import patches
from triscope.which.store import Store

_SHOWN = 8
_EACH = 12  # variations of each sample photo
_MAP = 900  # pixels
_LEAD = (
    "Which pictures of a collection does the network find most like this one, and what do its units answer to there?"
)


def collected(network: Network, folder: Path) -> Store:
    """The store in a folder of pictures, made or brought up to date.

    Raises StoreError where another network made it.
    """
    return Store.build(network, folder)


def variations(network: Network, folder: Path) -> Store:
    """A store of pictures made in `folder` from the sample photos: crops under other light, colours, and mirrored.

    Raises ImageError where there are no samples.
    """
    random = np.random.default_rng(0)
    for name in (*SAMPLES, *TEXTURES, *MORE):
        photo = read_image(f"{PREFIX}{name}")
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(_EACH):
            to_pil(_varied(photo, random)).save(folder / name / f"{number:02}.jpg")
    return Store.build(network, folder)


def _varied(photo: Tensor, random: np.random.Generator) -> Tensor:
    """A square part of a photo (1, 3, H, W), brighter or darker, its colours shifted, mirrored or not."""
    height, width = photo.shape[-2:]
    side = round(min(height, width) * random.uniform(0.5, 0.9))
    top, left = (round(random.uniform(0, length - side)) for length in (height, width))
    light = torch.from_numpy(random.uniform(0.4, 1.3) * random.uniform(0.75, 1.25, 3)).float()
    part = resize(photo[..., top : top + side, left : left + side], (256, 256)) * light.view(1, 3, 1, 1)
    return part.flip(-1).clamp(0, 1) if random.random() < 0.5 else part.clamp(0, 1)


def section(store: Store, place: Path | None) -> Section:
    """The section for a store; `place` is where it can be asked from the shell, if it stays."""
    return Section("In a collection", _LEAD, partial(_blocks, store, place))


def _blocks(store: Store, place: Path | None, subject: Subject) -> Iterator[Block]:
    layers = list(dict.fromkeys(column.layer for column in store.columns if column.pool != "pixels"))
    last = ([layer for layer in layers if layer != "output"] or layers)[-1]
    if place is None:
        yield Note(
            f"The collection is made for this page: {len(store)} parts of photos that come with scikit-image, under "
            "other light, in other colours, and half of them mirrored. Of a folder of your own, `triscope report "
            "--collection FOLDER` shows the same, and `triscope index FOLDER` lets you ask it."
        )
    for layer, title in ((last, f"Nearest in {last}"), ("input", "Nearest in pixel space")):
        yield _nearest(store, place, subject, layer, title)
    yield _map(store, place, last, pca, "Principal components", "The two directions in which the vectors differ most.")
    yield _map(store, place, last, tsne, "t-SNE", "Neighbours are kept together, and all other distances given up.")
    maps = [column.layer for column in store.columns if column.pool == "max"]
    yield from each((layer, partial(_patches, store, place, subject, layer)) for layer in maps)


def _nearest(store: Store, place: Path | None, subject: Subject, layer: str, title: str) -> Figure:
    image = subject.path if subject.path is not None else subject.seen.images
    found = neighbors(store, image, layer, k=_SHOWN)
    same = "pixels" if layer == "input" else f"numbers of {layer}"
    caption = f"The picture, and the {len(found)} of {len(store)} with the most similar {same}: {_scores(found)}."
    caution = (
        "There is always a nearest picture: look at the score, the cosine of the angle seen from the collection's "
        "mean. Pixel space finds the same light and background, a deep layer the same kind of thing."
    )
    asked = {"store": store, "query": subject.path or subject.seen.images, "layer": layer, "k": _SHOWN}
    return Figure(title, found.png(), caption, caution, _spelled(neighbors, asked, stays=place is not None))


def _map(store: Store, place: Path | None, layer: str, verb: Method[Map], title: str, said: str) -> Figure:
    made = verb(store, layer, size=_MAP)
    caution = (
        "Of principal components, the distances mean something and most of the variance is lost. Of t-SNE, only who "
        "lies next to whom says something: another seed or perplexity may put the groups elsewhere."
    )
    command = _spelled(verb, {"store": store, "layer": layer}, stays=place is not None)
    return Figure(f"{title} of {layer}", made.png(), " ".join([said, *made.captions]), caution, command)


def _patches(store: Store, place: Path | None, subject: Subject, layer: str) -> Figure:
    values = subject.network.look(subject.seen.images, [layer])[layer][0]
    unit = Channel(layer, int(values.flatten(1).amax(1).argmax()))
    found = patches(store, unit, k=_SHOWN)
    caption = (
        f"Of the channel that answers most to this picture, the {len(found)} strongest answers in the collection, each "
        f"cut to what the unit sees there: {_scores(found)}."
    )
    caution = (
        "The strongest answers are the far end of a long tail, and a unit mostly heeds the middle of what it sees."
    )
    command = _spelled(patches, {"store": store, "objective": unit, "k": _SHOWN}, stays=place is not None)
    return Figure(f"{unit}: top patches", found.png(), caption, caution, command)


def _scores(found: Gallery) -> str:
    return ", ".join(f"{name} ({score:.3g})" for name, score in zip(found.names, found.values.tolist(), strict=True))


def _spelled(verb: Method[Any], asked: Mapping[str, Any], *, stays: bool) -> str:
    """What asks the same: of a store that stays, the command or else the line of Python; of one that goes, nothing."""
    return command_line(verb, asked) or python_line(verb, asked) if stays else ""
