"""Weights files of every wrapping, and those that must not be opened: no code in a file is ever run."""

import argparse
import hashlib
import io
import os
import pickle
import posix
import warnings
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from tests import processes
from triscope.errors import WeightsError
from triscope.network.loading._torchvision import import_torchvision
from triscope.network.loading.checkpoint_files import Weights, fit, open_weights

pytest_plugins = ["tests.hostile"]


def small() -> nn.Sequential:
    """Two convolutions with normalisation, then a classifier of two layers."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3),
        nn.Flatten(),
        nn.Linear(5, 6),
        nn.Linear(6, 2),
    )


def saved(content: object, **options) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def write(folder: Path, content: bytes, name: str = "weights.pth") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def refusal(path: Path) -> str:
    """The one sentence with which a file is refused."""
    with pytest.raises(WeightsError) as caught:
        open_weights(path)
    message = str(caught.value)
    assert path.name in message
    assert message.isprintable()
    return message


def squeezenet() -> nn.Module:
    return import_torchvision().models.squeezenet1_1()


def same(given: Weights, state: dict[str, Tensor]) -> None:
    assert list(given.tensors) == list(state)
    for name, tensor in given.tensors.items():
        expected = state[name].float() if state[name].is_floating_point() else state[name]
        assert_close(tensor, expected, rtol=0, atol=0)


# Files that open.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_every_format_and_precision_becomes_float32(tmp_path, kind, dtype):
    state = {name: t.to(dtype) if t.is_floating_point() else t for name, t in small().state_dict().items()}
    content = {
        "zip": lambda: saved(state),
        "legacy": lambda: saved(state, _use_new_zipfile_serialization=False),
        "safetensors": lambda: safetensors.torch.save(state),
    }[kind]()
    path = write(tmp_path, content, "no_extension")
    weights = open_weights(path)
    same(weights, {name: state[name] for name in weights.tensors})
    assert weights.tensors.keys() == state.keys()
    assert weights.tensors["1.num_batches_tracked"].dtype == torch.int64
    assert (weights.sha256, weights.path) == (hashlib.sha256(content).hexdigest(), path)


def parallel(state):
    return {f"module.{name}": tensor for name, tensor in state.items()}


WRAPPINGS = {
    "state_dict": lambda s: {"epoch": 3, "state_dict": s, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
    "model": lambda s: {"model": s},
    "model_state_dict": lambda s: {"model_state_dict": s, "loss": 0.5},
    "net": lambda s: {"net": s},
    "params": lambda s: {"params": s},
    "ema alone": lambda s: {"ema": s},
    "ema beside": lambda s: {"ema": {name: tensor + 1 for name, tensor in s.items()}, "model": s},
    "twice": lambda s: {"model": {"state_dict": s}},
    "beside other values": lambda s: {**s, "epoch": 3, "note": "best"},
    "DataParallel": parallel,
    "Lightning": lambda s: {"state_dict": {f"model.{name}": tensor for name, tensor in s.items()}},
    "compiled": lambda s: {f"_orig_mod.module.{name}": tensor for name, tensor in s.items()},
    "parameters": lambda s: {name: nn.Parameter(t, requires_grad=t.is_floating_point()) for name, t in s.items()},
}


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
def test_wrappings_are_taken_off(tmp_path, wrap):
    state = small().state_dict()
    weights = open_weights(write(tmp_path, saved(wrap(state))))
    same(weights, state)
    assert not any(tensor.requires_grad for tensor in weights.tensors.values())
    module = small()
    assert fit(module, weights) == frozenset()
    for name, tensor in module.state_dict().items():
        assert_close(tensor, state[name], rtol=0, atol=0)


@pytest.mark.parametrize("prefix", ["model", "module"])
def test_a_network_may_bear_such_a_prefix_itself(tmp_path, prefix):
    source, target = nn.ModuleDict({prefix: small()}), nn.ModuleDict({prefix: small()})
    for state in (source.state_dict(), parallel(source.state_dict()), source[prefix].state_dict()):
        assert fit(target, open_weights(write(tmp_path, saved(state)))) == frozenset()
        assert_close(target[prefix][0].weight, source[prefix][0].weight, rtol=0, atol=0)


def test_only_a_prefix_of_every_name_is_taken_off(tmp_path):
    state = {"model.weight": torch.zeros(1), "module.weight": torch.zeros(1)}
    same(open_weights(write(tmp_path, saved(state))), state)


@pytest.mark.parametrize("name", ["87_dataparallel_prefix.pth", "88_nested_state_dict.pth", "89_ok_fp16.pth"])
def test_squeezenet_loads_from_its_wrappings(hostile, shared, name):
    module = squeezenet()
    assert fit(module, open_weights(hostile / name)) == frozenset()
    expected = safetensors.torch.load_file(shared / "models" / "squeezenet1_1.safetensors")
    for key, tensor in module.state_dict().items():
        assert_close(tensor, expected[key].float(), rtol=0, atol=0)


def test_weights_of_zero_are_weights(hostile):
    module = squeezenet()
    assert fit(module, open_weights(hostile / "94_all_zero.pth")) == frozenset()
    assert all(not tensor.any() for tensor in module.state_dict().values())


def test_a_file_saved_on_a_gpu_opens_on_the_cpu(hostile):
    weights = open_weights(hostile / "95_saved_on_cuda_legacy.pth")
    assert {tensor.device.type for tensor in weights.tensors.values()} == {"cpu"}
    assert weights.tensors["lin0.model.1.weight"].shape == (1, 64, 1, 1)
    with pytest.raises(WeightsError, match=r"another network than SqueezeNet: it also holds lin0.* lacks features\.0"):
        fit(squeezenet(), weights)


# Files that fit, fit but for the classifier, or do not fit.


def test_a_wrong_shape_is_named(hostile):
    module = squeezenet()
    before = module.state_dict()["classifier.1.weight"].clone()
    with pytest.raises(
        WeightsError,
        match=r"84_wrong_shape\.pth.*: features\.0\.weight is \(64, 3, 5, 5\), and \(64, 3, 3, 3\) is expected",
    ):
        fit(module, open_weights(hostile / "84_wrong_shape.pth"))
    assert_close(module.state_dict()["classifier.1.weight"], before, rtol=0, atol=0)


def test_a_missing_classifier_is_told(hostile):
    module = squeezenet()
    weights = open_weights(hostile / "86_missing_classifier.pth")
    assert fit(module, weights) == {"classifier.1.weight", "classifier.1.bias"}
    assert_close(module.features[0].weight, weights.tensors["features.0.weight"], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "head"),
    [("alexnet", "classifier"), ("resnet18", "fc"), ("densenet121", "classifier"), ("convnext_tiny", "classifier")],
)
def test_networks_may_lack_their_classifier(tmp_path, name, head):
    module = import_torchvision().models.get_model(name, weights=None)
    state = {key: tensor for key, tensor in module.state_dict().items() if not key.startswith(f"{head}.")}
    missing = fit(module, open_weights(write(tmp_path, saved(state))))
    assert missing == {key for key in module.state_dict() if key.startswith(f"{head}.")}


def lacking(*names: str) -> Weights:
    state = small().state_dict()
    return Weights({name: tensor for name, tensor in state.items() if name not in names}, "", Path("some.pth"))


@pytest.mark.parametrize("names", [["6.weight", "6.bias"], ["5.weight", "5.bias", "6.weight", "6.bias"]])
def test_the_last_layers_may_be_missing(names):
    assert fit(small(), lacking(*names)) == set(names)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["0.weight"], r"some\.pth lacks 1 of the 12 tensors of Sequential: 0\.weight"),
        (["5.weight", "5.bias"], "lacks 2"),
        (["6.bias"], "lacks 1"),
        (["3.weight", "3.bias", "5.weight", "5.bias", "6.weight", "6.bias"], "and 3 more"),
        (list(small().state_dict()), "lacks 12"),
    ],
)
def test_other_layers_may_not(names, why):
    with pytest.raises(WeightsError, match=why):
        fit(small(), lacking(*names))


def test_the_last_convolution_may_be_missing_but_not_the_last_two():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.Conv2d(5, 2, 1))
    state = module.state_dict()
    two = {name: tensor for name, tensor in state.items() if not name.startswith("2.")}
    assert fit(module, Weights(two, "", Path("some.pth"))) == {"2.weight", "2.bias"}
    one = {name: tensor for name, tensor in state.items() if name.startswith("0.")}
    with pytest.raises(WeightsError, match="lacks 4"):
        fit(module, Weights(one, "", Path("some.pth")))


def test_a_count_of_batches_is_nothing_to_miss_or_to_mind():
    assert fit(small(), lacking("1.num_batches_tracked")) == frozenset()
    plain = nn.Sequential(nn.Conv2d(3, 4, 3))
    state = {**plain.state_dict(), "0.num_batches_tracked": torch.tensor(3)}
    assert fit(plain, Weights(state, "", Path("some.pth"))) == frozenset()


def test_tensors_of_another_network_are_named():
    weights = Weights({**small().state_dict(), "7.weight": torch.zeros(2)}, "", Path("some.pth"))
    with pytest.raises(
        WeightsError, match=r"some\.pth belongs to another network than Sequential: it also holds 7\.weight\."
    ):
        fit(small(), weights)


# Files that are refused.


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("80_pickle_os_system.pth", "would import posix.system"),
        ("81_plain_pickle.pkl", "would import posix.system"),
        ("81_legacy_pickle.pth", "would import posix.system"),
        ("82_whole_module.pth", "torch.save(model.state_dict()"),
        ("90_truncated.pth", "cut short"),
        ("91_zero.pth", "is empty"),
        ("92_html.pth", "web page"),
        ("00_reference_ok.jpg", "not a file of weights"),
        ("34_dirloop", "folder"),
        ("34_loop_a.jpg", "link that leads back"),
        ("34_dangling.jpg", "link to a file that does not exist"),
        ("35_directory.jpg", "folder"),
        ("37_fifo.jpg", "pipe"),
        ("no_such.pth", "does not exist"),
    ],
)
def test_what_holds_no_weights_is_refused_in_one_line(hostile, monkeypatch, name, why):
    monkeypatch.setattr(posix, "system", lambda _: pytest.fail("code in a file was run"))
    assert why in refusal(hostile / name)


@contextmanager
def nobody():
    """Act as a user without rights, where the tests run as root, whom no permission stops."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_file_without_permission_is_refused(hostile):
    with nobody():
        assert "permission denied" in refusal(hostile / "36_noperm.jpg")


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch '{self.canary}'",)


