"""Style transfer with different initial images, layers and content weights; and a seamless tile.
==============================================================================================

python examples/style_choices.py [FOLDER [CONTENT [STYLE [STEPS [NETWORK [WEIGHTS]]]]]]
"""

import sys
from pathlib import Path

import torch

import triscope as ts

words = dict(enumerate(sys.argv))
folder, steps = Path(words.get(1, ".")), int(words.get(4, 12))
content, style = words.get(2, "sample:cat"), words.get(3, "sample:brick")
network = ts.load(words.get(5, "pocket"), weights=words.get(6))
size = 160 if network.name == "pocket" else 256
names = ts.stylize(network, content, style, size=size, steps=1).layers

rows = {
    # Initialised with the content or with noise.
    "start": [{"start": start} for start in ("content", "noise")],
    # From the first style layer alone to all of them.
    "layers": [{"layers": ",".join(names[: number + 1])} for number in range(len(names))],
    # A tenth of the default content weight, the default, and ten times the default.
    "content": [{"content_weight": weight} for weight in (0.005, 0.05, 0.5)],
}
for name, choices in rows.items():
    made = [ts.stylize(network, content, style, size=size, steps=steps, **choice) for choice in choices]
    errors = ", ".join(f"{one.errors.mean():.3f}" for one in made)
    print(ts.Picture(torch.cat([one.values for one in made])).save(folder / f"{name}.png"), errors)

tile = ts.texture(network, style, size=96, steps=steps, tile=True)
print(ts.Picture(tile.values.repeat(1, 1, 2, 2)).save(folder / "tiled.png"))
