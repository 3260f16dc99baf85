"""The bundled network: AlexNet's names, any size from 64 up, and weights that survive being stored in 8 bits."""

import csv
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.testing import assert_close

from triscope.errors import WeightsError
from triscope.network.loading import pocket
from triscope.network.loading.pocket import MEAN, STD, PocketAlexNet, expand, load_pocket, quantise, weights_path


@pytest.fixture(scope="module")
def network() -> PocketAlexNet:
    return load_pocket()


def test_layers_are_called_as_in_torchvisions_alexnet(network: PocketAlexNet) -> None:
    from triscope.network.loading._torchvision import import_torchvision

    import_torchvision()
    from torchvision.models import alexnet

    theirs = dict(alexnet().features.named_modules())
    for name, module in network.features.named_modules():
        assert type(module) is type(theirs[name])
        if isinstance(module, nn.Conv2d):
            assert module.weight.shape == theirs[name].weight.shape
            assert (module.stride, module.padding) == (theirs[name].stride, theirs[name].padding)


def test_the_last_hidden_relu_has_4096_units(network: PocketAlexNet) -> None:
    hidden = network.classifier[:6](torch.randn(2, 256 * 9))
    assert isinstance(network.get_submodule("classifier.5"), nn.ReLU)
    assert hidden.shape == (2, 4096)
    assert hidden.min() == 0


@pytest.mark.parametrize("size", [(64, 64), (64, 91), (127, 96), (224, 224), (256, 200)])
def test_any_size_from_64_up_works(network: PocketAlexNet, size: tuple[int, int]) -> None:
    with torch.no_grad():
        logits = network(torch.randn(2, 3, *size))
    assert logits.shape == (2, 1000)
    assert logits.isfinite().all()


def test_it_is_ready_to_be_asked(network: PocketAlexNet) -> None:
    assert not any(module.training for module in network.modules())
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert not any(parameter.is_meta for parameter in network.parameters())
    assert not any(module.inplace for module in network.modules() if isinstance(module, nn.ReLU))


def test_the_bundled_file_is_small() -> None:
    assert weights_path().stat().st_size < 16e6


def test_its_first_filters_are_alive(network: PocketAlexNet) -> None:
    norms = network.features[0].weight.flatten(1).norm(dim=1)
    assert int((norms < norms.median() / 10).sum()) < 7


def test_stored_weights_are_off_by_half_a_step_at_most() -> None:
    state = {
        "features.0.weight": torch.randn(4, 3, 2, 2),
        "features.3.weight": torch.randn(5, 4, 3, 3) * torch.logspace(-3, 2, 5).view(5, 1, 1, 1),
        "classifier.1.weight": torch.randn(3, 7),
        "classifier.1.bias": torch.randn(3),
    }
    back = expand(quantise(state))
    assert list(back) == list(state)
    assert_close(back["classifier.1.bias"], state["classifier.1.bias"], rtol=0, atol=0)
    assert_close(back["features.0.weight"], state["features.0.weight"], rtol=2**-11, atol=1e-7)
    for name in ("features.3.weight", "classifier.1.weight"):
        rows, stored = state[name].flatten(1), back[name].flatten(1)
        step = rows.abs().amax(dim=1, keepdim=True) / 127
        assert ((rows - stored).abs() <= step * 0.501).all()


def test_a_row_of_zeros_can_be_stored() -> None:
    state = {"classifier.6.weight": torch.zeros(2, 3)}
    assert torch.equal(expand(quantise(state))["classifier.6.weight"], torch.zeros(2, 3))


@pytest.mark.parametrize("damage", ["no file", "not safetensors", "a layer missing"])
def test_a_damaged_file_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    path = tmp_path / "pocket.safetensors"
    if damage == "not safetensors":
        path.write_bytes(b"\xff" * 64)
    elif damage == "a layer missing":
        save_file({"features.0.bias": torch.zeros(64)}, path)
    monkeypatch.setattr(pocket, "weights_path", lambda: path)
    with pytest.raises(WeightsError, match=r"^The bundled weights, pocket\.safetensors, are missing or damaged\."):
        load_pocket()


def test_it_knows_things(shared: Path, network: PocketAlexNet) -> None:
    folder = shared / "images" / "labelled"
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[::2]
    pixels = torch.stack([seen(folder / row["file"]) for row in rows])
    with torch.no_grad():
        best = network(pixels).topk(5).indices
    classes = torch.tensor([int(row["class_index"]) for row in rows])
    assert (best == classes[:, None]).any(dim=1).float().mean() > 0.1  # chance is 0.005


def seen(file: Path, size: int = 128) -> Tensor:
    """An image as the network sees it, squeezed into a square."""
    picture = Image.open(file).convert("RGB").resize((size, size))
    pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).view(size, size, 3).permute(2, 0, 1)
    return (pixels / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
