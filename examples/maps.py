"""PCA and t-SNE of the same images side by side: four kinds of drawn pattern, for two layers.
===========================================================================================

python examples/maps.py [FOLDER]
"""

import sys
from pathlib import Path

import numpy as np
import PIL.Image

import triscope as ts
from triscope import render

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
random = np.random.default_rng(0)
down, across = np.mgrid[:160, :160]
PATTERNS = {
    "stripes": lambda phase, width: np.sin((across + down / 3) / width + phase),
    "checks": lambda phase, width: np.sin(across / width + phase) * np.sin(down / width + phase),
    "rings": lambda phase, width: np.sin(np.hypot(across - 80, down - 80) / width + phase),
    "dots": lambda phase, width: np.cos(across / width + phase) + np.cos(down / width + phase) - 1,
}

for name, pattern in PATTERNS.items():
    (folder / "drawn" / name).mkdir(parents=True, exist_ok=True)
    for number in range(25):
        ink, paper = random.uniform(0, 255, (2, 3))
        inked = pattern(random.uniform(0, 6), random.uniform(4, 9))[..., None] > 0
        PIL.Image.fromarray(np.where(inked, ink, paper).astype(np.uint8)).save(
            folder / "drawn" / name / f"{number}.png"
        )

store = ts.Store.build(ts.load("pocket"), folder / "drawn", layers=["features.2", "classifier.5"])
for layer in ("features.2", "classifier.5"):
    maps = [verb(store, layer, size=480, color_by="folder") for verb in (ts.pca, ts.tsne)]
    print(*(made.captions[0] for made in maps), sep="\n")
    print(ts.Picture(render.side_by_side(*(made.draw() for made in maps))[None]).save(folder / f"maps-{layer}.png"))

print(ts.tsne(store, color_by="folder").save(folder / "map.html"))
