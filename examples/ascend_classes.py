"""What would raise three classes, and a channel inside: pictures made from noise.
===============================================================================

python examples/ascend_classes.py [FOLDER [STEPS]]
"""

import sys
from pathlib import Path

import triscope as ts

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 64

network = ts.load("pocket")

# One question per picture: a batch is as many climbs, and each comes out as it would alone.
for step in ts.ascend.steps(network, ts.Logit(["goldfish", "zebra", "espresso"]), steps=steps):
    if step.index % 32 == 0:
        print(f"step {step.index} of {step.total}: {step.score:.1f}")
print(step.result.save(folder / "classes.png"))

# A channel of the last convolution, four times, each picture pushed away from the others.
print(ts.ascend(network, "features.10:42", steps=steps, diverse=4, size=128).save(folder / "channel.png"))
