"""Class activation maps against pytorch-grad-cam and Captum, in float64, and against their papers, written slowly."""

import copy
import importlib
import warnings

import captum.attr
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import triscope as ts
from tests import nets
from triscope.errors import NetworkError, TriscopeWarning
from triscope.network.loading._torchvision import import_torchvision
from triscope.network.stages import maps_before

CLASSES = [3, 17]
LAYERS = {"alexnet": "features.11", "resnet18": "layer4.1", "squeezenet1_1": "features.12"}
THEIRS = {
    "gradient": "GradCAM",
    "gradient++": "GradCAMPlusPlus",
    "hires": "HiResCAM",
    "layer": "LayerCAM",
    "ablation": "AblationCAM",
    "score": "ScoreCAM",
}


@pytest.fixture(scope="module", params=LAYERS)
def published(request):
    """A network, its layer, and two images."""
    module = nets.torchvision(request.param)
    images = torch.rand(2, 3, 64, 66, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return module, LAYERS[request.param], images


def wrapped(module):
    """The module behind normalisation, which must not be shared with others: they write to it."""
    return nn.Sequential(nets.Normalise(), copy.deepcopy(module)).eval()


def pytorch_grad_cam():
    """The package, once torchvision has been imported in the way that works everywhere."""
    import_torchvision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("pytorch_grad_cam")


def their_map(name, module, layer, images):
    """The weighted sum of theirs, before it is stretched to its own range."""
    package = pytorch_grad_cam()
    model = wrapped(module)
    for part in model.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False  # their hooks keep what an in-place ReLU would overwrite
    part = model[1].get_submodule(layer)
    targets = [package.utils.model_targets.ClassifierOutputTarget(index) for index in CLASSES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cam = getattr(package, name)(model=model, target_layers=[part])
        store = cam.activations_and_grads
        output = store(images)
        sum(target(row) for target, row in zip(targets, output, strict=True)).backward()
        found = store.activations[0].numpy(), store.gradients[0].numpy()
        return torch.from_numpy(np.asarray(cam.get_cam_image(images, part, targets, *found, False)))[:, None]


def enlarged(maps, images):
    return F.interpolate(maps, images.shape[-2:], mode="bilinear", align_corners=False)


def close(found, wanted, tolerance=1e-5):
    assert wanted.abs().max() > 0
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


@pytest.mark.parametrize("weights", ["gradient", "gradient++", "hires", "layer"])
def test_equals_pytorch_grad_cam(published, weights):
    module, layer, images = published
    network = nets.network(module, size=(64, 66))
    theirs = their_map(THEIRS[weights], module, layer, images)
    ours = ts.grad_cam(network, images, ts.Logit(CLASSES), layer=layer, weights=weights)
    close(ours.values, enlarged(theirs.relu(), images))
    signed = ts.grad_cam(network, images, ts.Logit(CLASSES), layer=layer, weights=weights, relu=False)
    close(signed.values, enlarged(theirs, images))


@pytest.mark.slow
def test_ablation_equals_pytorch_grad_cam(published):
    """Theirs is divided by the score, and its scores are rounded to float32."""
    module, layer, images = published
    network = nets.network(module, size=(64, 66))
    theirs = their_map("AblationCAM", module, layer, images)
    ours = ts.grad_cam(network, images, ts.Logit(CLASSES), layer=layer, weights="ablation", relu=False)
    close(ours.values / ours.scores.view(-1, 1, 1, 1), enlarged(theirs, images), 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("published", ["alexnet", "squeezenet1_1"], indirect=True)
def test_score_equals_pytorch_grad_cam(published, monkeypatch):
    """Theirs enlarges maps with their corners on the image's; ours as every other map is enlarged."""
    module, layer, images = published
    monkeypatch.setattr(nn, "UpsamplingBilinear2d", lambda size: nn.Upsample(size, mode="bilinear"))
    network = nets.network(module, size=(64, 66))
    images = images.clone()
    theirs = their_map("ScoreCAM", nn.Sequential(nn.Identity(), module), f"1.{layer}", images)
    ours = ts.grad_cam(network, images, ts.Logit(CLASSES), layer=layer, weights="score")
    close(ours.values, enlarged(theirs.relu(), images), 1e-4)


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks:UserWarning")
def test_equals_captum_at_the_layer(published):
    module, layer, images = published
    model = wrapped(module)
    theirs = captum.attr.LayerGradCam(model, model[1].get_submodule(layer)).attribute(images, target=CLASSES)
    ours = ts.grad_cam(nets.network(module, size=(64, 66)), images, ts.Logit(CLASSES), layer=layer, relu=False)
    close(ours.values, enlarged(theirs.detach(), images))


@pytest.mark.filterwarnings("ignore:Setting (forward, )?backward hooks:UserWarning", "ignore:Input Tensor:UserWarning")
def test_guided_grad_cam_equals_captum(published):
    module, layer, images = published
    model = wrapped(module)
    for part in model.modules():
        if isinstance(part, nn.ReLU):
            part.inplace = False
    theirs = captum.attr.GuidedGradCam(model, model[1].get_submodule(layer)).attribute(
        images.clone().requires_grad_(), target=CLASSES, interpolate_mode="bilinear"
    )
    ours = ts.guided_grad_cam(nets.network(module, size=(64, 66)), images, ts.Logit(CLASSES), layer=layer)
    close(ours.values, theirs.detach())


def tiny():
    """A network whose maps go below zero, one image, and its layer's activations and gradients by autograd."""
    module = nets.fill(nets.cnn(inplace=False)).double().eval()
    image = torch.rand(1, 3, 5, 7, dtype=torch.float64)
    maps = module[:4](nets.Normalise()(image)).detach().requires_grad_()
    module[4:](maps)[0, 1].backward()
    return module, image, maps.detach(), maps.grad


def drawn(module, image, weights, **options):
    return ts.grad_cam(nets.network(module), image, 1, layer="3", weights=weights, relu=False, **options).values[0, 0]


def test_grad_cam_pp_written_slowly():
    module, image, maps, gradient = tiny()
    wanted = torch.zeros(5, 7, dtype=torch.float64)
    for k in range(6):
        weight = 0.0
        for i in range(5):
            for j in range(7):
                g = gradient[0, k, i, j]
                if g != 0:
                    weight += g**2 / (2 * g**2 + maps[0, k].sum() * g**3 + 1e-6) * max(g, 0)
        wanted += weight * maps[0, k]
    close(drawn(module, image, "gradient++"), wanted, 1e-9)


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_ablation_written_slowly(batch_size):
    module, image, maps, _ = tiny()
    score = module[4:](maps)[0, 1]
    wanted = torch.zeros(5, 7, dtype=torch.float64)
    for k in range(6):
        without = maps.clone()
        without[0, k] = 0
        wanted += (score - module[4:](without)[0, 1]).detach() * maps[0, k]
    close(drawn(module, image, "ablation", batch_size=batch_size), wanted, 1e-9)


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_score_written_slowly(batch_size):
    module, image, maps, _ = tiny()
    scores = []
    for k in range(6):
        mask = (maps[0, k] - maps[0, k].min()) / (maps[0, k].max() - maps[0, k].min())
        scores.append(module(nets.Normalise()(image * mask))[0, 1].detach())
    weights = torch.stack(scores).exp() / torch.stack(scores).exp().sum()
    close(drawn(module, image, "score", batch_size=batch_size), torch.einsum("k,khw->hw", weights, maps[0]), 1e-9)


def test_eigen_written_slowly():
    module, image, maps, _ = tiny()
    rows = maps[0].flatten(1).T.numpy()
    values, vectors = np.linalg.eigh(rows.T @ rows)  # the right singular vectors of the rows
    wanted = torch.from_numpy(rows @ vectors[:, values.argmax()]).view(5, 7)
    close(drawn(module, image, "eigen"), wanted * wanted.sum().sign(), 1e-9)


def test_eigen_equals_pytorch_grad_cam():
    """Theirs takes off the mean over places; with every place's opposite added, there is none to take off."""
    pytorch_grad_cam()
    svd = importlib.import_module("pytorch_grad_cam.utils.svd_on_activations")
    module, image, maps, _ = tiny()
    theirs = torch.from_numpy(svd.get_2d_projection(torch.cat([maps, -maps], 2).numpy()))[0, :5].double()
    close(drawn(module, image, "eigen"), theirs * theirs.sum().sign(), 1e-5)


def test_eigen_does_not_depend_on_the_class_and_says_so():
    network, image = nets.network(), torch.rand(1, 3, 5, 7)
    one, other = (ts.grad_cam(network, image, index, weights="eigen") for index in (1, 2))
    assert torch.equal(one.values, other.values)
    assert any("the same for every unit" in note for note in one.notes)
    assert not any("every unit" in note for note in ts.grad_cam(network, image, 1).notes)


class Around(nn.Module):
    """What goes around the layer is joined to it, so that one image cannot become several there."""

    def __init__(self):
        super().__init__()
        self.stem, self.inside, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1), nn.Conv2d(8, 5, 1)

    def forward(self, x):
        x = self.stem(x)
        return self.head(torch.cat([x, self.inside(x).relu()], 1)).mean((2, 3))


class Flattening(nn.Module):
    """Remembers how many images it was given, and would mix several that have become of one."""

    def __init__(self):
        super().__init__()
        self.inside, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x):
        count = len(x)
        x = self.inside(x).relu().transpose(0, 1)
        return self.head(x.reshape(4, count, -1).mean(2).T)


@pytest.mark.parametrize("kind", [Around, Flattening])
def test_leaving_out_maps_where_one_image_cannot_become_several(kind):
    module, images = nets.fill(kind()).double(), torch.rand(2, 3, 5, 7, dtype=torch.float64)
    network = nets.network(module)
    ours = ts.grad_cam(network, images, ts.Logit([1, 3]), layer="inside", weights="ablation", relu=False)
    seen = network.look(images, ["inside", "output"])
    small = torch.zeros(2, 1, 3, 5, dtype=torch.float64)
    for image, index in enumerate([1, 3]):
        for k in range(4):
            keep = torch.ones(4, 1, 1, dtype=torch.float64)
            keep[k] = 0
            without = network.look(images[image][None], ["output"], edits={"inside": lambda values, m=keep: values * m})
            drop = seen["output"][image, index] - without["output"][0, index]
            small[image, 0] += drop * seen["inside"][image, k]
    close(ours.values, enlarged(small, images), 1e-9)


@pytest.mark.parametrize(
    ("name", "size", "layer"),
    [
        ("alexnet", 64, "features.11"),
        ("vgg11_bn", 64, "features.27"),
        ("resnet18", 64, "layer4.1"),
        ("squeezenet1_1", 64, "features.12"),
        ("densenet121", 64, "features.norm5"),
        ("googlenet", 64, "inception5b"),
        ("mobilenet_v3_small", 64, "features.12"),
        ("efficientnet_b0", 64, "features.8"),
        ("shufflenet_v2_x0_5", 64, "conv5.2"),
        ("convnext_tiny", 64, "features.7.2"),
        ("swin_t", 224, "norm"),
        ("vit_b_32", 224, "encoder.layers.encoder_layer_11.ln_1"),
    ],
)
def test_the_layer_that_is_taken_without_one(name, size, layer):
    """The last whole step before the answer; of a transformer whose answer is read off a class token, a late one."""
    network = nets.network(nets.torchvision(name, dtype=torch.float32), size=(size, size))
    heat = ts.grad_cam(network, torch.rand(1, 3, size, size), 3, relu=False)
    assert heat.notes[0].startswith(f"Made of {layer} (")
    assert heat.values.any()
    named = ts.grad_cam(network, heat.image, 3, layer=layer, relu=False)
    assert torch.equal(named.values, heat.values)
    assert named.notes == ()


def test_the_layer_before_an_inner_unit():
    network = nets.network(nets.torchvision("squeezenet1_1", dtype=torch.float32), size=(64, 64))
    assert maps_before(network, ["features.4"])[0] == "features.3"
    assert maps_before(network, ["features.4.expand1x1"])[0] == "features.4.squeeze_activation"
    assert maps_before(network, ["features.4", "output"])[0] == "features.3"
    heat = ts.grad_cam(network, torch.rand(1, 3, 64, 64), "features.4.expand1x1:7")
    assert heat.notes[0].startswith("Made of features.4.squeeze_activation (")
    with pytest.raises(NetworkError, match=r"No layer of SqueezeNet before features\.0:3"):
        ts.grad_cam(network, torch.rand(1, 3, 64, 64), "features.0:3")


def test_a_unit_of_a_branch_goes_round_the_other_branches():
    network = nets.network(nets.torchvision("googlenet", dtype=torch.float32), size=(64, 64))
    heat = ts.grad_cam(network, torch.rand(1, 3, 64, 64), "inception4a.branch2.0.conv:3")
    assert heat.notes[0].startswith("Made of maxpool3 ("), (
        "the branch beside it finishes before, and leads nowhere here"
    )


def test_tokens_are_maps_of_their_grid():
    """Grad-CAM at a layer of tokens, by hand: the class token has no place in the map."""
    module = nets.fill(nets.Tokens()).double().eval()
    image = torch.rand(1, 3, 12, 16, dtype=torch.float64)
    network = nets.network(module, size=(12, 16), tokens=(3, 4))
    tokens = module.patches(nets.Normalise()(image)).flatten(2).transpose(1, 2)
    tokens = torch.cat([module.extra, tokens], 1) + module.place
    hidden = module.block.norm1(tokens + module.block._sa_block(tokens, None, None)).detach().requires_grad_()
    last = module.block.norm2(hidden + module.block._ff_block(hidden))
    module.head(module.norm(last).mean(1))[0, 2].backward()
    maps, gradient = (x[:, 1:].transpose(1, 2).reshape(1, 8, 3, 4) for x in (hidden.detach(), hidden.grad))
    wanted = (gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True)
    heat = ts.grad_cam(network, image, 2, layer="block.norm1", relu=False)
    close(heat.values, enlarged(wanted, image), 1e-9)
    without = ts.grad_cam(network, image, 2, layer="block.norm1", weights="ablation", relu=False)
    assert without.values.any()


def test_several_layers_are_scaled_and_averaged():
    network, images = nets.network(), torch.rand(2, 3, 5, 7)
    several = ts.grad_cam(network, images, 1, layer=["0", "3"], relu=False).values
    each = [ts.grad_cam(network, images, 1, layer=name, relu=False).values for name in ("0", "3")]
    wanted = sum(one / one.abs().amax((1, 2, 3), keepdim=True) for one in each) / 2
    torch.testing.assert_close(several, wanted)


def test_a_map_is_not_made_of_what_has_no_maps():
    network, image = nets.network(), torch.rand(1, 3, 5, 7)
    with pytest.raises(NetworkError, match="8 of Sequential gives a vector"):
        ts.grad_cam(network, image, 1, layer="8")
    with pytest.raises(NetworkError, match="an inner layer, not of the input of Sequential"):
        ts.grad_cam(network, image, 1, layer="input")
    with pytest.raises(NetworkError, match="does not depend on 3 of Sequential; choose a layer that comes before"):
        ts.grad_cam(network, image, "0:2", layer="3")
    flat = nets.network(nets.linear(torch.rand(2, 3, 5, 7)))
    with pytest.raises(NetworkError, match="Use saliency or occlusion instead"):
        ts.grad_cam(flat, image, 1)


def test_a_silent_unit_is_told_of():
    module = nets.fill(nets.cnn())
    module[3].bias.data -= 1000
    with pytest.warns(TriscopeWarning, match="at 3 of Sequential is zero everywhere"):
        ts.grad_cam(nets.network(module), torch.rand(1, 3, 5, 7), "4:1")


def test_slow_weights_can_be_stopped():
    """What there is after some maps is the map of those; the last step is the whole."""
    network, image = nets.network(), torch.rand(1, 3, 5, 7)
    steps = list(ts.grad_cam.steps(network, image, 1, layer="3", weights="ablation", batch_size=1, relu=False))
    assert [(step.index, step.total) for step in steps[:2]] == [(1, 6), (2, 6)] or steps[-1].index == 6
    whole = ts.grad_cam(network, image, 1, layer="3", weights="ablation", relu=False)
    torch.testing.assert_close(steps[-1].result.values, whole.values)
    assert steps[0].result.values.shape == whole.values.shape
    assert len({step.result.values.sum().item() for step in steps}) == len(steps)
