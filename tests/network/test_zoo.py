"""From names to networks: what is loaded, from where, and the errors if it cannot be."""

import hashlib
import http.server
import threading
import urllib.error
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from triscope import load
from triscope.errors import NetworkError, TriscopeError, WeightsError
from triscope.network.loading import zoo
from triscope.network.loading._torchvision import import_torchvision
from triscope.network.loading.pocket import weights_path

PHOTO = "n01443537_goldfish.JPEG"
SQUEEZENET = "squeezenet1_1-b8a52dc0.pth"  # what torchvision calls its file


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of published weights."""
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def squeezenet(shared: Path) -> Path:
    return shared / "models" / "squeezenet1_1.safetensors"


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    file = tmp_path / "model.py"
    file.write_text(
        "import neighbour\nimport torch\nimport triscope as ts\n"
        "def module():\n    return torch.nn.Sequential(torch.nn.Conv2d(1, neighbour.CHANNELS, 3))\n"
        "def network():\n    return ts.Network(module(), size=16, name='mine')\n"
        "def wrong():\n    return 'resnet18'\n"
        "constant = 3\n"
    )
    (tmp_path / "neighbour.py").write_text("CHANNELS = 5\n")
    return file


def published_squeezenet(squeezenet: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: tensor.float() for name, tensor in load_file(squeezenet).items()}, path)


def test_published_weights_come_from_torchs_cache(hub, squeezenet, shared):
    published_squeezenet(squeezenet, hub / SQUEEZENET)
    network = load("squeezenet1_1")
    assert (network.size, network.preprocess.resize, len(network.classes)) == ((224, 224), 256, 1000)
    seen = network.prepare(shared / "images" / "objects" / PHOTO)
    assert network.class_name(int(network.look(seen.images, ["output"])["output"].argmax())) == "goldfish"


def test_published_weights_are_downloaded_once_and_checked(hub, squeezenet, tmp_path, monkeypatch, capfd):
    served = tmp_path / "served"
    published_squeezenet(squeezenet, served / "file.pth")
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=served)

        def log_message(self, *args):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/file.pth"
        path = zoo._published("squeezenet1_1", address, progress=True)
        assert "100%" in capfd.readouterr().err
        assert zoo._published("squeezenet1_1", address, progress=True) == path
        assert asked == ["/file.pth"]
        (served / "file-00000000.pth").write_bytes((served / "file.pth").read_bytes())
        with pytest.raises(WeightsError, match="could not be stored"):
            zoo._published("squeezenet1_1", address.replace("file.pth", "file-00000000.pth"), progress=False)
        server.shutdown()
    assert path == hub / "file.pth"
    assert [file.name for file in hub.iterdir()] == ["file.pth"]


def test_offline_one_sentence_says_what_to_do(hub, monkeypatch):
    def unreachable(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(NetworkError) as caught:
        load("squeezenet1_1")
    sentence = str(caught.value)
    assert all(part in sentence for part in ("no route to host", SQUEEZENET, str(hub), "--weights", "pocket"))
    assert "\n" not in sentence


def test_a_weights_file_and_its_architecture_in_either_order(squeezenet):
    one, two = load("squeezenet1_1", weights=squeezenet), load(str(squeezenet), arch="squeezenet1_1")
    assert one.sha256 == two.sha256
    assert one.source == two.source == {"name": "squeezenet1_1", "weights": str(squeezenet.absolute())}


def test_random_weights_follow_the_seed_and_leave_the_generator(hub):
    before = torch.random.get_rng_state()
    zero, again, one = (load("squeezenet1_1", weights="random", seed=seed).sha256 for seed in (0, 0, 1))
    assert zero == again != one
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_networks_with_auxiliary_heads(name):
    network = load(name, weights="random")
    assert network.module.transform_input
    assert network.layer("output").shape == (1000,)
    assert network.size == ((299, 299) if name == "inception_v3" else (224, 224))


def test_every_name_is_known_to_torchvision():
    assert len(zoo.names()) > 75
    assert {"pocket", "alexnet", "resnet50", "vgg19", "swin_t"} <= set(zoo.names())


def test_class_names_are_torchvisions():
    weights = import_torchvision().models.get_model_weights("alexnet").DEFAULT
    assert list(zoo.imagenet_classes()) == weights.meta["categories"]


def test_the_preprocessing_is_the_published_one(squeezenet, shared):
    """Against torchvision's own transform, which rounds to 8 bits after resizing rows and after columns."""
    import PIL.Image

    network = load("squeezenet1_1", weights=squeezenet)
    photo = shared / "images" / "objects" / PHOTO
    transform = import_torchvision().models.get_model_weights("squeezenet1_1").DEFAULT.transforms()
    with PIL.Image.open(photo) as image:
        theirs = transform(image.convert("RGB"))[None]
    ours = network.normalise(network.prepare(photo).images)
    assert (ours - theirs).abs().max() < 1.1 / 255 / min(network.std)
    assert (ours - theirs).abs().mean() < 0.3 / 255 / min(network.std)


