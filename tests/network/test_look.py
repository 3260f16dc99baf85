"""look(): one pass for any number of needs, stopped after the deepest; what it shows is what the module computed."""

import copy
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import triscope as ts
from tests import nets
from triscope.errors import LayerNotFound, NetworkError

CALLS: Counter[str] = Counter()


class Counted(nn.Module):
    """Passes on what the module inside makes, and counts."""

    def __init__(self, name, inside):
        super().__init__()
        self.name, self.inside = name, inside

    def forward(self, x):
        CALLS[self.name] += 1
        return self.inside(x)


@pytest.fixture
def counted():
    CALLS.clear()
    parts = nets.fill(nets.cnn(norm=False))
    return nets.network(nn.Sequential(*(Counted(name, part) for name, part in parts.named_children())))


def expected(module, images, stop):
    """What the part `stop` of a Sequential computes, with nothing written in place afterwards."""
    x = nets.Normalise()(images)
    for name, part in module.eval().named_children():
        x = part(x)
        if name == stop:
            return x.detach()
    raise AssertionError(stop)


def test_one_pass_for_many_needs_and_a_stop_after_the_deepest(counted):
    assert len(counted.layers) > 3
    counted.look(torch.rand(2, 3, 5, 7), ["0"])  # whether it mixes its images is found out once
    CALLS.clear()
    needs = [ts.Need("0"), ts.Need("3"), ts.Need("3", "mean"), ts.Need("1", "max"), ts.Need("0.inside"), "input"]
    look = counted.look(torch.rand(2, 3, 5, 7), needs)
    assert CALLS == {"0": 1, "1": 1, "2": 1, "3": 1}
    assert [look[need].shape for need in needs[:5]] == [(2, 8, 5, 7), (2, 6, 5, 7), (2, 6), (2, 8), (2, 8, 5, 7)]
    assert CALLS == {"0": 1, "1": 1, "2": 1, "3": 1}


def test_the_output_needs_the_whole_pass_once(counted):
    counted.layers  # noqa: B018 - found once
    CALLS.clear()
    counted.look(torch.rand(1, 3, 5, 7), ["output", "0"])
    assert set(CALLS.values()) == {1}
    assert len(CALLS) == 9


def test_the_input_needs_no_pass(counted):
    image = torch.rand(1, 3, 5, 7)
    CALLS.clear()
    assert counted.look(image, ["input"])["input"] is image
    assert not CALLS


@pytest.mark.parametrize("verb", [ts.saliency, ts.guided_backprop])
def test_a_question_is_one_pass_stopped_at_its_layer(counted, verb):
    verb(counted, torch.rand(1, 3, 5, 7), "3:2")
    CALLS.clear()
    verb(counted, torch.rand(1, 3, 5, 7), ts.Channel("3", 2) - ts.Neuron("0", 1, 2, 3) + ts.Energy("2"))
    assert CALLS == {"0": 1, "1": 1, "2": 1, "3": 1}


def test_activations_survive_the_in_place_operations_that_follow():
    module = nets.fill(nets.cnn())
    network, images = nets.network(module), torch.rand(2, 3, 5, 7)
    names = [str(index) for index in range(9)]
    look = network.look(images, [*names, "output"])
    plain = nets.fill(nets.cnn(inplace=False))
    for name in names:
        torch.testing.assert_close(look[name], expected(plain, images, name), rtol=1e-5, atol=1e-6)
    assert (look["1"] < 0).any()  # before the ReLU that writes over it
    assert torch.equal(look["output"], look["8"])


class Writing(nn.Module):
    """Writes to what its parts gave, also behind the back of one that gave its input on."""

    def __init__(self):
        super().__init__()
        self.conv, self.same, self.head = nn.Conv2d(3, 4, 3), nn.Identity(), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        y = self.conv(x)
        z = self.same(y)
        y.relu_()
        z += 1
        out = self.head(z)
        z.zero_()
        return out.mean((2, 3))


