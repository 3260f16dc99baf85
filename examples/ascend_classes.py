"""Gradient ascent: images that activate three classes and a channel, optimised from noise.
========================================================================================

python examples/ascend_classes.py [FOLDER [STEPS]]
"""

import sys
from pathlib import Path

import triscope as ts

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 64

network = ts.load("pocket")

# One objective per image: a batch is optimised together, and each image is the same as it would be alone.
for step in ts.ascend.steps(network, ts.Logit(["goldfish", "zebra", "espresso"]), steps=steps):
    if step.index % 32 == 0:
        print(f"step {step.index} of {step.total}: {step.score:.1f}")
print(step.result.save(folder / "classes.png"))

# Four diverse images for one channel of the last convolution.
print(ts.ascend(network, "features.10:42", steps=steps, diverse=4, size=128).save(folder / "channel.png"))