def evil_files(canary: Path) -> dict[str, bytes]:
    evil = Evil(canary)
    files = {f"pickle{protocol}": pickle.dumps(evil, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)}
    for name, content in {
        "bare": evil,
        "beside": {**small().state_dict(), "x": evil},
        "nested": {"model": [evil]},
    }.items():
        files[f"{name}.zip"] = saved(content)
        files[f"{name}.zip4"] = saved(content, pickle_protocol=4)
        files[f"{name}.legacy"] = saved(content, _use_new_zipfile_serialization=False)
    return files


def test_no_code_in_a_file_is_run(tmp_path):
    canary = tmp_path / "PWNED"
    pickle.loads(pickle.dumps(Evil(canary)))
    assert canary.exists(), "the canary does not work"
    canary.unlink()
    for name, content in evil_files(canary).items():
        message = refusal(write(tmp_path, content, name))
        assert "would import posix.system" in message or "not a file of weights" in message
    assert not canary.exists()


def test_no_code_is_run_where_pytorch_is_told_to_trust_files(tmp_path, monkeypatch):
    canary = tmp_path / "PWNED"
    write(tmp_path, saved(Evil(canary)))
    program = """if True:
        import sys, torch
        from triscope.errors import WeightsError
        from triscope.network.loading.checkpoint_files import open_weights
        try:
            open_weights(sys.argv[1])
        except WeightsError as error:
            print(error)
    """
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    code, out, err = processes.ran(program, str(tmp_path / "weights.pth"))
    assert code == 0, err
    assert "would import posix.system" in out
    assert not canary.exists()


