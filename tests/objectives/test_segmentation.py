"""`Pixels` against autograd on the module, and its regions."""

import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from triscope.errors import NetworkError, ObjectiveError
from triscope.objectives.parsing import as_objective

NAMES = ("sky", "3-D glasses", "a-b")
TINY = 1e-6


class Segmenter(nn.Module):
    """Scores of three classes at half the picture's size."""

    def __init__(self, classes=3):
        super().__init__()
        self.body = nets.fill(nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Tanh(), nn.Conv2d(4, classes, 3, padding=1)))

    def forward(self, x):
        return {"out": self.body(x), "aux": x}


@pytest.fixture
def module():
    return Segmenter().double()


@pytest.fixture
def network(module):
    return ts.Network(module, size=(10, 14), classes=NAMES)


@pytest.fixture
def images():
    return torch.rand(3, 3, 10, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def by_autograd(module, images, score):
    images = images.clone().requires_grad_()
    scores = score(module(images)["out"])
    (gradient,) = torch.autograd.grad(scores.sum(), images)
    return scores.detach(), gradient


def mean_where(region):
    def score(output):
        weights = region(output).to(output)
        return (output[:, 1] * weights).sum((1, 2)) / weights.sum((1, 2))

    return score


MASK = torch.zeros(10, 14)
MASK[2:6, 4:8] = 1
BOX = torch.zeros(3, 5, 7)
BOX[:, 1:3, 2:4] = 1
REGIONS = {
    "everywhere": (None, lambda output: torch.ones(3, 5, 7)),
    "predicted": ("predicted", lambda output: output.argmax(1) == 1),
    "box": ((1, 2, 3, 4), lambda output: BOX),
    "mask at the picture's size": (MASK, lambda output: BOX),
    "mask at the output's size": (BOX[0], lambda output: BOX),
    "a mask for each": (BOX, lambda output: BOX),
}


@pytest.mark.parametrize(("where", "region"), REGIONS.values(), ids=REGIONS)
def test_a_region_of_a_class_is_what_autograd_says(module, network, images, where, region):
    scores, gradient = by_autograd(module, images, mean_where(region))
    found = ts.gradient(network, images, ts.Pixels(1, where))
    torch.testing.assert_close(found.scores, scores, atol=TINY, rtol=0)
    torch.testing.assert_close(found.values, gradient, atol=TINY, rtol=0)
    for index, one in enumerate(images):
        alone = ts.saliency(network, one[None], found.objective.of(index))
        torch.testing.assert_close(alone.values[0, 0], gradient[index].abs().amax(0), atol=TINY, rtol=0)


def test_the_top_class_is_that_of_most_pixels(module, network, images):
    output = module(images)["out"]
    most = [int(one.argmax(0).flatten().bincount(minlength=3).argmax()) for one in output]
    heat = ts.saliency(network, images)
    assert heat.recipe.objective == f"output:{'|'.join(map(str, most))}@predicted"
    assert heat.asked == tuple(str(ts.Pixels(NAMES[index], "predicted")) for index in most)
    again = ts.saliency(network, images, heat.recipe.objective)
    assert torch.equal(again.values, heat.values)
    for index in range(3):
        alone = ts.saliency(network, images[index : index + 1])
        torch.testing.assert_close(alone.values, heat[index].values)
        assert alone.recipe.objective == heat[index].recipe.objective


def test_the_region_stays_where_it_was_in_the_picture(network, images):
    """Hiding a part of the image does not move the region of the objective."""
    found = ts.occlusion(network, images[:1], ts.Pixels(1, "predicted"), window=4)
    region = network.look(images[:1], ["output"])["output"].argmax(1) == 1
    fixed = ts.occlusion(network, images[:1], ts.Pixels(1, region), window=4)
    torch.testing.assert_close(found.values, fixed.values)


def test_predict_says_shares_of_pixels(network, images):
    told = ts.predict(network, images, k=3)
    torch.testing.assert_close(told.values.sum(1), torch.ones(3))
    best = network.look(images, ["output"])["output"].argmax(1)
    for values, indices, names, one in zip(told.values, told.indices, told.names, best, strict=True):
        for share, index, name in zip(values, indices, names, strict=True):
            assert float(share) == pytest.approx(float((one == index).float().mean()))
            assert name == NAMES[index]


def test_one_class_is_predicted_above_zero(images):
    network = ts.Network(Segmenter(1).double(), size=(10, 14))
    output = network.look(images, ["output"])["output"][:, 0]
    told = ts.predict(network, images)
    torch.testing.assert_close(told.values[:, 0].double(), (output > 0).double().mean((1, 2)), check_dtype=False)
    assert ts.saliency(network, images[:1]).recipe.objective == "output:0"
    shifted = output - output.mean()
    wanted = shifted.where(shifted > 0, 0).sum((1, 2)) / (shifted > 0).sum((1, 2))
    asked = ts.Pixels(0, "predicted")
    torch.testing.assert_close(asked({ts.Need("output"): shifted[:, None]}), wanted)
    assert asked({ts.Need("output"): -torch.ones(1, 1, 2, 2)}).tolist() == [-torch.inf]


TEXTS = {
    "output:sky": ts.Pixels("sky"),
    "output:15@predicted": ts.Pixels(15, "predicted"),
    "output:sky|2@predicted": ts.Pixels(["sky", 2], "predicted"),
    "output:1|2": ts.Pixels([1, 2]),
    "output:15@10,20,50,60": ts.Pixels(15, (10, 20, 50, 60)),
    'output:"3-D glasses"@predicted': ts.Pixels("3-D glasses", "predicted"),
    'output:"a:b"': ts.Pixels("a:b"),
    "output:a-b@predicted": ts.Pixels("a-b", "predicted"),
}


@pytest.mark.parametrize("text", TEXTS)
def test_text_and_back(text):
    assert ts.unit(text) == TEXTS[text]
    assert str(TEXTS[text]) == text
    assert eval(repr(TEXTS[text]), {"Pixels": ts.Pixels}) == TEXTS[text]


def test_sums_of_pixels_have_a_text(network, images):
    asked = ts.Pixels("sky", "predicted") - 0.5 * ts.Pixels("a-b", (0, 0, 2, 2))
    assert ts.unit(str(asked)) == asked
    assert ts.unit("output:sky@predicted - 2*output:15") == ts.Pixels("sky", "predicted") - 2 * ts.Channel("output", 15)
    assert ts.saliency(network, images, str(asked)).asked[0] == str(asked)


def test_a_channel_of_the_output_is_the_class_everywhere(network, images):
    assert as_objective("output:1") == ts.Channel("output", 1)
    assert str(ts.Pixels(1)) == "output:1"
    torch.testing.assert_close(
        ts.saliency(network, images, ts.Pixels(1)).values, ts.saliency(network, images, "output:1").values
    )
    assert as_objective("output:1@2,3") == ts.Neuron("output", 1, 2, 3)


def test_what_cannot_be_asked_is_said(network, images):
    for where in ((3, 1, 2, 4), "here", (1, 2, 3), torch.zeros(3, 3), torch.ones(3)):
        with pytest.raises(ObjectiveError, match=r"The region of Pixels is|one of them above 0"):
            ts.Pixels(1, where)
    with pytest.raises(ObjectiveError, match=r"rows 0 to 4 and columns 0 to 6"):
        ts.saliency(network, images, "output:1@0,0,9,3")
    with pytest.raises(ObjectiveError, match=r"has no class 'skye'\. Nearest: sky"):
        ts.saliency(network, images, "output:skye@predicted")
    with pytest.raises(NetworkError, match=r"such as output:15, output:15@predicted"):
        ts.saliency(network, images, "sky")
    with pytest.raises(NetworkError, match="not one map of scores for each class"):
        ts.saliency(nets.network(), torch.rand(1, 3, 5, 7), ts.Pixels(1))
    with pytest.raises(ObjectiveError, match="2 masks were given for 3 images"):
        ts.saliency(network, images, ts.Pixels(1, torch.ones(2, 5, 7)))
    rare = ts.Network(nn.Sequential(nn.Conv2d(3, 2, 1, bias=False)), size=(5, 7))
    rare.module[0].weight.data = torch.tensor([[1.0, 1, 1], [0, 0, 0]])[:, :, None, None]
    with pytest.raises(ObjectiveError, match="no position is predicted as class 1; output:1 covers all positions"):
        ts.saliency(rare, torch.ones(1, 3, 5, 7), "output:1@predicted")


def test_gradient_ascent_raises_a_class_of_a_segmenter(network):
    asked = ts.Pixels("sky")
    grey = network.look(torch.full((1, 3, 10, 14), 0.5, dtype=torch.float64), asked.bind(network).needs)
    picture = ts.ascend(network, asked, steps=40, size=14)
    assert picture.scores[0] > asked.bind(network)(grey)[0]


def test_a_segmenter_is_asked_from_a_store(network, images, tmp_path):
    from PIL import Image

    for index, one in enumerate(images):
        pixels = (one.permute(1, 2, 0) * 255).byte().numpy()
        Image.fromarray(pixels).resize((28, 20)).save(tmp_path / f"{index}.png")
    store = ts.Store.build(network, tmp_path, layers=["output"], maps=["output"])
    files = sorted(tmp_path.glob("*.png"))
    for unit in ("output:1", "output:sky@predicted", "output:2@1,1,4,5"):
        asked = ts.unit(unit).bind(network)
        with torch.no_grad():
            live = asked(network.look(network.prepare(files).images, asked.needs))
        found = ts.top(store, asked, k=3)
        wanted = dict(zip([file.name for file in files], live.tolist(), strict=True))
        for name, score in zip(found.names, found.values.tolist(), strict=True):
            assert score == pytest.approx(wanted[name], abs=5e-3)


FACTORY = """
import torch
from torch import nn
def make():
    import triscope as ts
    torch.manual_seed(0)
    return ts.Network(nn.Conv2d(3, 3, 3, padding=1), size=(10, 14), classes=["sky", "cat", "dog"])
"""


def test_on_the_command_line_and_made_again(tmp_path, monkeypatch):
    from click.testing import CliRunner
    from PIL import Image

    from triscope.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(FACTORY)
    Image.new("RGB", (14, 10), (200, 30, 90)).save("photo.png")
    Image.effect_noise((14, 10), 80).convert("RGB").save("photo.png")
    run = CliRunner().invoke
    two = run(main, ["saliency", "photo.png", "-m", "net.py:make", "-u", "output:dog|cat", "-o", "one.png"])
    assert two.exit_code == 1
    assert "2 classes were given for 1 images" in two.output
    for asked in ([], ["-u", "output:cat"], ["-u", "output:dog@2,3,7,9"]):
        done = run(main, ["saliency", "photo.png", "-m", "net.py:make", *asked, "-o", "one.png", "--force"])
        assert done.exit_code == 0, done.output
        again = run(main, ["redo", "one.png", "-m", "net.py:make", "-o", "two.png", "--force"])
        assert again.exit_code == 0, again.output
        assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    told = run(main, ["predict", "photo.png", "-m", "net.py:make"])
    assert told.exit_code == 0, told.output
    assert "cat" in told.output
