"""Quality of textures and styles: `python -m benchmarks.quality.style NETWORK WEIGHTS SIZE KIND IMAGE...`.

KIND is `texture`: a texture of each image, the largest and mean relative error of its Gram matrices in float32, and
`textures.png` with the examples above; `tile`: the same as tiles, with the roughness of the seam relative to the inside
(1: the same); or `style`: the first image in the style of each of the others, and `styles.png`.
"""

import sys

import torch
from torch import Tensor

import triscope as ts
from triscope import render
from triscope.images import open_photo, resize
from triscope.what.style.coarse_to_fine import StyleResult


def errors(network: ts.Network, example: Tensor, made: StyleResult) -> list[float]:
    """The relative error of each layer's Gram matrix, in float32 on the image as it is saved."""
    with torch.no_grad():
        wanted = ts.GramDistance.from_activations(network.look(example, made.layers))
        saved = (made.values * 255).round() / 255
        return [float(one) for one in wanted.errors(network.look(saved, made.layers))[0]]


def seam(picture: Tensor) -> float:
    """The mean difference across the border, over that of neighbours inside, for rows and columns together."""
    across = [(picture.select(dim, 0) - picture.select(dim, -1)).abs().mean() for dim in (2, 3)]
    inside = [torch.diff(picture, dim=dim).abs().mean() for dim in (2, 3)]
    return float(sum(across) / sum(inside))


def main(words: list[str]) -> None:
    """Make, judge, print."""
    torch.set_num_threads(1)
    name, weights, side, kind, *paths = words
    network, size = ts.load(name, weights=None if weights == "-" else weights), int(side)
    shown: list[Tensor] = []
    for path in paths[1:] if kind == "style" else paths:
        if kind == "style":
            made = ts.stylize(network, paths[0], path, size=size)
            print(f"{path:50} style errors {', '.join(f'{one:.4f}' for one in made.errors[0].tolist())}", flush=True)
            shown.append(made.values[0])
            ts.Picture(render.grid(shown, 2)[None]).save("styles.png")
            continue
        pixels = open_photo(path).pixels
        factor = min(1.0, size / max(pixels.shape[-2:]))
        example = resize(pixels, (round(pixels.shape[-2] * factor), round(pixels.shape[-1] * factor))).clamp(0, 1)
        made = ts.texture(network, example, size=size, tile=kind == "tile")
        found = errors(network, example, made)
        rough = f", seam {seam(made.values):.2f} of the inside" if kind == "tile" else ""
        print(f"{path:50} worst {max(found):.4f}, mean {sum(found) / len(found):.4f}{rough}", flush=True)
        shown += [resize(example, (made.values.shape[-2], made.values.shape[-1]))[0], made.values[0]]
        ts.Picture(render.grid(shown, 6)[None]).save("textures.png")


if __name__ == "__main__":
    main(sys.argv[1:])