@pytest.mark.parametrize("leaf", [None, "conv", "same"])
def test_activations_survive_writing_through_another_name(leaf):
    module = nets.fill(Writing())
    images = torch.rand(2, 3, 5, 7)
    look = nets.network(module).look(images, ["conv", "same", "head"], leaf=leaf)
    made = module.conv(nets.Normalise()(images))
    torch.testing.assert_close(look["conv"], made)
    torch.testing.assert_close(look["same"], made)
    if leaf == "conv":
        assert look.leaf is not None
        assert look["head"].requires_grad


class Shared(nn.Module):
    """One ReLU called twice, one convolution under two names."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.also = nn.ModuleDict({"one": self.one, "relu": self.relu})

    def forward(self, x):
        return self.relu(self.two(self.relu(self.one(x)))).mean((2, 3))


def test_a_layer_called_several_times_is_named_per_call():
    module, images = nets.fill(Shared()), torch.rand(2, 3, 5, 7)
    network = nets.network(module)
    assert list(network.layers) == ["one", "relu~1", "two", "relu~2", "output"]
    look = network.look(images, ["relu~2", "relu~1"])
    first = module.one(nets.Normalise()(images)).relu()
    torch.testing.assert_close(look["relu~1"], first)
    torch.testing.assert_close(look["relu~2"], module.two(first).relu())
    with pytest.raises(LayerNotFound, match=r"relu of Shared is called 2 times; say which: relu~1, relu~2\."):
        network.look(images, ["relu"])
    with pytest.raises(LayerNotFound, match=r"also.relu of Shared is called 2 times; say which: relu~1, relu~2\."):
        ts.saliency(network, images, "also.relu:3")
    found = ts.gradient(network, images, "relu~2:3", at="relu~1")
    assert found.values.shape == (2, 6, 3, 5)


def test_another_name_of_a_layer_is_understood():
    module, images = nets.fill(Shared()), torch.rand(2, 3, 5, 7)
    network = nets.network(module)
    assert network.layer("also.one").name == "one"
    assert "also.one" in network.layers
    look = network.look(images, ["also.one", "one", "relu~1"])
    assert torch.equal(look["also.one"], look["one"])
    alias = ts.gradient(network, images, "relu~2:3", at="also.one")
    assert torch.equal(alias.values, ts.gradient(network, images, "relu~2:3", at="one").values)
    assert torch.equal(ts.saliency(network, images, "also.one:2").values, ts.saliency(network, images, "one:2").values)


def test_a_name_that_is_not_there_says_what_is_near():
    network = nets.network(nets.torchvision("squeezenet1_1", dtype=torch.float32), size=(64, 64))
    with pytest.raises(LayerNotFound, match=r"no layer 'features.3.squeze'. Nearest: features.3.squeeze, "):
        network.layer("features.3.squeze")
    with pytest.raises(LayerNotFound, match="`layers` lists all of them"):
        network.look(torch.rand(1, 3, 64, 64), ["nothing of the kind"])
    with pytest.raises(LayerNotFound, match="has no layer 'relu~3'"):
        nets.network(nets.fill(Shared())).layer("relu~3")


class Reserved(nn.Module):
    """Calls its parts what we call the image and the result."""

    def __init__(self):
        super().__init__()
        self.input, self.output = nn.Conv2d(3, 6, 3), nn.Linear(6, 4)

    def forward(self, x):
        return self.output(self.input(x).relu().mean((2, 3))).neg()


def test_modules_called_input_and_output():
    module, images = nets.fill(Reserved()), torch.rand(2, 3, 5, 7)
    network = nets.network(module)
    assert list(network.layers) == ["self.input", "self.output", "output"]
    look = network.look(images, ["input", "self.input", "self.output", "output"])
    assert torch.equal(look["input"], images)
    torch.testing.assert_close(look["self.input"], module.input(nets.Normalise()(images)))
    assert torch.equal(look["output"], -look["self.output"])
    assert ts.saliency(network, images).values.shape == (2, 1, 5, 7)
    assert ts.saliency(network, images, "self.input:2").values.any()
    assert ts.filters(network, "self.input").values.shape == (6, 3, 3, 3)


@pytest.mark.parametrize("at", ["input", "0", "1", "2", "3", "output"])
def test_gradients_at_a_layer_are_those_of_autograd(at):
    """And only there: the layers before it get none."""
    module = nets.fill(nets.cnn(inplace=False)).double().eval()
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    network = nets.network(nets.fill(nets.cnn()).double())
    found = ts.gradient(network, images, ts.Logit(3, form="probability"), at=at)
    kept, x = {}, images.clone().requires_grad_()
    kept["input"] = x
    x = nets.Normalise()(x)
    for name, part in module.named_children():
        x = kept[name] = part(x)
    kept["output"] = x
    (wanted,) = torch.autograd.grad(x.softmax(1)[:, 3].sum(), kept[at])
    torch.testing.assert_close(found.values, wanted, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(found.activations, kept[at].detach(), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.scores, x.softmax(1)[:, 3].detach(), rtol=1e-10, atol=0)


def test_a_layer_after_the_unit_is_refused():
    network, images = nets.network(nets.fill(nets.cnn())), torch.rand(2, 3, 5, 7)
    for at in ("4", "output"):
        with pytest.raises(NetworkError, match=rf"3:2 \(which reads 3\) does not depend on {at} of Sequential"):
            ts.gradient(network, images, "3:2", at=at)
    with pytest.raises(NetworkError, match="does not depend on 4"):
        ts.gradient(network, images.requires_grad_(), "3:2", at="4")
    with pytest.raises(LayerNotFound):
        ts.gradient(network, images, "3:2", at="none")


def test_a_silent_unit_is_said_to_be_silent():
    module = nets.fill(nets.cnn())
    module[3].bias.data.fill_(-100)
    with pytest.warns(ts.TriscopeWarning, match="zero everywhere"):
        heat = ts.saliency(nets.network(module), torch.rand(1, 3, 5, 7), "4:2")
    assert not heat.values.any()


class Inside(nn.Module):
    """Its result is not (B, K), as that of a segmenter or a detector."""

    def __init__(self, wrap):
        super().__init__()
        self.conv, self.wrap = nn.Conv2d(3, 6, 3), wrap

    def forward(self, x):
        return self.wrap(self.conv(x).relu())


RESULTS = {
    "maps": (lambda y: y, r"gives 6 x 3 x 5 numbers .* not one score per class: use a unit of its output"),
    "dict of maps": (lambda y: {"out": y}, "gives 6 x 3 x 5 numbers"),
    "tuple": (lambda y: (y, y.mean((2, 3))), r"returns 0 \(6 x 3 x 5\), 1 \(6\); say which is the output"),
    "one number": (lambda y: y.mean(), "one number for all images together"),
    "nothing": (lambda y: None, "returns a NoneType without any tensor"),
}


@pytest.mark.parametrize("kind", RESULTS)
def test_a_network_that_is_no_classifier_answers_about_inner_units(kind):
    form, why = RESULTS[kind]
    network, images = nets.network(nets.fill(Inside(form))), torch.rand(2, 3, 5, 7)
    assert network.layers["conv"].shape == (6, 3, 5)
    assert ts.saliency(network, images, "conv:2").values.shape == (2, 1, 5, 7)
    asking = [lambda: ts.saliency(network, images, 0)]
    asking += [] if "maps" in kind else [lambda: ts.saliency(network, images), lambda: ts.predict(network, images)]
    for ask in asking:
        with pytest.raises(NetworkError, match=why):
            ask()
    if kind in ("tuple", "one number", "nothing"):
        with pytest.raises(NetworkError, match="has no usable output"):
            network.look(images, ["output"])
    else:
        assert network.look(images, ["output"])["output"].shape == (2, 6, 3, 5)


class Choosing(nn.Module):
    """Runs a part only for bright images."""

    def __init__(self):
        super().__init__()
        self.conv, self.dark, self.bright = nn.Conv2d(3, 4, 3), nn.Identity(), nn.Identity()

    def forward(self, x):
        y = self.conv(x)
        return (self.bright(y) if x.mean() >= 0.4 else self.dark(y)).mean((2, 3))


def test_a_layer_that_did_not_run_is_said_so():
    network = nets.network(nets.fill(Choosing()), mean=None, std=None)
    assert network.look(torch.full((1, 3, 5, 7), 0.9), ["bright"])["bright"].shape == (1, 4, 3, 5)
    with pytest.raises(NetworkError, match="did not compute bright for this image"):
        network.look(torch.full((1, 3, 5, 7), 0.1), ["bright"])


def test_images_the_network_cannot_take_are_refused_in_a_sentence():
    flat = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 3 * 5, 2))
    network = nets.network(nets.fill(flat))
    assert ts.saliency(network, torch.rand(1, 3, 5, 7), 1).values.shape == (1, 1, 5, 7)
    with pytest.raises(
        NetworkError, match=r"cannot run on an image of 9 x 7 pixels .* It runs on its usual size, 5 x 7"
    ):
        ts.saliency(network, torch.rand(1, 3, 9, 7), 1)
    with pytest.raises(NetworkError, match=r"state it: Network\(\.\.\., size=\)"):
        nets.network(nets.fill(flat), size=(8, 8)).layers  # noqa: B018
    with pytest.raises(NetworkError, match="reads images of 3 channels; these have 1"):
        network.look(torch.rand(1, 1, 5, 7), ["0"])
    with pytest.raises(NetworkError, match=r"images \(B, C, H, W\); these are \(3, 5, 7\)"):
        network.look(torch.rand(3, 5, 7), ["0"])


@pytest.mark.parametrize("bad", [{"mean": (0.5,)}, {"std": (1, 0, 1)}, {"mean": (0.5, 0.5)}])
def test_statistics_that_do_not_fit_are_refused(bad):
    with pytest.raises(NetworkError, match="one number per channel, or one for all, and std must be positive"):
        nets.network(nets.cnn(), **bad)


def test_vectors_and_pooling():
    module, images = nets.fill(nets.cnn()), torch.rand(2, 3, 5, 7)
    network = nets.network(module)
    assert network.layer("8").shape == (5,)
    assert network.layer("8").channels == 5
    look = network.look(
        images, [ts.Need("8"), ts.Need("8", "mean"), ts.Need("3", "mean"), ts.Need("3", "max"), ts.Need("3")]
    )
    assert torch.equal(look[ts.Need("8", "mean")], look["8"])
    torch.testing.assert_close(look[ts.Need("3", "mean")], look["3"].mean((2, 3)))
    assert torch.equal(look[ts.Need("3", "max")], look["3"].flatten(2).amax(2))
    assert len(look) == 5
    assert set(look) == {ts.Need("8"), ts.Need("8", "mean"), ts.Need("3", "mean"), ts.Need("3", "max"), ts.Need("3")}


def test_functional_softmax_is_not_needed_for_probabilities():
    network, images = nets.network(), torch.rand(2, 3, 5, 7)
    output = network.look(images, ["output"])["output"]
    assert torch.allclose(ts.predict(network, images, k=5).values.sum(1), torch.ones(2))
    best = F.softmax(output, 1).max(1)
    assert torch.equal(ts.predict(network, images, k=1).values[:, 0], best.values)


def test_gradients_at_several_layers_at_once_are_those_at_each():
    """Also where one lies on the way to another; nothing is tracked before the first of them."""
    module = nets.fill(nets.PreActivation()).double()
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    network = nets.network(module)
    names = ["stem", "relu~1", "inside", "relu~2", "output"]
    look = network.look(images, ["output"], leaf=names)
    together = torch.autograd.grad(look["output"][:, 1].sum(), list(look.leaves.values()))
    for name, found in zip(names, together, strict=True):
        torch.testing.assert_close(found, ts.gradient(network, images, 1, at=name).values)
    assert list(look.leaves) == names
    assert look.leaves["stem"].is_leaf
    assert not look["input"].requires_grad


def test_an_edit_changes_what_follows_and_nothing_else():
    module, images = nets.fill(nets.cnn()).eval(), torch.rand(2, 3, 5, 7)
    network = nets.network(module)
    before = network.look(images, ["0", "3", "output"])
    look = network.look(images, ["0", "3", "output"], edits={"3": lambda values: values * 0})
    assert torch.equal(look["0"], before["0"])
    assert not look["3"].any()
    torch.testing.assert_close(look["output"], module[8].bias.expand(2, -1))
    unseen = network.look(images, ["output"], edits={"3": lambda values: values * 0})
    assert torch.equal(unseen["output"], look["output"])
    assert torch.equal(network.look(images, ["output"])["output"], before["output"])


def test_an_edit_may_fan_one_image_out_into_several():
    network, image = nets.network(), torch.rand(1, 3, 5, 7)
    scales = torch.tensor([0.0, 1.0, 2.0]).view(3, 1, 1, 1)
    look = network.look(image, ["4", "output"], edits={"2": lambda values: values * scales})
    assert look["4"].shape == (3, 6, 5, 7)
    torch.testing.assert_close(look["output"][1:2], network.look(image, ["output"])["output"])


class Tokens(nn.Module):
    """Maps, a normalisation, and tokens that are mixed: what comes back to the normalisation has its channels last."""

    def __init__(self, norm):
        super().__init__()
        self.conv, self.norm, self.mix, self.head = nn.Conv2d(3, 6, 1), norm, nn.Linear(6, 6), nn.Linear(6, 4)

    def forward(self, x):
        tokens = self.norm(self.conv(x)).flatten(2).permute(0, 2, 1)
        mixed = self.mix(tokens.flatten(0, 1)).tanh().view(len(x), -1, 6)
        return self.head((tokens * mixed.softmax(1)).sum(1))


class Wrapped(nn.Module):
    """A normalisation that a module of the user's calls as a function."""

    def __init__(self, function):
        super().__init__()
        self.kept, self.function = nn.BatchNorm2d(6), function

    def forward(self, x):
        return self.function(x, self.kept)


NORMS = {
    "batch": nn.BatchNorm2d(6),
    "instance": nn.InstanceNorm2d(6),
    "batch, by function": Wrapped(
        lambda x, norm: F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    ),
    "batch, by torch's function": Wrapped(
        lambda x, norm: torch.batch_norm(
            x, norm.weight, norm.bias, norm.running_mean, norm.running_var, False, 0.1, 1e-5, False
        )
    ),
    "instance, by function": Wrapped(lambda x, norm: F.instance_norm(x, weight=norm.weight, bias=norm.bias)),
}


@pytest.mark.parametrize("first", ["layers", "an inner unit", "nothing"])
@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
def test_the_gradient_of_a_single_picture_is_that_of_the_same_picture_among_others(norm, first):
    module = nets.fill(Tokens(copy.deepcopy(norm))).double()
    network, images = nets.network(module), torch.rand(3, 3, 5, 7, dtype=torch.float64)
    if first == "layers":
        _ = network.layers
    elif first == "an inner unit":
        ts.gradient(network, images[:1], ts.Channel("conv", 1))
    together = ts.gradient(network, images, 2).values
    for place in range(3):
        alone = ts.gradient(network, images[place : place + 1], 2).values
        torch.testing.assert_close(alone[0], together[place])
