"""Time to reach the final loss of the classic loop: `python -m benchmarks.speed.style KIND SIZE NETWORK WEIGHTS A B`.

KIND is `texture` (of A; B is left out), `style` (content A, style B) or `step`. The classic loop is the one of
PyTorch's tutorial: L-BFGS without a line search on the pixels, one size, 100 evaluations, weights frozen, the network
cut after the last layer that is used. Both are compared by the same loss: in float32, at full size, on the clamped
image, written without triscope. Times are CPU seconds without this evaluation. `step` compares one Adam step in float32
with that of the bare loop.
"""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

import triscope as ts
from benchmarks.speed.measure import compare, rows
from triscope.images import open_photo, resize
from triscope.methods import Step
from triscope.what.style.coarse_to_fine import StyleResult
from triscope.what.style.presets import STYLE_PRESETS, content_layer, style_layers, usual_content_weight

_EVALUATIONS = 100
_ROUNDS = 9


class Bare:
    """The loss without triscope: the features as they stand, a Gram matrix for each style layer, one layer's maps."""

    def __init__(self, network: ts.Network, example: Tensor, content: Tensor | None) -> None:
        names = style_layers(network, STYLE_PRESETS["triscope"])
        self.style = [int(name.rpartition(".")[2]) for name in names]
        kept = content_layer(network, STYLE_PRESETS["triscope"])
        self.kept, self.weight = int(kept.rpartition(".")[2]), usual_content_weight(network, kept)
        last = max(self.style if content is None else [*self.style, self.kept])
        features: Any = network.module.features
        self.features: nn.Sequential = features[: last + 1].eval().requires_grad_(requires_grad=False)
        self.normalise = network.normalise
        with torch.no_grad():
            self.grams = [self.gram(one) for one in self.run(example)[0]]
            self.target = None if content is None else self.run(content)[1]

    def run(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps of the style layers, and of the content layer."""
        x, kept = self.normalise(image), image
        seen: list[Tensor] = []
        for place, part in enumerate(self.features):
            x = part(x)
            following = self.features[place + 1] if place + 1 < len(self.features) else None
            held = x.clone() if getattr(following, "inplace", False) else x
            seen += [held] if place in self.style else []
            kept = held if place == self.kept else kept
        return seen, kept

    @staticmethod
    def gram(maps: Tensor) -> Tensor:
        """Channel products, averaged over positions."""
        flat = maps[0].flatten(1)
        return flat @ flat.T / flat.shape[1]

    def __call__(self, image: Tensor) -> Tensor:
        """The loss."""
        seen, kept = self.run(image)
        away = [
            (self.gram(one) - wanted).square().sum() / wanted.square().sum()
            for one, wanted in zip(seen, self.grams, strict=True)
        ]
        loss = torch.stack(away).mean()
        if self.target is None:
            return loss
        return loss + self.weight * (kept - self.target).square().sum() / self.target.square().sum()

    def judge(self, image: Tensor) -> float:
        """The loss of the clamped image, as a number."""
        with torch.no_grad():
            return float(self(image.clamp(0, 1)))


def classic(bare: Bare, start: Tensor) -> tuple[float, float]:
    """The tutorial's loop: its final loss, and its time."""
    began = time.process_time()
    image = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([image])
    asked = 0

    def closure() -> Tensor:
        nonlocal asked
        asked += 1
        with torch.no_grad():
            image.clamp_(0, 1)
        optimiser.zero_grad()
        loss = bare(image)
        loss.backward()
        return loss

    while asked < _EVALUATIONS:
        optimiser.step(closure)
    seconds = time.process_time() - began
    return bare.judge(image.detach()), seconds


def ours(steps: Iterator[Step[StyleResult]], bare: Bare, size: tuple[int, int], goal: float) -> tuple[float, float]:
    """The loss when the goal is reached, or at the end, and the time until then."""
    seconds, loss = 0.0, float("inf")
    while True:
        began = time.process_time()
        step = next(steps, None)
        seconds += time.process_time() - began
        if step is None:
            return loss, seconds
        if tuple(step.result.values.shape[-2:]) == size:
            loss = bare.judge(step.result.values)
            if loss <= goal:
                return loss, seconds


def one_step(bare: Bare, start: Tensor) -> Callable[[], None]:
    """A step of a bare loop."""
    image = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([image], lr=0.02)

    def step() -> None:
        optimiser.zero_grad()
        bare(image).backward()
        optimiser.step()
        with torch.no_grad():
            image.clamp_(0, 1)

    return step


def picture(path: str, side: int) -> Tensor:
    """An image with that long side."""
    pixels = open_photo(path).pixels
    factor = side / max(pixels.shape[-2:])
    return resize(pixels, (round(pixels.shape[-2] * factor), round(pixels.shape[-1] * factor))).clamp(0, 1)


def main(words: list[str]) -> None:
    """Compare, and print."""
    torch.set_num_threads(1)
    kind, side, name, weights, *paths = words
    network = ts.load(name, weights=weights)
    size = int(side)
    first = picture(paths[0], size)
    if kind == "texture":
        bare = Bare(network, first, None)
        start = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
        steps = ts.texture.steps(network, first, size=size)
    else:
        bare = Bare(network, picture(paths[1], size), first)
        start = first
        steps = ts.stylize.steps(network, first, picture(paths[1], size), size=size, tv=0.0)
    if kind == "step":
        options = {"octaves": 1, "optimiser": "adam", "precision": "float32", "steps": 100_000, "tv": 0.0}
        running = ts.stylize.steps(network, first, picture(paths[1], size), size=size, **options)  # type: ignore[arg-type]
        ways = {"bare": one_step(bare, first), "triscope": lambda: next(running)}
        print(*rows(compare(f"{name} {size}", ways, _ROUNDS)), sep="\n", flush=True)
        return
    goal, taken = classic(bare, start)
    print(f"{kind} {name} {size}: classic {goal:.5f} after {taken:.1f} s", flush=True)
    loss, seconds = ours(iter(steps), bare, (start.shape[-2], start.shape[-1]), goal)
    print(f"{kind} {name} {size}: triscope {loss:.5f} after {seconds:.1f} s, {taken / seconds:.2f}x", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
