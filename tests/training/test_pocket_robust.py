"""The robust lesson, and the measures that say what it gave."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from training.distillation.lessons import Lesson
from training.distillation.photos import read_held_out, read_photos, split
from training.pocket.compare import measures as answered
from training.pocket.compare import paired
from training.pocket.gradients import cells, kept, rank_correlation, rough
from training.pocket.robust import RISE, SIDE, adversarial, norms, radius
from training.pocket.run import Plan, Run
from training.pocket.student import Student

SQUARE = 224


class Linear(nn.Module):
    """Logits that are linear in the pixels."""

    def __init__(self, side: int = 8) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3 * side * side, 2)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layer(images.flatten(1))
        return logits


def test_the_reach_grows_with_the_stretch_and_the_picture() -> None:
    assert radius(2.0, SIDE, 0.0) == 0
    assert radius(2.0, SIDE, RISE) == radius(2.0, SIDE, 1.0) == 2.0
    assert radius(2.0, SIDE // 2, 1.0) == 1.0


def test_half_of_a_batch_is_moved_and_no_further_than_asked() -> None:
    images, answers = torch.randn(7, 3, 8, 8), torch.full((7, 2), 0.5)
    moved = adversarial(Linear(), images, answers, 1.0, 0.3, seed=1, half=False)
    assert torch.equal(moved[3:], images[3:])
    assert float(norms(moved - images)[:3].min()) > 0.2
    assert float(norms(moved - images).max()) <= 0.3 + 1e-5


def test_the_step_goes_where_a_linear_network_does_worst() -> None:
    network, images = Linear(), torch.randn(8, 3, 8, 8)
    answers = F.one_hot(torch.zeros(8, dtype=torch.int64), 2).float()
    shift = (adversarial(network, images, answers, 1.0, 0.5, seed=1, half=False) - images)[:4]
    worst = (network.layer.weight[1] - network.layer.weight[0]).detach().expand(4, -1)
    assert float(F.cosine_similarity(shift.flatten(1), worst).min()) > 0.8  # the rest is the random start


def test_moving_teaches_the_network_nothing() -> None:
    network = Linear()
    adversarial(network, torch.randn(4, 3, 8, 8), torch.full((4, 2), 0.5), 1.0, 0.3, seed=1, half=False)
    assert all(weight.grad is None for weight in network.parameters())


@pytest.fixture
def lesson_of_noise() -> Lesson:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(6, 3, 64, 64, generator=generator)
    return Lesson(images, torch.rand(6, 1000, generator=generator).softmax(1), torch.randn(6, 18, generator=generator))


def test_a_robust_stretch_differs_from_a_plain_one(lesson_of_noise: Lesson) -> None:
    plan = Plan(hours=1, steps=4, sizes=((64, 1.0),), muon=0.03, adam=2e-3, decay=0.02, fall=0.5, warm_up=1)
    ends = []
    for robust in (0.0, 4.0, 4.0):
        torch.manual_seed(0)
        run = Run(Student(), replace(plan, robust=robust), torch.device("cpu"))
        run.step = 2
        run.learn(lesson_of_noise, 1.0)
        ends.append(run.student.network.classifier[6].weight.detach().clone())
    assert not torch.equal(ends[0], ends[1])
    assert torch.equal(ends[1], ends[2])


def test_photos_kept_out_are_read_by_themselves(tiny_photos: Path) -> None:
    wanted, alone = split(read_photos(tiny_photos), 3)[1], read_held_out(tiny_photos, 3)
    assert np.array_equal(wanted.classes, alone.classes)
    assert [image.tobytes() for image in wanted.images] == [image.tobytes() for image in alone.images]


def test_paired_differences_are_those_of_a_t_interval() -> None:
    old, new = torch.randn(2, 400, generator=torch.Generator().manual_seed(0)).double()
    mean, half = paired(old, new)
    assert mean == pytest.approx(float((new - old).mean()))
    assert half == pytest.approx(1.96 * np.std((new - old).numpy(), ddof=1) / 20)
    assert paired(old, old + 1)[1] == pytest.approx(0, abs=1e-12)  # what both share tells nothing


def test_a_network_that_says_what_the_teacher_says_is_not_apart_from_it() -> None:
    logits = torch.randn(5, 1000, generator=torch.Generator().manual_seed(0))
    found = answered(logits, logits, logits.argmax(dim=1))
    assert found["top-1 %"].all()
    assert found["teacher's first in top-5 %"].all()
    assert_close(found["divergence from the teacher"], torch.zeros(5), atol=1e-5, rtol=0)


class Window(nn.Module):
    """Logits of two classes: how bright one corner is, and nothing."""

    def forward(self, images: Tensor) -> Tensor:
        seen = images[:, :, :48, :48].mean((1, 2, 3))
        return torch.stack([6 * seen, torch.full_like(seen, 4)], dim=1)


def test_cells_in_the_right_order_are_told_from_the_wrong_order() -> None:
    images = torch.zeros(1, 3, SQUARE, SQUARE)
    images[:, :, :48, :48] = 1
    images -= images.mean()
    right = cells(images[:, 0]).argsort(dim=1, descending=True)
    judge, classes = Window(), torch.tensor([0])
    assert kept(judge, images, classes, right, insert=True) > kept(judge, images, classes, right.flip(1), insert=True)
    assert kept(judge, images, classes, right, insert=False) < kept(judge, images, classes, right.flip(1), insert=False)


def test_rank_correlation_is_spearmans() -> None:
    one, other = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0))
    wanted = [spearmanr(a.numpy(), b.numpy()).statistic for a, b in zip(one, other, strict=True)]
    assert_close(rank_correlation(one, other), torch.tensor(wanted, dtype=torch.float64))


def test_waves_are_rough_where_they_are_fine() -> None:
    places = torch.arange(64) * 2 * torch.pi
    coarse, fine = ((places * rate).sin().expand(1, 3, 64, 64) for rate in (1 / 16, 3 / 8))
    assert float(rough(coarse)) < 1e-6
    assert float(rough(fine)) > 1 - 1e-6
