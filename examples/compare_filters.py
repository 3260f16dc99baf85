"""First-layer filters, trained and untrained.
===========================================

python examples/compare_filters.py [FOLDER]
"""

import sys
from pathlib import Path

import triscope as ts

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
trained = ts.load("pocket")
untrained = ts.load("pocket", weights="random", seed=0)

both = ts.filters([trained, untrained])
print(f"trained on the left, untrained on the right. {both.note}")
print(both.save(folder / "filters.png"))

# Random filters are noise; training makes them smooth.
for name, network in (("trained", trained), ("untrained", untrained)):
    weights = ts.filters(network).values
    step = (weights[..., 1:] - weights[..., :-1]).square().mean() / weights.var()
    print(f"{name}: squared difference of neighbours is {step.item():.2f} of the variance (2 for pure noise)")
