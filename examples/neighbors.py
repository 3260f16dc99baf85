"""Nearest neighbours in a small collection of crops.
==================================================

python examples/neighbors.py [FOLDER]
"""

import sys
from pathlib import Path

import triscope as ts
from triscope.images import open_photo, to_pil
from triscope.images.samples import SAMPLES

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
crops = folder / "crops"

# Five crops of each photo: the nearest neighbours should be crops of the same photo.
for name in SAMPLES:
    (crops / name).mkdir(parents=True, exist_ok=True)
    photo = to_pil(open_photo(f"sample:{name}").pixels)
    wide, tall = photo.width * 3 // 4, photo.height * 3 // 4
    for number, (left, top) in enumerate([(0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.5)]):
        corner = round(left * (photo.width - wide)), round(top * (photo.height - tall))
        photo.crop((*corner, corner[0] + wide, corner[1] + tall)).save(crops / name / f"{number}.jpg")

network = ts.load("pocket")
store = ts.Store.build(network, crops, layers=["features.2", "classifier.5"])
print(store)

query = crops / "cat" / "4.jpg"
for layer in ("classifier.5", "input"):
    found = ts.neighbors(store, query, layer, k=5)
    print(f"nearest in {layer}:\n{found}\n{found.save(folder / f'neighbors-{layer}.png')}")

print(ts.patches(store, "features.2:3", k=9).save(folder / "patches.png"))