def test_other_pickled_objects_are_named(tmp_path):
    state = small().state_dict()
    assert "whole pickled module (torch.nn.modules" in refusal(write(tmp_path, saved(small())))
    options = argparse.Namespace(lr=0.1)
    assert "argparse.Namespace" in refusal(write(tmp_path, saved({"state_dict": state, "args": options})))
    assert "numpy" in refusal(write(tmp_path, saved({"state_dict": state, "best": np.float64(0.7)})))


def test_a_pickle_protocol_that_pytorch_does_not_write_is_named(tmp_path):
    assert "pickled with protocol 4" in refusal(write(tmp_path, saved(small().state_dict(), pickle_protocol=4)))


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_other_archives_are_refused(tmp_path):
    state = saved({"x": torch.zeros(1000, 1000)})
    with zipfile.ZipFile(io.BytesIO(state)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    root = next(iter(members)).split("/")[0]
    bomb = zipped(members, zipfile.ZIP_DEFLATED)
    assert len(bomb) < len(state) / 100
    assert "not one that torch.save wrote" in refusal(write(tmp_path, bomb))
    assert "not one that torch.save wrote" in refusal(write(tmp_path, zipped({"readme.txt": b"hello"})))
    assert "TorchScript" in refusal(write(tmp_path, zipped(members | {f"{root}/constants.pkl": b""})))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"", "empty"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "not a file of weights"),
        (bytes(100), "not a file of weights"),
        (b"cposix\nsystem\n(S'true'\ntR.", "not a file of weights"),
        (b"\xff" * 8 + b"{" + bytes(100), "cut short or damaged"),
        (saved({}), "holds no tensors, only an empty mapping"),
        (saved({"epoch": 3, "layers": {"a": torch.zeros(1)}}), "holds no tensors, only epoch, layers"),
        (saved({1: torch.zeros(1)}), "holds no tensors, only 1"),
        (saved([torch.zeros(1)]), "holds a list"),
        (saved(torch.zeros(1)), "holds a Tensor"),
        (saved({"a": torch.ones(2), "b.weight": torch.tensor([1, torch.nan])}), r"b.weight holds NaN"),
        (saved({"a": torch.ones(2), "b.weight": torch.tensor([1, torch.inf])}), r"b.weight holds NaN or infinite"),
        (saved({"a": torch.tensor([1e300], dtype=torch.float64)}), "a holds NaN or infinite"),
        (safetensors.torch.save({"a": torch.tensor([torch.nan])}), "a holds NaN"),
        (saved({"a": torch.eye(3).to_sparse()}), "holds a in a form"),
        (saved({"a": torch.ones(3) * 1j}), "(torch.complex64, torch.strided)"),
        (saved({"a": torch.zeros(8, dtype=torch.uint8).view(torch.float8_e4m3fn)}), "(torch.float8_e4m3fn,"),
        (saved({"a": torch.zeros(3, device="meta")}), "holds a in a form"),
    ],
)
def test_other_content_is_named(tmp_path, content, why):
    assert why in refusal(write(tmp_path, content))


