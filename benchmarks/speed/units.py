"""Time per channel of `triscope units`: `python -m benchmarks.speed.units [LAYER [SIZE [STEPS [CHANNELS]]]]`.

CPU time on one thread, for the same channels of the pocket network, in turn:

units       all in one batch, as `triscope units` does (bfloat16 if the processor has it)
float32     the same in float32
ascend      one after another: `ascend` in a loop
lucent      Lucent's loop, written by hand from its description: a spectrum in decorrelated colours, padding, jitter,
            scaling and rotation, Adam at 0.05, the whole network with gradients of its weights, and images below 224
            pixels enlarged to 224 for the network
lucent 96   the same without that enlargement

Channels per hour are extrapolated from some channels of the layer. The mean score of the images, computed in float32,
says whether they are comparable.
"""

import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

import triscope as ts

ROUNDS = 3


def lucent(
    network: ts.Network, layer: str, channel: int, size: int, steps: int, *, enlarge: bool, seed: int = 0
) -> Tensor:
    """An image (1, 3, size, size) as Lucent's `render_vis` makes it."""
    module = network.module.eval()
    generator = torch.Generator().manual_seed(seed)
    rows, cols = torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)
    scale = 1 / (rows.square() + cols.square()).sqrt().clamp_min(1 / size) * size
    spectrum = (0.01 * torch.randn(1, 3, *scale.shape, 2, generator=generator)).requires_grad_()
    colours = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])
    colours = colours / colours.norm(dim=0).max()
    optimiser = torch.optim.Adam([spectrum], lr=0.05)
    seen: list[Tensor] = []
    hook = module.get_submodule(layer).register_forward_hook(lambda _, __, output: seen.append(output))

    def picture() -> Tensor:
        axes = torch.fft.irfft2(torch.view_as_complex(spectrum) * scale, s=(size, size), norm="ortho") / 4
        return torch.einsum("bkhw,ck->bchw", axes, colours).sigmoid()

    def number(choices: int) -> int:
        return int(torch.randint(choices, (), generator=generator))

    def view(images: Tensor) -> Tensor:
        images = F.pad(images, (12,) * 4, value=0.5)
        images = _shifted(images, 8, number)
        factor = 1 + (number(11) - 5) / 50
        images = F.interpolate(images, scale_factor=factor, mode="bilinear", align_corners=False)
        angle = torch.tensor((number(21) - 10) * torch.pi / 180)
        turn = torch.stack([angle.cos(), -angle.sin(), angle * 0, angle.sin(), angle.cos(), angle * 0]).view(1, 2, 3)
        grid = F.affine_grid(turn, list(images.shape), align_corners=False)
        images = _shifted(F.grid_sample(images, grid, align_corners=False), 4, number)
        if enlarge and min(images.shape[-2:]) < 224:
            images = F.interpolate(images, (224, 224), mode="bilinear", align_corners=True)
        return network.normalise(images)

    for _ in range(steps):
        optimiser.zero_grad()
        seen.clear()
        module(view(picture()))
        (-seen[0][:, channel].mean()).backward()
        optimiser.step()
    hook.remove()
    return picture().detach()


def _shifted(images: Tensor, most: int, number: Callable[[int], int]) -> Tensor:
    top, left = number(most + 1), number(most + 1)
    return images[..., top : images.shape[-2] - most + top, left : images.shape[-1] - most + left]


def main(words: list[str]) -> None:
    """Compare, and print."""
    torch.set_num_threads(1)
    layer = words[0] if words else "features.9"
    size, steps, count = (int(word) for word in (words[1:] + ["96", "128", "32"][len(words[1:]) :]))
    network = ts.load("pocket")
    few = range(2)

    def together(precision: Literal["auto", "float32"]) -> tuple[list[Tensor], int]:
        made = ts.units(network, layer, channels=f"0-{count - 1}", size=size, steps=steps, precision=precision)
        return [made.values[channel : channel + 1] for channel in few], count

    def alone(channels: Sequence[int]) -> tuple[list[Tensor], int]:
        asked = [ts.Channel(layer, channel) for channel in channels]
        return [ts.ascend(network, one, size=size, steps=steps).values for one in asked], len(channels)

    def by_hand(channels: Sequence[int], *, enlarge: bool) -> tuple[list[Tensor], int]:
        return [lucent(network, layer, one, size, steps, enlarge=enlarge) for one in channels], len(channels)

    ways: dict[str, Callable[[], tuple[list[Tensor], int]]] = {
        "units": lambda: together("auto"),
        "float32": lambda: together("float32"),
        "ascend": lambda: alone(few),
        "lucent": lambda: by_hand(few[:1], enlarge=True),
        f"lucent {size}": lambda: by_hand(few, enlarge=False),
    }
    seconds: dict[str, list[float]] = {label: [] for label in ways}
    scores: dict[str, float] = {}
    for turn in range(ROUNDS):
        for label in [*ways][turn:] + [*ways][:turn]:
            began = time.process_time()
            pictures, made = ways[label]()
            seconds[label].append((time.process_time() - began) / made)
            scores[label] = sum(_score(network, layer, one, picture) for one, picture in enumerate(pictures)) / len(
                pictures
            )
    print(f"{layer} of the pocket network, {size} pixels, {steps} steps, {count} channels in one batch, 1 thread")
    for label, taken in seconds.items():
        ratio = median(other / mine for mine, other in zip(seconds["units"], taken, strict=True))
        print(
            f"{label:<12} {median(taken):7.2f} s a channel {3600 / median(taken):8.0f} channels/h "
            f"{ratio:6.2f} x units   mean score {scores[label]:.2f}"
        )


def _score(network: ts.Network, layer: str, channel: int, picture: Tensor) -> float:
    unit = ts.Channel(layer, channel)
    with torch.no_grad():
        return float(unit(network.look(picture, unit.needs)))


if __name__ == "__main__":
    main(sys.argv[1:])
