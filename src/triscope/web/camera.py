"""One frame of a camera, in one forward pass: classes, the maps of a layer, and a heatmap where one is requested."""

import time
from dataclasses import dataclass
from typing import Any

import torch

from triscope.errors import OptionError, TriscopeError
from triscope.network import Fit, Network
from triscope.objectives.base import Need
from triscope.results import Heatmap
from triscope.results.drawing import levels
from triscope.verbs import METHODS
from triscope.web.packed import packed
from triscope.web.photos import check
from triscope.web.volumes import Volume

_CLASSES = 5
_MANY = 4_000_000  # numbers of a layer, of which no more are sent with each frame


@dataclass(frozen=True)
class Frame:
    """A frame, a layer whose maps are shown, and a method that makes heatmaps.

    `data` is an encoded image, `fit` how it is fitted to the network's size.
    """

    network: Network
    data: bytes
    layer: str = ""
    method: str | None = None
    fit: Fit = "crop"

    def answer(self) -> bytes:
        """The answer for the page, packed. Raises TriscopeError."""
        began = time.perf_counter()
        check(self.data)
        batch = self.network.prepare(self.data, self.fit)
        told: dict[str, Any] = {"classes": [], "maps": None, "heatmap": None}
        parts: dict[str, bytes] = {}
        needs = ["output", self.layer] if self.layer else ["output"]
        with torch.no_grad():
            look = self.network.look(batch.images, needs)
        told["classes"] = self._classes(look[Need("output")])
        if self.layer:
            values = look[Need(self.layer)][0].float()
            volume = Volume(self.layer, values if values.ndim == 3 else values.flatten()[:, None, None])
            told["maps"] = volume.facts()
            parts |= volume.parts() if values.numel() <= _MANY else {}
        if self.method:
            heat = METHODS[self.method](self.network, batch)
            if not isinstance(heat, Heatmap):
                raise OptionError("A camera shows methods that make heatmaps.")
            told["heatmap"] = {"shape": list(heat.values.shape[1:]), "scale": heat.scale, "signed": heat.signed}
            parts["heatmap"] = levels(heat.values[0], heat.scale, signed=heat.signed).cpu().numpy().tobytes()
        return packed({**told, "milliseconds": round(1000 * (time.perf_counter() - began), 1)}, parts)

    def _classes(self, output: torch.Tensor) -> list[dict[str, Any]]:
        """The likeliest classes, where the network has classes."""
        try:
            shares = self.network.probabilities(output)[0]
        except TriscopeError:
            return []
        best = shares.topk(min(_CLASSES, len(shares)))
        return [
            {"index": index, "name": self.network.class_name(index), "score": score}
            for index, score in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
