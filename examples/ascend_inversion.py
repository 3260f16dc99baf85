"""What each layer remembers of a photo, and what a layer sees in it.
==================================================================

python examples/ascend_inversion.py [FOLDER [PHOTO [STEPS]]]
"""

import sys
from pathlib import Path

import triscope as ts

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
photo = sys.argv[2] if len(sys.argv) > 2 else "sample:rocket"
steps = int(sys.argv[3]) if len(sys.argv) > 3 else 40

network = ts.load("pocket")

# The photo drawn again from the activations of one layer after another, each with the error that is left.
row = ts.invert(network, photo, every_stage=True, steps=steps)
for layer, error in zip(row.stages, row.errors[:, 0].tolist(), strict=True):
    print(f"{layer:14} {error:6.1%}")
print(row.save(folder / "remembered.png"))

# And the other way round: what a layer is ready to see, put into the photo.
print(ts.dream(network, photo, layer="features.8", steps=steps, size=320).save(folder / "dream.png"))
