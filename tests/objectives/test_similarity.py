"""Cosines against autograd on the module, to vectors, images and texts; zero-shot classes as CLIP has them."""

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

import triscope as ts
from tests import nets
from triscope.errors import ObjectiveError

SIZE = (5, 7)
TINY = 1e-6


@pytest.fixture
def module():
    return nets.fill(nets.cnn(classes=6)).double().eval()


@pytest.fixture
def network(module):
    return ts.Network(module, size=SIZE, task="embedding")


@pytest.fixture
def images():
    return torch.rand(3, 3, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def cosine(one, other):
    return (one * other).sum(-1) / (one.square().sum(-1).sqrt() * other.square().sum(-1).sqrt())


def test_a_cosine_is_what_autograd_says(module, network, images):
    vector = torch.randn(6, dtype=torch.float64)
    leaf = images.clone().requires_grad_()
    scores = cosine(module(leaf), vector)
    (gradient,) = torch.autograd.grad(scores.sum(), leaf)
    for target in (vector, 3 * vector, vector.numpy(), vector[None]):
        found = ts.gradient(network, images, ts.Similarity("output", target))
        torch.testing.assert_close(found.scores, scores.detach(), atol=TINY, rtol=0)
        torch.testing.assert_close(found.values, gradient, atol=TINY, rtol=0)


def test_a_layer_of_maps_is_compared_by_its_mean(module, network, images):
    maps = module[:4](images)
    vector = torch.randn(6, dtype=torch.float64)
    asked = ts.Similarity("3", vector)
    found = ts.saliency(network, images, asked)
    torch.testing.assert_close(found.scores, cosine(maps.mean((2, 3)), vector))
    look = network.look(images, asked.map_needs)
    torch.testing.assert_close(asked.map(look), cosine(maps.movedim(1, -1), vector))


def test_one_vector_for_each_image(network, images):
    vectors = torch.randn(3, 6, dtype=torch.float64)
    both = ts.occlusion(network, images, ts.Similarity("output", vectors), window=3)
    for index in range(3):
        alone = ts.occlusion(network, images[index : index + 1], ts.Similarity("output", vectors[index]), window=3)
        torch.testing.assert_close(both[index].values, alone.values)
    with pytest.raises(ObjectiveError, match="2 vectors were given for 3 images"):
        ts.saliency(network, images, ts.Similarity("output", vectors[:2]))


def test_an_image_is_most_like_itself(module, network, images, tmp_path):
    Image.effect_noise((7, 5), 90).convert("RGB").save(tmp_path / "photo.png")
    seen = network.prepare(tmp_path / "photo.png").images
    for target in (tmp_path / "photo.png", str(tmp_path / "photo.png"), seen, Image.open(tmp_path / "photo.png")):
        heat = ts.saliency(network, torch.cat([seen, images]), ts.Similarity("output", target))
        assert heat.scores[0] == pytest.approx(1)
        torch.testing.assert_close(heat.scores, cosine(module(torch.cat([seen, images])), module(seen)))
    store = ts.Store.build(network, tmp_path, layers=["output", "3"])
    for layer in ("output", "3"):
        asked = ts.Similarity(layer, tmp_path / "photo.png").bind(network)
        assert ts.top(store, asked).values[0] == pytest.approx(1, abs=1e-3)


def test_gradient_ascent_comes_nearer(network, images):
    asked = ts.Similarity("output", images[:1])
    picture = ts.ascend(network, asked, steps=30, size=8)
    grey = ts.saliency(network, torch.full_like(images[:1], 0.5), asked)
    assert picture.scores[0] > grey.scores[0]


def test_what_cannot_be_asked_is_said(network, images):
    with pytest.raises(ObjectiveError, match="has 6 numbers; this one has 5"):
        ts.saliency(network, images, ts.Similarity("output", torch.ones(5)))
    for wrong in (torch.zeros(6), torch.full((6,), torch.nan)):
        with pytest.raises(ObjectiveError, match="finite and not zero"):
            ts.Similarity("output", wrong)
    with pytest.raises(ObjectiveError, match=r"call objective\.bind"):
        ts.Similarity("output", images)(network.look(images, [ts.Need("output", "mean")]))
    assert repr(ts.Similarity("output", "cat.jpg")) == "Similarity('output', 'cat.jpg')"
    assert repr(ts.Similarity("3", torch.ones(6))) == "Similarity('3', <(6,) tensor>)"


class Clip(nn.Module):
    """CLIP in small: it takes texts first and images by keyword, and embeds either."""

    def __init__(self):
        super().__init__()
        self.vision = nets.fill(nets.cnn(classes=4))
        self.words = nn.Embedding(9, 4)
        self.logit_scale = nn.Parameter(torch.tensor(2.0))

    def get_image_features(self, pixel_values):
        return self.vision(pixel_values)

    def get_text_features(self, input_ids):
        return self.words(input_ids).mean(1)

    def forward(self, input_ids, pixel_values):
        one, other = (F.normalize(x, dim=1) for x in (self.vision(pixel_values), self.get_text_features(input_ids)))
        return {"logits_per_image": self.logit_scale.exp() * one @ other.T}


TEXTS = ["a red umbrella", "a dog", "a street"]
IDS = torch.tensor([[1, 2, 3], [1, 4, 0], [1, 5, 6]])


def zero_shot(module):
    with torch.no_grad():
        texts = F.normalize(module.get_text_features(IDS), dim=1)
        scale = module.logit_scale.exp()
    return ts.Network(
        module,
        size=SIZE,
        call=lambda m, x: m.get_image_features(pixel_values=x),
        output=lambda features: scale * F.normalize(features, dim=1) @ texts.T,
        classes=TEXTS,
        task="classes",
    )


def test_texts_are_classes():
    module, images = Clip().eval(), torch.rand(2, 3, *SIZE)
    network = zero_shot(module)
    leaf = images.clone().requires_grad_()
    logits = module(IDS, leaf)["logits_per_image"]
    (gradient,) = torch.autograd.grad(logits[:, 0].sum(), leaf)
    found = ts.gradient(network, images, "a red umbrella")
    torch.testing.assert_close(found.scores, logits[:, 0].detach())
    torch.testing.assert_close(found.values, gradient, atol=TINY, rtol=1e-5)
    told = ts.predict(network, images, k=3)
    torch.testing.assert_close(told.values, logits.softmax(1).sort(descending=True).values.detach())
    assert set(told.names[0]) == set(TEXTS)
    assert ts.saliency(network, images, "a red umbrella - a dog").recipe.objective == "0 - 1"
    embedded = ts.Network(module, size=SIZE, call=lambda m, x: m.get_image_features(pixel_values=x), task="embedding")
    alike = ts.saliency(embedded, images, ts.Similarity("output", module.get_text_features(IDS)[0]))
    torch.testing.assert_close(alike.scores, logits[:, 0].detach() / module.logit_scale.exp().detach())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["CLIP", "Siglip"])
