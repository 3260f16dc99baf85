"""Feature inversion of every stage, and DeepDream.
================================================

python examples/ascend_inversion.py [FOLDER [PHOTO [STEPS]]]
"""

import sys
from pathlib import Path

import triscope as ts

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
photo = sys.argv[2] if len(sys.argv) > 2 else "sample:rocket"
steps = int(sys.argv[3]) if len(sys.argv) > 3 else 40

network = ts.load("pocket")

# The photo reconstructed from the activations of one layer after another, each with its relative error.
row = ts.invert(network, photo, every_stage=True, steps=steps)
for layer, error in zip(row.stages, row.errors[:, 0].tolist(), strict=True):
    print(f"{layer:14} {error:6.1%}")
print(row.save(folder / "remembered.png"))

# DeepDream: the photo is changed so that a layer responds more strongly.
print(ts.dream(network, photo, layer="features.8", steps=steps, size=320).save(folder / "dream.png"))
