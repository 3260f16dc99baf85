"""A PCA map and a t-SNE map of the same pictures, side by side: crops of a few photos, by two layers.

python examples/maps.py [FOLDER]
"""

import sys
from pathlib import Path

import numpy as np

import triscope as ts
from triscope import render
from triscope.images import open_photo, to_pil
from triscope.samples import SAMPLES, sample_photo

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
random = np.random.default_rng(0)

for name in SAMPLES:
    (folder / "crops" / name).mkdir(parents=True, exist_ok=True)
    photo = to_pil(open_photo(sample_photo(name)).pixels)
    for number in range(25):
        side = round(min(photo.size) * random.uniform(0.4, 0.8))
        left, top = (round(random.uniform(0, length - side)) for length in photo.size)
        photo.crop((left, top, left + side, top + side)).resize((160, 160)).save(
            folder / "crops" / name / f"{number}.jpg"
        )

store = ts.Store.build(ts.load("pocket"), folder / "crops", layers=["features.2", "classifier.5"])
for layer in ("features.2", "classifier.5"):
    maps = [verb(store, layer, size=700, color_by="folder") for verb in (ts.pca, ts.tsne)]
    for made in maps:
        print(made.title, *made.captions, sep="\n  ")
    beside = ts.Picture(render.side_by_side(*(made.draw() for made in maps))[None])
    print(beside.save(folder / f"maps-{layer}.png"))

print(ts.tsne(store, color_by="folder").save(folder / "map.html"))