def test_a_tensor_cannot_claim_more_than_the_file_holds(tmp_path):
    path = write(tmp_path, saved({"a": torch.zeros(1, dtype=torch.float16).expand(10**6, 10**6)}))
    assert path.stat().st_size < 5000
    assert "holds a in a form" in refusal(path)  # as float32 it would take 4 TB


def test_a_mapping_that_holds_itself_is_refused(tmp_path):
    content: dict[str, object] = {}
    content["model"] = content
    assert "holds no tensors" in refusal(write(tmp_path, saved(content)))


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("damage", ["cut", "altered"])
def test_damaged_files_open_or_are_refused(tmp_path, kind, damage):
    state = small().state_dict()
    data = {
        "zip": saved(state),
        "legacy": saved(state, _use_new_zipfile_serialization=False),
        "safetensors": safetensors.torch.save(state),
    }[kind]
    random = np.random.default_rng(0)
    outcomes = []
    for n in range(150):
        content = bytearray(data)
        if damage == "cut":
            del content[len(data) * n // 150 :]
        else:
            for place in random.integers(0, random.choice([200, len(data)]), random.integers(1, 4)):
                content[place] = random.integers(256)
        path = write(tmp_path, bytes(content))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                outcomes.append(open_weights(path))
            except WeightsError:
                outcomes.append(None)
    assert outcomes.count(None) >= (150 if damage == "cut" else 20)
