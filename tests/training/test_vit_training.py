"""The small vision transformer: its parts against what PyTorch has, and a run from photos to a file."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

import triscope as ts
from training.distillation.lessons import Lesson
from training.vit.train import Plan, Run, Student, main
from training.vit.vit import Attention, SmallViT, places


def test_attention_is_that_of_pytorch() -> None:
    torch.manual_seed(0)
    ours, theirs, tokens = Attention(24, 3), nn.MultiheadAttention(24, 3, batch_first=True), torch.randn(2, 5, 24)
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = ours.qkv.weight.data, ours.qkv.bias.data
    theirs.out_proj.load_state_dict(ours.proj.state_dict())
    assert_close(ours(tokens), theirs(tokens, tokens, tokens)[0])


def test_places_tell_rows_and_columns_apart() -> None:
    waves = places(3, 5, 32).view(3, 5, 32)
    assert torch.equal(waves[..., :16], waves[:, :1, :16].expand(3, 5, 16))  # the first half says the row
    assert torch.equal(waves[..., 16:], waves[:1, :, 16:].expand(3, 5, 16))  # the second the column
    assert_close(waves[2, 3, 0], torch.tensor(2.0).sin())  # of the quickest wave
    assert_close(waves[2, 3, 24], torch.tensor(3.0).cos())
    assert len(waves.flatten(0, 1).unique(dim=0)) == 15


def test_images_of_other_sizes_are_seen() -> None:
    with torch.no_grad():
        assert SmallViT(width=16, depth=1, heads=2, classes=7)(torch.randn(2, 3, 32, 48)).shape == (2, 7)


def test_tokens_lie_in_rows_and_columns_behind_the_class_token() -> None:
    """Its class token and position embeddings are brought to the type of the tokens: `embeddings.to(tokens)`."""
    layer = ts.Network(SmallViT(width=16, depth=1, heads=2), size=(48, 64)).layer("blocks")
    assert (layer.grid, layer.layout.prefix) == ((6, 8), 1)


def test_the_student_learns_answers_and_what_the_teacher_sees_in_each_cell() -> None:
    torch.manual_seed(0)
    lesson = Lesson(torch.randn(4, 3, 32, 32), F.one_hot(torch.arange(4), 1000).float(), torch.randn(4, 512 * 9))
    plan = Plan(hours=1, steps=30, sizes=((32, 1.0),), fall=0.5, warm_up=1, adam=1e-3, decay=0.0)
    run = Run(Student(), plan, torch.device("cpu"))
    run.half = False
    before = [float(loss.detach()) for loss in run.losses(lesson, 1.0)]
    for _ in range(15):
        run.learn(lesson, 1.0)
    after = [float(loss.detach()) for loss in run.losses(lesson, 1.0)]
    assert after[0] < before[0] / 2
    assert after[1] < before[1] - 0.1


def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    tiny_photos: Path, tiny_teacher: Path, tmp_path: Path, killed_after_a_step: Callable[[Callable[[], object]], None]
) -> None:
    def start(name: str) -> dict[str, Tensor]:
        words = f"--photos {tiny_photos} --teacher {tiny_teacher} --run {tmp_path / name} --steps 2 --batch 4"
        main([*words.split(), *["--minutes", "0", "--held-out", "2", "--sizes", "32:1", "--device", "cpu"]])
        return load_file(tmp_path / name / "vit.safetensors")

    whole = start("whole")
    killed_after_a_step(lambda: start("killed"))
    halves = start("killed")
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    SmallViT().load_state_dict({name: value.float() for name, value in halves.items()})
