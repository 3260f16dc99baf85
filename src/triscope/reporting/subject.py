"""The subject of a report: one image, one network, its output, and how commands are spelled."""

import dataclasses
import io
import threading
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from triscope import render
from triscope.errors import NetworkError
from triscope.images import ImageSource, Photo, open_photo, resize, to_pil
from triscope.methods import Method
from triscope.methods.spelling import command_line, network_words, python_line, quoted
from triscope.network import Fit, ImageBatch, Network, Source
from triscope.network.preprocess import Box
from triscope.network.stages import depths
from triscope.objectives.base import Need, Objective
from triscope.objectives.segmentation import Pixels, shares
from triscope.objectives.units import Channel, Logit, Neuron
from triscope.reporting.blocks import percent
from triscope.results import Drawn, Heatmap, Result, Style
from triscope.views import predict

R = TypeVar("R", bound=Result)

_THUMBNAIL = 720  # pixels on its long side


class Subject:
    """One image and one network. Raises ImageError, and NetworkError where the network cannot run on it.

    `size` is the whole image's, (rows, columns), and `thumbnail` a small JPEG of it; `seen` is what the network sees
    of it. `depths` are the layers that stand for the network; `look` holds their activations, and the output.
    """

    def __init__(self, network: Network, image: ImageSource, fit: Fit = "crop") -> None:
        self.network = network
        self.source = image
        self.fit = fit
        photo = open_photo(image, bands=None if network.channels in (1, 3) else network.channels)
        self.size = photo.pixels.shape[-2], photo.pixels.shape[-1]
        self.thumbnail = thumbnail(render.visible(photo.pixels[0], network.show)[None])
        self.seen = network.prepare(image) if isinstance(image, Tensor) else _fitted(network, photo, fit)
        self.depths = tuple(depths(network))
        self._stopped = threading.Event()
        with torch.no_grad():
            self.look = network.look(self.seen.images, [*self.depths, "output"])

    @property
    def name(self) -> str:
        """What the image is called, printable."""
        return self.seen.sources[0].name

    @property
    def path(self) -> Path | None:
        """The image's file, where there is one."""
        return self.seen.sources[0].path

    @property
    def has_classes(self) -> bool:
        """Whether the network gives one score per class, or a map of scores for each."""
        output = self.look[Need("output")]
        vector = output.ndim == 2 and self.network.task != "embedding"
        return (vector or self.segments) and not self.network.missing

    @property
    def segments(self) -> bool:
        """Whether the network gives a map of scores for each class."""
        return self.network.task == "maps" and self.look[Need("output")].ndim == 4

    @cached_property
    def boxes(self) -> list[tuple[str, float]] | None:
        """Of a detector, the surest boxes as units, and their scores; None of other networks."""
        if self.network.task != "boxes" or self.network.missing:
            return None
        found = predict(self.network, self.seen, k=5)
        return [(row["name"], row["score"]) for row in found.rows()[0] if row["score"] > 0]

    def asks(self, index: int, *, everywhere: bool = False) -> Objective:
        """The question about a class: its score; of a segmenter that where it is predicted, or at all positions."""
        if not self.segments:
            return Logit(index)
        seen = any(share for other, _, share in self.classes if other == index) and len(self.classes) > 1
        return Pixels(index, "predicted" if seen and not everywhere else None)

    @cached_property
    def classes(self) -> list[tuple[int, str, float]]:
        """All classes, the best first: index, name, softmax share, or of a segmenter the share of pixels.

        Raises NetworkError where the network has none.
        """
        output = self.look[Need("output")].float()
        if self.segments:
            found = shares(output)[0]
        else:
            self.network.require_classifier()
            single = self.network.task == "number"  # which has no share
            found = torch.ones(1) if single else self.network.probabilities(output)[0]
        best = found.argsort(descending=True).tolist()
        return [(index, self.network.class_name(index), float(found[index])) for index in best]

    @property
    def best(self) -> tuple[str, str]:
        """The best class, and its share in brackets; of a network that gives one number, that number."""
        index, name, share = self.classes[0]
        if self.network.task == "number":
            return name, f" ({float(self.look[Need('output')][0, index]):.4g})"
        return name, f" ({percent(share)})"

    def strongest(self, layer: str) -> tuple[Neuron | Channel, float]:
        """The unit of `layer` that responds most to the image, and its response; in a vector, one of its numbers."""
        values = self.look[Need(layer)][0]
        index, *place = (int(part) for part in torch.unravel_index(values.argmax(), values.shape))
        unit = Neuron(layer, index, *place) if place else Channel(layer, index)
        return unit, float(values.max())

    def takes(self, side: int) -> bool:
        """Whether the network also takes smaller images: square, of that side."""
        network = self.network
        if side >= min(network.size):
            return False
        grey = torch.full((1, network.channels, side, side), 0.5, dtype=network.dtype, device=network.device)
        try:
            with torch.no_grad():
                network.look(grey, ["output"])
        except NetworkError:
            return False
        return True

    def score(self, objective: Objective) -> float:
        """The score of an objective on the image."""
        asked = objective.bind(self.network)
        with torch.no_grad():
            return float(asked(self.network.look(self.seen.images, asked.needs))[0])

    def sees(self, unit: Neuron | Channel) -> Box:
        """What of the seen image a neuron depends on, in its pixels; all of it for a number of a vector."""
        height, width = self.seen.images.shape[-2:]
        if isinstance(unit, Channel):
            return Box(0, 0, height, width)
        return Box(*self.network.layer(unit.layer).receptive_field.box(unit.row, unit.col, height, width))

    def ask(self, verb: Method[R], *, drawn_as: Style = "heat", **given: Any) -> tuple[R, bytes, str]:
        """The answer of a method, its PNG (empty for a ranking), and the command that makes that PNG.

        The input is this image unless `given` holds another; for a method with a content image, it is that.
        """
        arguments: dict[str, Any] = {"network": self.network}
        spelled: dict[str, Any] = dict(arguments)
        for name in ("images", "content"):
            if verb.takes(name) and name not in given:
                arguments[name], spelled[name] = (self.seen if name == "images" else self.source), self.seen
        if "images" in arguments and self.fit != "crop" and any(option.name == "fit" for option in verb.options):
            spelled["fit"] = self.fit
        for step in verb.steps(**arguments, **given):
            result = step.result
            if self._stopped.is_set():
                raise KeyboardInterrupt
        drawn = result.styled(drawn_as) if isinstance(result, Heatmap) and drawn_as != "heat" else result
        png = drawn.png() if isinstance(drawn, Drawn) else b""
        spelled |= given
        line = command_line(verb, spelled, style=drawn_as) or python_line(verb, spelled, style=drawn_as)
        return result, png, line

    def stop(self) -> None:
        """End running and future calls in other threads with KeyboardInterrupt."""
        self._stopped.set()

    def command(self, name: str) -> str | None:
        """The shell's command of this name for this network, or None where the shell cannot name the network."""
        words = network_words(self.network)
        return None if words is None else " ".join(map(quoted, ("triscope", name, *words)))


def _fitted(network: Network, photo: Photo, fit: Fit) -> ImageBatch:
    """What the network sees of a photo that has been read."""
    seen = network.prepare(photo.pixels[0].movedim(0, -1).numpy(), fit)
    return dataclasses.replace(seen, sources=(Source(photo.name, photo.path, photo.sha256),))


def thumbnail(pixels: Tensor, side: int = _THUMBNAIL) -> bytes:
    """An image (1, C, H, W) as a JPEG of at most so many pixels on its long side."""
    height, width = pixels.shape[-2:]
    scale = min(1.0, side / max(height, width))
    data = io.BytesIO()
    to_pil(resize(pixels, (max(1, round(height * scale)), max(1, round(width * scale))))).save(data, "JPEG", quality=88)
    return data.getvalue()
