"""Saliency for the top class and for another class.
=================================================

python examples/where.py [FOLDER [PHOTO]]
"""

import sys
from pathlib import Path

import triscope as ts

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
photo = sys.argv[2] if len(sys.argv) > 2 else "sample:rocket"

network = ts.load("pocket")
print(ts.predict(network, photo, k=3))

# Without an objective, the image's top class is explained; the result says which one it was.
heat = ts.saliency(network, photo)
print(f"the pixels that {heat.asked[0]!r} (logit {heat.scores.item():.1f}) depends on:")
print(heat.side_by_side().save(folder / "where.png"))

# The same for another class: does the map depend on the class, or only on what stands out?
other = ts.saliency(network, photo, "tabby")
print(other.side_by_side().save(folder / "where-tabby.png"))
alike = (heat.values * other.values).sum() / (heat.values.norm() * other.values.norm())
print(f"cosine of the two maps: {alike.item():.2f}")
