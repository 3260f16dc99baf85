"""The section on a collection: its nearest neighbours of the image, and the top patches of units of each depth."""

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
from triscope.reporting.blocks import Block, Figure, Mosaic, Note, Section, each
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
    "Which images of a collection are nearest to this one in feature space, and which patches activate its units most?"
)


def collected(network: Network, folder: Path) -> Store:
    """The store in a folder of images, made or brought up to date.

    Raises StoreError where another network made it.
    """
    return Store.build(network, folder)


def variations(network: Network, folder: Path) -> Store:
    """A store of images made in `folder` from the sample photos: crops under other light, colours, and mirrored.

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
    """The section for a store; `place` is its path for shell commands, if it is kept."""
    return Section("Nearest neighbours in a collection", _LEAD, partial(_blocks, store, place))


def _blocks(store: Store, place: Path | None, subject: Subject) -> Iterator[Block]:
    layers = list(dict.fromkeys(column.layer for column in store.columns if column.pool != "pixels"))
    last = ([layer for layer in layers if layer != "output"] or layers)[-1]
    if place is None:
        yield Note(
            f"The collection is made for this page: {len(store)} crops of the photos that come with scikit-image, "
            "under changed light and colours, half of them mirrored. For a folder of your own: `triscope report "
            "--collection FOLDER`, or `triscope index FOLDER` to search it."
        )
    for layer, title in ((last, f"Nearest in {last}"), ("input", "Nearest in pixel space")):
        yield _nearest(store, place, subject, layer, title)
    yield _map(store, place, last, pca, "Principal components", "The two directions in which the vectors vary most.")
    yield _map(store, place, last, tsne, "t-SNE", "Near neighbours are kept together; larger distances are not kept.")
    maps = [column.layer for column in store.columns if column.pool == "max"]
    yield from each((layer, partial(_patches, store, place, subject, layer)) for layer in maps)


def _nearest(store: Store, place: Path | None, subject: Subject, layer: str, title: str) -> Figure:
    image = subject.path if subject.path is not None else subject.seen.images
    found = neighbors(store, image, layer, k=_SHOWN)
    same = "pixels" if layer == "input" else f"activations of {layer}"
    caption = f"The photo, and the {len(found)} of {len(store)} images with the most similar {same}: {_scores(found)}."
    caution = (
        "There is always a nearest image: look at the score, the cosine similarity after the collection's mean is "
        "subtracted. Pixel space finds the same light and background, a deep layer the same kind of thing."
    )
    asked = {"store": store, "query": subject.path or subject.seen.images, "layer": layer, "k": _SHOWN}
    command = _spelled(neighbors, asked, stays=place is not None)
    return Figure(title, found.png(), caption, caution, command, mosaic=Mosaic.of(found))


def _map(store: Store, place: Path | None, layer: str, verb: Method[Map], title: str, said: str) -> Figure:
    made = verb(store, layer, size=_MAP)
    caution = (
        "In a PCA map distances have a meaning, but most of the variance is lost. In a t-SNE map only neighbourhoods "
        "have one: another seed or perplexity may place the groups elsewhere."
    )
    command = _spelled(verb, {"store": store, "layer": layer}, stays=place is not None)
    said = " ".join([said, *made.captions])
    return Figure(f"{title} of {layer}", made.png(), said, caution, command, mosaic=Mosaic.of(made))


def _patches(store: Store, place: Path | None, subject: Subject, layer: str) -> Figure:
    values = subject.network.look(subject.seen.images, [layer])[layer][0]
    unit = Channel(layer, int(values.flatten(1).amax(1).argmax()))
    found = patches(store, unit, k=_SHOWN)
    caption = (
        f"The {len(found)} highest activations in the collection of the channel that is most active on this photo, "
        f"each cropped to its receptive field: {_scores(found)}."
    )
    caution = (
        "The highest activations are the far end of a long tail, and a unit depends mostly on the middle of its "
        "receptive field."
    )
    command = _spelled(patches, {"store": store, "objective": unit, "k": _SHOWN}, stays=place is not None)
    return Figure(f"{unit}: top patches", found.png(), caption, caution, command, mosaic=Mosaic.of(found))


def _scores(found: Gallery) -> str:
    return ", ".join(f"{name} ({score:.3g})" for name, score in zip(found.names, found.values.tolist(), strict=True))


def _spelled(verb: Method[Any], asked: Mapping[str, Any], *, stays: bool) -> str:
    """The command, or line of Python, that gives the same; "" for a temporary store."""
    return command_line(verb, asked) or python_line(verb, asked) if stays else ""