def test_texts_are_classes_of_transformers_networks(kind):
    nets.import_torchvision()  # transformers imports it
    transformers = pytest.importorskip("transformers")
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
              "image_size": 32, "patch_size": 8}  # fmt: skip
    text = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2,
            "vocab_size": 50, "max_position_embeddings": 8, "eos_token_id": 49, "bos_token_id": 48,
            "pad_token_id": 0}  # fmt: skip
    config = getattr(transformers, f"{kind}Config")(vision_config=vision, text_config=text)
    module = getattr(transformers, f"{kind}Model")(config).eval()
    ids, images = torch.randint(1, 48, (3, 6)), torch.rand(2, 3, 32, 32)
    ids[:, -1] = 49

    def features(returned):
        return returned if isinstance(returned, torch.Tensor) else returned.pooler_output

    with torch.no_grad():
        texts = F.normalize(features(module.get_text_features(input_ids=ids)), dim=1)
        scale = module.logit_scale.exp()
        shift = getattr(module, "logit_bias", torch.zeros(()))
    network = ts.Network(
        module,
        size=32,
        call=lambda m, x: m.get_image_features(pixel_values=x),
        output=lambda y: scale * F.normalize(features(y), dim=1) @ texts.T + shift,
        classes=TEXTS,
    )
    leaf = images.clone().requires_grad_()
    logits = module(input_ids=ids, pixel_values=leaf).logits_per_image
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), leaf)
    found = ts.gradient(network, images, "a dog")
    torch.testing.assert_close(found.scores, logits[:, 1].detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.values, gradient, rtol=1e-4, atol=1e-6)


FACTORY = """
from tests import nets
def make():
    import triscope as ts
    return ts.Network(nets.fill(nets.cnn(classes=6)), size=(5, 7), task="embedding")
"""


def test_a_named_direction_is_compared_with_by_text(network, images, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from triscope.cli import main

    monkeypatch.chdir(tmp_path)
    vector = torch.tensor([1.0, -2, 0, 0.5, 3, 1])
    ts.Direction("output", vector, "red-umbrella").save()
    text = "cos:output/red-umbrella"
    assert str(ts.unit(text)) == text
    assert str(2 * ts.unit(text) - ts.Logit(3)) == f"2*{text} - 3"
    wanted = ts.saliency(network, images, ts.Similarity("output", vector))
    for asked in (text, ts.Similarity("output", ts.Direction("output", vector, "red-umbrella"))):
        heat = ts.saliency(network, images, asked)
        torch.testing.assert_close(heat.values, wanted.values)
        assert heat.recipe.objective == text
    Image.effect_noise((7, 5), 90).convert("RGB").save("photo.png")
    (tmp_path / "net.py").write_text(FACTORY)
    run = CliRunner().invoke
    done = run(main, ["saliency", "photo.png", "-m", "net.py:make", "-u", text, "-o", "one.png"])
    assert done.exit_code == 0, done.output
    (tmp_path / "directions.safetensors").unlink()  # the recipe has its numbers
    again = run(main, ["redo", "one.png", "-m", "net.py:make", "-o", "two.png"])
    assert again.exit_code == 0, again.output
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    missing = run(main, ["saliency", "photo.png", "-m", "net.py:make", "-u", text, "-o", "three.png"])
    assert missing.exit_code == 1
    assert "no direction output/red-umbrella" in missing.output


@pytest.mark.slow
def test_texts_are_classes_of_open_clip():
    nets.import_torchvision()  # open_clip imports it
    model = pytest.importorskip("open_clip.model")
    vision = {"layers": 2, "width": 32, "patch_size": 8, "image_size": 32, "head_width": 16}
    text = {"context_length": 8, "vocab_size": 50, "width": 16, "heads": 2, "layers": 1}
    module = model.CLIP(16, vision, text).eval()
    images, tokens = torch.rand(2, 3, 32, 32), torch.randint(0, 50, (3, 8))
    with torch.no_grad():
        texts, scale = F.normalize(module.encode_text(tokens), dim=1), module.logit_scale.exp()
    network = ts.Network(
        module,
        size=32,
        call=lambda m, x: m.encode_image(x),
        output=lambda features: scale * F.normalize(features, dim=1) @ texts.T,
        classes=TEXTS,
    )
    leaf = images.clone().requires_grad_()
    logits = module.get_logits(leaf, tokens)[0]
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), leaf)
    found = ts.gradient(network, images, "a dog")
    torch.testing.assert_close(found.scores, logits[:, 1].detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.values, gradient, rtol=1e-4, atol=1e-6)