@pytest.mark.skipif(not weights_path().exists(), reason="the pocket network has not been trained")
def test_the_pocket_network_is_bundled():
    network = load("pocket")
    assert (network.name, network.layer("classifier.5").shape, len(network.classes)) == ("pocket", (4096,), 1000)
    assert network.layer("features.10").type == "Conv2d"


@pytest.mark.skipif(not weights_path().exists(), reason="the pocket network has not been trained")
def test_another_training_of_the_pocket_network_is_a_weights_file():
    assert load("pocket", weights=weights_path()).sha256 == load("pocket").sha256


def test_a_function_in_a_file(model_file):
    module, network = load(f"{model_file}:module"), load(f"{model_file}:network")
    assert module.channels == 1
    assert network.name == "mine"
    code = hashlib.sha256(model_file.read_bytes()).hexdigest()
    assert network.source == {"name": f"{model_file}:network", "code": code}
    assert network.layer("0").channels == 5


@pytest.mark.parametrize("name", ["ready", "wrapped", "Own"])
def test_a_network_in_a_file(tmp_path, name):
    file = tmp_path / "net.py"
    file.write_text(
        "import torch.nn as nn, triscope as ts\n"
        "class Own(nn.Conv2d):\n"
        "    def __init__(self):\n"
        "        super().__init__(1, 5, 3)\n"
        "ready = Own()\n"
        "wrapped = ts.Network(ready, size=9, mean=0.5, std=0.5)\n"
    )
    network = load(f"{file}:{name}")
    assert isinstance(network.module, torch.nn.Conv2d)
    assert network.channels == 1
    assert network.source["name"] == f"{file}:{name}"


def test_weights_for_a_function_in_a_file(model_file, tmp_path):
    weights = {"0.weight": torch.ones(5, 1, 3, 3), "0.bias": torch.zeros(5)}
    save_file(weights, tmp_path / "w.safetensors")
    network = load(str(tmp_path / "w.safetensors"), arch=f"{model_file}:network")
    assert torch.equal(network.module[0].weight.detach(), weights["0.weight"])


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("resnet19", {}, "Nearest: resnet18"),
        ("packet", {}, "Nearest: pocket"),
        ("{file}:nothing", {}, "no network and no function nothing"),
        ("{file}:constant", {}, "no network and no function constant"),
        ("{file}:wrong", {}, "returned str"),
        ("gone.py:module", {}, "gone.py does not exist"),
        ("gone.pth", {}, "gone.pth does not exist"),
        ("gone.pth", {"arch": "resnet18"}, "gone.pth does not exist"),
        ("gone.pth", {"weights": "also.pth"}, "both weights"),
        ("{file}:network", {"device": "cuda:99"}, "device cuda:99"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_a_sentence(model_file, name, words, said):
    with pytest.raises(TriscopeError) as caught:
        load(name.format(file=model_file), **words)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_without_an_architecture_ask_for_one(squeezenet):
    with pytest.raises(NetworkError, match="--arch"):
        load(str(squeezenet))


class TestTimm:
    @pytest.fixture(autouse=True)
    def _timm(self):
        import_torchvision()
        pytest.importorskip("timm")

    def test_its_preprocessing_and_classes(self):
        network = load("timm:resnet10t", weights="random")
        assert network.size == (176, 176)
        assert network.preprocess.interpolation == "bicubic"
        assert len(network.classes) == 1000

    @pytest.mark.parametrize(
        "name", ["deit_tiny_distilled_patch16_224", "levit_128s", "repvit_m0_9", "resnetv2_50x1_bit"]
    )
    def test_class_names_where_the_classifier_is_no_linear_layer(self, name):
        network = load(f"timm:{name}", weights="random")
        assert network.class_name(281) == "tabby"

    def test_its_tokens_are_a_grid(self):
        network = load("timm:vit_tiny_patch16_224", weights="random")
        look = network.look(torch.rand(1, 3, 224, 224), ["blocks.3"])
        assert look["blocks.3"].shape == (1, 192, 14, 14)

    def test_its_unknown_names(self):
        with pytest.raises(NetworkError, match="Nearest: resnet18"):
            load("timm:resnet1")
