"""What a report is about: one picture and one network, what the network says of it, and how commands are spelled."""

import dataclasses
import io
import os
import shlex
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from triscope.images import ImageSource, Photo, open_photo, resize, to_pil
from triscope.methods import Method
from triscope.network import Fit, Network, Seen, Source
from triscope.network.preprocess import Box
from triscope.network.stages import depths
from triscope.objectives.base import Need, Objective
from triscope.objectives.units import Channel, Neuron
from triscope.results import Drawn, Heatmap, Result, Style

R = TypeVar("R", bound=Result)

_THUMBNAIL = 720  # pixels on its long side


class Subject:
    """One picture before one network. Raises ImageError, and NetworkError where the network cannot run on it.

    `size` is the whole picture's, (rows, columns), and `thumbnail` a small JPEG of it; `seen` is what the network sees
    of it. `depths` are the layers that stand for the network; `look` holds their activations, and the output.
    """

    def __init__(self, network: Network, image: ImageSource, fit: Fit = "crop") -> None:
        self.network = network
        self.source = image
        self.fit = fit
        photo = open_photo(image)
        self.size = photo.pixels.shape[-2], photo.pixels.shape[-1]
        self.thumbnail = _thumbnail(photo.pixels)
        self.seen = network.prepare(image) if isinstance(image, Tensor) else _fitted(network, photo, fit)
        self.depths = tuple(depths(network))
        with torch.no_grad():
            self.look = network.look(self.seen.images, [*self.depths, "output"])

    @property
    def name(self) -> str:
        """What the picture is called, printable."""
        return self.seen.sources[0].name

    @property
    def path(self) -> Path | None:
        """The picture's file, where there is one."""
        return self.seen.sources[0].path

    @property
    def has_classes(self) -> bool:
        """Whether the network gives one score per class."""
        return self.look[Need("output")].ndim == 2 and not self.network.missing

    @cached_property
    def classes(self) -> list[tuple[int, str, float]]:
        """All classes, the best first: index, name, softmax share. Raises NetworkError where the network has none."""
        self.network.require_classifier()
        shares = self.look[Need("output")][0].float().softmax(0)
        best = shares.argsort(descending=True).tolist()
        return [(index, self.network.class_name(index), float(shares[index])) for index in best]

    def strongest(self, layer: str) -> tuple[Neuron | Channel, float]:
        """The unit of `layer` that responds most to the picture, and its response; in a vector, one of its numbers."""
        values = self.look[Need(layer)][0]
        index, *place = (int(part) for part in torch.unravel_index(values.argmax(), values.shape))
        unit = Neuron(layer, index, *place) if place else Channel(layer, index)
        return unit, float(values.max())

    def sees(self, unit: Neuron | Channel) -> Box:
        """What of the seen image a neuron depends on, in its pixels; all of it for a number of a vector."""
        height, width = self.seen.images.shape[-2:]
        if isinstance(unit, Channel):
            return Box(0, 0, height, width)
        return Box(*self.network.layer(unit.layer).receptive_field.box(unit.row, unit.col, height, width))

    def ask(
        self,
        verb: Method[Any, R],
        objective: Objective | None = None,
        *,
        layer: str | None = None,
        style: Style = "heat",
        others: Sequence[Path] = (),
        **options: Any,
    ) -> tuple[R, bytes, str]:
        """The answer of a method, its PNG (empty for a ranking), and the command that makes that PNG.

        `others` are the styles where this picture is the content, and else the one that is asked about instead of it.
        """
        given: dict[str, Any] = {"network": self.network}
        given |= {"images": others[0] if others else self.seen} if verb.takes("images") else {}
        given |= {"content": self.source, "style": list(others)} if verb.takes("content") else {}
        given |= {"objective": objective} if objective is not None else {}
        given |= {"layer": layer} if layer else {}
        result = verb(**given, **options)
        drawn = result.styled(style) if isinstance(result, Heatmap) and style != "heat" else result
        png = drawn.png() if isinstance(drawn, Drawn) else b""
        return result, png, self._spell(verb, objective, layer, style, others, options)

    def command(self, name: str, *words: str, picture: bool = False) -> str:
        """The shell's command of this name for this network, with the picture as its first word where wanted."""
        words = ("triscope", name, *([self._picture_word()] if picture else []), *words, *self._network_words())
        return " ".join(map(quoted, words))

    @property
    def from_shell(self) -> bool:
        """Whether the shell can name both the network and the picture."""
        return self.network.source is not None and self.seen.sources[0].sha256 is not None

    def _spell(
        self,
        verb: Method[Any, Any],
        objective: Objective | None,
        layer: str | None,
        style: str,
        others: Sequence[Path],
        options: dict[str, Any],
    ) -> str:
        defaults = {option.name: option.default for option in verb.options}
        said = {name: value for name, value in options.items() if value != defaults[name]}
        if "fit" in defaults and self.fit != "crop" and not others:
            said["fit"] = self.fit
        mine = verb.takes("content") or (verb.takes("images") and not others)
        if (mine and not self.from_shell) or self.network.source is None:
            return self._in_python(verb, objective, layer, style, others, said)
        words = [str(objective)] if objective is not None else []
        words = ["-u", *words] if words and not verb.requires("objective") else words
        words += ["--layer", layer] if layer else []
        words += [word for name, value in said.items() for word in _flag(name, value)]
        words += ["--style", style] if style != "heat" else []
        return self.command(verb.command, *map(os.fspath, others), *words, picture=mine)

    def _in_python(
        self,
        verb: Method[Any, Any],
        objective: Objective | None,
        layer: str | None,
        style: str,
        others: Sequence[Path],
        said: dict[str, Any],
    ) -> str:
        mine = verb.takes("content") or (verb.takes("images") and not others)
        words = ["network"] + (["image"] if mine else []) + [repr(os.fspath(other)) for other in others]
        words += [repr(str(objective))] if objective is not None else []
        words += ([repr(layer)] if verb.takes("images") else [f"layer={layer!r}"]) if layer else []
        words += [f"{name}={value!r}" for name, value in said.items()]
        return f"ts.{verb.name}({', '.join(words)})" + (f".styled({style!r})" if style != "heat" else "")

    def _picture_word(self) -> str:
        if self.path is None:
            return "-"
        path = os.fspath(self.path)
        return f"./{path}" if path.startswith("-") else path

    def _network_words(self) -> list[str]:
        source = dict(self.network.source or {})
        words = ["-m", source["name"]] if source["name"] != "pocket" else []
        words += ["--weights", source["weights"]] if "weights" in source else []
        words += ["--seed", str(source["seed"])] if source.get("seed") else []
        return words + (["--device", str(self.network.device)] if self.network.device.type != "cpu" else [])


