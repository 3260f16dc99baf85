"""Every classification network of torchvision, untrained: layers, saliency and one inner unit."""

import pytest
import torch

import triscope as ts
from triscope.network.loading._torchvision import import_torchvision

models = import_torchvision().models
EVERY = models.list_models(module=models)
FAMILIES = {  # the smallest of a dozen families; the others in the slow run
    "alexnet",
    "efficientnet_b0",
    "googlenet",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "vit_b_32",
}


def test_there_are_as_many_as_torchvision_says():
    assert set(EVERY) >= FAMILIES
    assert len(EVERY) > 70


@pytest.mark.parametrize(
    "name", [name if name in FAMILIES else pytest.param(name, marks=pytest.mark.slow) for name in EVERY]
)
def test_a_network_of_torchvision_can_be_asked(name):
    network = ts.load(name, weights="random")
    wake(network.module)
    check_layers(network)
    image = torch.rand(1, 3, *size_of_image(network))
    check_saliency(network, image)
    check_inner_unit(network, image)


def wake(module):
    """Some families start with a classifier of zeros, through which nothing can be seen."""
    for weight in module.parameters():
        if weight.ndim == 2 and not weight.any():
            torch.nn.init.normal_(weight, std=0.02)


def size_of_image(network):
    """Half the published size, to save time; transformers take no other than theirs."""
    if network.name.startswith(("vit", "swin", "maxvit")):
        return network.size
    return tuple(max(96, side // 64 * 32) for side in network.size)


def check_layers(network):
    layers = network.layers
    assert layers["output"].shape == (1000,)
    assert len(layers) > 15
    parameters = sum(value.numel() for value in network.module.parameters())
    assert layers["output"].parameters == parameters
    first = next(layer for layer in layers.values() if layer.type == "Conv2d")
    convolution = network.module.get_submodule(first.name)
    assert first.shape[0] == first.channels == convolution.out_channels
    assert first.receptive_field.rows.size == convolution.kernel_size[0]


def check_saliency(network, image):
    heat = ts.saliency(network, image)
    assert heat.values.shape == (1, 1, *image.shape[2:])
    assert heat.values.isfinite().all()
    assert heat.values.min() >= 0
    assert heat.values.any()
    assert heat.asked == (network.class_name(int(heat.objective.classes)),)


def check_inner_unit(network, image):
    """Asked of the strongest channel of the layer in the middle of those that are maps."""
    layers = [layer for layer in network.layers.values() if layer.layout.kind in ("maps", "maps-last", "tokens")]
    middle = layers[len(layers) // 2]
    with torch.no_grad():
        volume = network.look(image, [middle.name])[ts.Need(middle.name)]
    assert volume.shape[1] == middle.channels
    assert volume.ndim == 4
    unit = ts.Channel(middle.name, int(volume.mean((2, 3)).argmax(1)))
    found = ts.gradient(network, image, unit)
    torch.testing.assert_close(found.scores, volume.mean((2, 3))[:, unit.index], rtol=1e-3, atol=1e-4)
    assert found.values.isfinite().all()
    assert found.values.any()
