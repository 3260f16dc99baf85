"""The figures of the pages on styles and textures: a scene, a painting and stones drawn here, and what is made of them.

python docs/figures/styles.py FOLDER STEPS NETWORK WEIGHTS
"""

import sys
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import torch

import triscope as ts
from triscope import render
from triscope.images import read_image

words = dict(enumerate(sys.argv))
folder, steps = Path(words.get(1, ".")), int(words.get(2, 12))
network = ts.load(words.get(3, "pocket"), weights=words.get(4))
size, side = 192, 384
random = np.random.default_rng(3)


def scene() -> PIL.Image.Image:
    """A house by a lake, under the sun."""
    picture = PIL.Image.new("RGB", (side, side))
    draw = PIL.ImageDraw.Draw(picture)
    for row in range(side):
        draw.line([(0, row), (side, row)], (120 + row // 4, 170 + row // 6, 235))
    draw.ellipse((270, 40, 340, 110), (255, 235, 150))
    for tone, height, wave in (((110, 130, 160), 190, 50), ((80, 130, 70), 230, 33)):
        ridge = [(x, height - 22 * np.sin(x / wave) - 9 * np.sin(x / 13)) for x in range(0, side + 1, 4)]
        draw.polygon([(0, side), *ridge, (side, side)], tone)
    draw.rectangle((0, 300, side, side), (70, 110, 150))
    draw.rectangle((90, 190, 220, 300), (225, 205, 175))
    draw.polygon([(75, 195), (155, 120), (235, 195)], (165, 60, 45))
    for left in (108, 178):
        draw.rectangle((left, 215, left + 24, 245), (60, 70, 90))
    draw.rectangle((143, 250, 167, 300), (100, 60, 40))
    draw.rectangle((292, 220, 304, 300), (90, 65, 45))
    draw.ellipse((258, 140, 338, 240), (45, 95, 50))
    return picture


def painting() -> PIL.Image.Image:
    """Thick strokes along a flow with five whirls, dark and bright blue with some yellow."""
    picture = PIL.Image.new("RGB", (side, side), (25, 40, 90))
    draw = PIL.ImageDraw.Draw(picture)
    whirls = random.uniform(0, side, (5, 2))
    colours = np.array([(20, 35, 90), (45, 90, 170), (120, 170, 215), (235, 215, 110), (245, 240, 215)])
    for _ in range(5000):
        at = random.uniform(0, side, 2)
        near = np.hypot(*(whirls - at).T).min()
        mix = np.clip(random.normal(2.8 - near / 40 + 0.8 * np.sin(near / 6), 0.6), 0, 3.99)
        tone = colours[int(mix)] + (mix % 1) * (colours[int(mix) + 1] - colours[int(mix)])
        path = [tuple(at)]
        for _ in range(5):
            away = at - whirls
            turn = (away[:, ::-1] * (-1, 1) / (200 + (away**2).sum(1, keepdims=True))).sum(0)
            at = at + 5 * turn / (np.hypot(*turn) + 1e-6)
            path.append(tuple(at))
        draw.line(path, tuple(int(value) for value in tone), 4, "curve")
    return picture


def stones() -> PIL.Image.Image:
    """Rounded stones lying over each other, each lit from above."""
    picture = PIL.Image.new("RGB", (side, side), (60, 55, 50))
    draw = PIL.ImageDraw.Draw(picture)
    for _ in range(900):
        x, y, wide, tall = *random.uniform(-20, side + 20, 2), *random.uniform(10, 24, 2)
        tone = random.uniform(90, 200) + random.normal(0, 7, 3)
        for shade in range(6):
            inset = shade / 7
            box = (
                x - wide * (1 - inset),
                y - tall * (1 - inset) - shade,
                x + wide * (1 - inset),
                y + tall * (1 - inset) - shade,
            )
            draw.ellipse(box, tuple(int(value) for value in np.clip(tone * (0.55 + 0.1 * shade), 0, 255)))
    return picture


def save(name: str, *pictures: torch.Tensor) -> None:
    """Images (1, 3, H, W) in one row."""
    print(ts.Picture(render.grid([one[0] for one in pictures], len(pictures))[None]).save(folder / f"{name}.png"))


content, style, example = (read_image(draw().resize((size, size))) for draw in (scene, painting, stones))
names = ts.stylize(network, content, style, size=size, steps=1).layers
growing = [",".join(names[: number + 1]) for number in range(len(names))]


def styled(**choice: object) -> torch.Tensor:
    """The scene in the painting's style."""
    return ts.stylize(network, content, style, size=size, steps=steps, **choice).values


save("style-start", content, style, styled(), styled(start="noise"))
save("style-layers", *(styled(layers=layers) for layers in growing))
save("style-content", *(styled(content_weight=weight) for weight in (0.005, 0.05, 0.5)))
save("style-statistics", *(styled(statistics=kind) for kind in ("gram", "covariance", "wasserstein")))
save("style-colors", *(styled(colors=kind) for kind in ("style", "luminance", "covariance", "histogram")))
sky = torch.linspace(4, -4, size).view(1, 1, size, 1).clamp(0, 1).expand(1, 1, size, size).contiguous()
masked = ts.stylize(network, content, style, sky, size=size, steps=steps).values
both = ts.stylize(network, content, [style, example], [sky, 1 - sky], size=size, steps=steps).values
save("style-masks", sky.expand(1, 3, size, size), masked, both)
made = [ts.texture(network, example, size=size, steps=steps, layers=layers).values for layers in growing]
save("texture-layers", example, *made)
