"""What activates the strongest neuron of a layer.
===============================================

python examples/inner_neuron.py [FOLDER]
"""

import sys
from pathlib import Path

import torch

import triscope as ts

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
photo = "sample:cat"
network = ts.load("pocket")
seen = network.prepare(photo)

for layer in ("features.4", "features.7", "features.11"):
    with torch.no_grad():
        volume = network.look(seen.images, [layer])[ts.Need(layer)][0]
    channel, row, col = (int(index) for index in torch.unravel_index(volume.argmax(), volume.shape))
    neuron = ts.Neuron(layer, channel, row, col)
    field = network.layer(layer).receptive_field
    found = ts.guided_backprop(network, seen, neuron)
    path = found.side_by_side().save(folder / f"neuron-{layer}.png")
    print(f"{neuron}: receptive field {field}, activation {volume.max():.1f}: {path}")
