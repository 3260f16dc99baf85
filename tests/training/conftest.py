"""A tiny world for trainings: photos of noise, and a teacher that has learned nothing."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from training.distillation.lessons import Lesson
from training.distillation.stretch import Stretch

PHOTOS = 12


@pytest.fixture(scope="session")
def tiny_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo folder: 12 images of noise in one tar, every second one with a class."""
    folder = tmp_path_factory.mktemp("photos")
    draw = np.random.default_rng(0)
    rows = ["shard,member,source,licence,label,imagenet_class_index"]
    with tarfile.open(folder / "photos-00.tar", "w") as tar:
        for i in range(PHOTOS):
            shape = (40, 56, 3) if i % 2 else (56, 40, 3)
            content = io.BytesIO()
            Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8)).save(content, "PNG")
            member = tarfile.TarInfo(f"{i:06}.png")
            member.size = content.tell()
            content.seek(0)
            tar.addfile(member, content)
            rows.append(f"photos-00.tar,{member.name},drawn,CC0,,{i if i % 2 else ''}")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def tiny_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SqueezeNet 1.1 that has learned nothing."""
    from triscope.network.loading._torchvision import import_torchvision

    import_torchvision()
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_file({name: value.half() for name, value in squeezenet1_1().state_dict().items()}, path)
    return path


@pytest.fixture
def killed_after_a_step(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Begins a training that is killed when it has taken one step."""
    learn = Stretch.learn

    def killed(stretch: Stretch, lesson: Lesson, temperature: float) -> float:
        if stretch.step == 1:
            raise KeyboardInterrupt
        return learn(stretch, lesson, temperature)

    def begin(train: Callable[[], object]) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Stretch, "learn", killed)
            with pytest.raises(KeyboardInterrupt):
                train()

    return begin