def quoted(word: str) -> str:
    """A word as the shell reads it; one that cannot be printed in the bytes it has, as bash and zsh read them."""
    if word.isprintable():
        return shlex.quote(word)
    kept = (chr(byte) if 32 <= byte < 127 and byte not in b"\\'" else f"\\x{byte:02x}" for byte in os.fsencode(word))
    return f"$'{''.join(kept)}'"


def _fitted(network: Network, photo: Photo, fit: Fit) -> Seen:
    """What the network sees of a photo that has been read."""
    seen = network.prepare(photo.pixels[0].movedim(0, -1).numpy(), fit)
    return dataclasses.replace(seen, sources=(Source(photo.name, photo.path, photo.sha256),))


def _thumbnail(pixels: Tensor) -> bytes:
    """A picture (1, C, H, W) as a JPEG small enough for the top of a page."""
    height, width = pixels.shape[-2:]
    scale = min(1.0, _THUMBNAIL / max(height, width))
    data = io.BytesIO()
    to_pil(resize(pixels, (max(1, round(height * scale)), max(1, round(width * scale))))).save(data, "JPEG", quality=88)
    return data.getvalue()


def _flag(name: str, value: Any) -> list[str]:
    """An option as the command line spells it."""
    dashed = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{dashed}" if value else f"--no-{dashed}"]
    return [f"--{dashed}", str(value)]
