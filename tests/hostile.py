"""Awkward files, as a fixture: `hostile/` of the test photos, unpacked, with the weights that its README says to make.

A test module asks for it with `pytest_plugins = ["tests.hostile"]`.
"""

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file


@pytest.fixture(scope="session")
def hostile(shared: Path) -> Iterator[Path]:
    """A scratch folder of awkward images and weights; whoever opens them must never create a file named PWNED."""
    scratch = Path(tempfile.mkdtemp(prefix="triscope-hostile-"))
    scratch.chmod(0o755)  # pytest's own temporary folders are closed to the user whom the permission test becomes
    with tarfile.open(shared / "hostile" / "hostile.tar.gz") as archive:
        archive.extractall(scratch, filter="tar")
    folder = scratch / "hostile"
    make_weights(folder, load_file(shared / "models" / "squeezenet1_1.safetensors"))
    yield folder
    pwned = [path for path in folder.iterdir() if path.name == "PWNED"]
    shutil.rmtree(scratch)
    assert pwned == [], "code in a file was run"


def make_weights(folder: Path, state: dict[str, torch.Tensor]) -> None:
    """The files 84 to 94 of the README, from a state_dict of SqueezeNet 1.1 in half precision."""
    full = {name: tensor.float() for name, tensor in state.items()}
    headless = {name: tensor for name, tensor in full.items() if not name.startswith("classifier")}
    torch.save(full | {"features.0.weight": torch.zeros(64, 3, 5, 5)}, folder / "84_wrong_shape.pth")
    torch.save(headless, folder / "86_missing_classifier.pth")
    torch.save({f"module.{name}": tensor for name, tensor in full.items()}, folder / "87_dataparallel_prefix.pth")
    torch.save({"epoch": 3, "state_dict": full}, folder / "88_nested_state_dict.pth")
    torch.save(state, folder / "89_ok_fp16.pth")
    whole = (folder / "89_ok_fp16.pth").read_bytes()
    (folder / "90_truncated.pth").write_bytes(whole[: len(whole) * 6 // 10])
    torch.save({name: torch.zeros_like(tensor) for name, tensor in full.items()}, folder / "94_all_zero.pth")
