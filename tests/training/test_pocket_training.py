"""The recipe of the pocket network: folding, resuming, labelling once, and going on from a weights file alone."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from training.distillation.lessons import Lessons, Style, coloured, mixed
from training.distillation.photos import boxes, order, read_photos, split
from training.distillation.teacher import SIZE, Teacher, balance, normalise, surveyed
from training.pocket import average
from training.pocket.optimiser import SLOW, SLOW_LAYERS, optimisers, orthogonal
from training.pocket.run import Plan, Run, export, prior, settle, similarity_loss
from training.pocket.student import NORMED, Student, denoised, folded, reheaded, unfolded
from training.pocket.train import arguments, main
from triscope.network.loading.pocket import PocketAlexNet, expand

PLAN = Plan(hours=1, steps=10, sizes=((64, 0.5), (96, 0.3), (128, 0.2)), muon=0.03, adam=2e-3, decay=0.02, fall=0.5)


def images(count: int = 4, size: int = 64, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def student() -> Student:
    """A student with statistics, gains and shifts that are not those of the first moment."""
    torch.manual_seed(0)
    student = Student()
    for normed in student.normed().values():
        nn.init.uniform_(normed.norm.weight, 0.5, 1.5)
        nn.init.normal_(normed.norm.bias, std=0.2)
    settle(student, [images(8, seed=1), images(8, seed=2)])
    return student.eval()


def test_folding_is_batch_normalisation_in_eval_mode(student: Student) -> None:
    with torch.no_grad():
        plain, normed = folded(student)(images()), student(images())
    assert (plain - normed).abs().max() < 1e-5 * normed.abs().max()


def test_folding_leaves_the_student_as_it_was(student: Student) -> None:
    before = {name: value.clone() for name, value in student.state_dict().items()}
    folded(student)
    assert all(torch.equal(before[name], value) for name, value in student.state_dict().items())


def test_a_weights_file_alone_is_enough_to_go_on(student: Student) -> None:
    network = folded(student)
    again = unfolded(network, [images(16, seed=3), images(16, seed=4)])
    with torch.no_grad():
        assert_close(again.eval()(images()), network(images()), rtol=1e-4, atol=1e-4)


def test_going_on_starts_with_the_statistics_of_the_photos(student: Student) -> None:
    network, batch = folded(student), images(32, seed=3)
    again = unfolded(network, [batch]).train()
    with torch.no_grad():
        assert_close(again(batch), network(batch), rtol=1e-3, atol=1e-3)  # so the first step is no leap


def test_going_on_starts_with_rows_as_long_as_a_new_students(student: Student) -> None:
    for normed in unfolded(folded(student), [images()]).normed().values():
        rows = normed.layer.weight.flatten(1).norm(dim=1)
        assert_close(rows, torch.full_like(rows, 2**0.5))


def test_denoised_filters_give_the_same_outputs_and_have_a_smaller_norm() -> None:
    smooth = F.avg_pool2d(images(16, size=70), 7, stride=1)
    filters = torch.randn(8, 3, 11, 11)
    quiet = denoised(filters, smooth, noise=1e-4)
    before, after = F.conv2d(smooth, filters), F.conv2d(smooth, quiet)
    assert (after - before).std() < 0.05 * before.std()
    assert quiet.norm() < 0.9 * filters.norm()
    assert_close(denoised(filters, images(64), noise=1e-9), filters, rtol=1e-4, atol=1e-4)


def test_no_class_is_likelier_than_another_once_the_prior_is_off() -> None:
    torch.manual_seed(0)
    network, batches = PocketAlexNet().eval(), [images(8), images(8, seed=1)]
    nn.init.normal_(network.classifier[6].bias)
    taken = prior(network, batches)
    with torch.no_grad():
        network.classifier[6].bias -= taken
        even = torch.cat([network(batch) for batch in batches]).softmax(dim=1).mean(dim=0)
    assert taken.std() > 0.5
    assert_close(even * 1000, torch.ones(1000), rtol=0.05, atol=0)


def test_every_layer_but_the_last_is_normalised(student: Student) -> None:
    assert list(student.normed()) == list(NORMED)
    layers = [name for name, module in PocketAlexNet().named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert list(NORMED) == layers[:-1]


def test_a_new_head_keeps_the_trunk_and_how_alike_it_finds_pictures(student: Student) -> None:
    batches = [images(6, seed=seed).repeat(4, 1, 1, 1) + images(24, seed=seed + 2) for seed in (5, 6)]
    old, again = (unfolded(folded(student), batches) for _ in range(2))
    reheaded(again, batches)
    for each in (old, again):
        settle(each, batches)
    network, pictures = folded(again), torch.cat(batches)
    with torch.no_grad():
        maps = network.features(pictures)
        assert torch.equal(maps, folded(old).features(pictures))
        pooled = network.avgpool(maps).flatten(1)
        reduced = network.classifier[:3](pooled)
        hidden = network.classifier[:6](pooled)
        projected = network.classifier[1](pooled)
    assert_close(projected[:, :512], -projected[:, 512:], rtol=1e-3, atol=1e-3)
    mirrored = reduced[:, :512] - reduced[:, 512:]  # so the ReLU between has lost nothing
    assert_close(mirrored, projected[:, :512], rtol=1e-3, atol=1e-3)
    weakened = whitened(pooled, 0.25)
    assert alike(mirrored, weakened) > 0.99
    assert alike(hidden, weakened) > 0.9


def whitened(vectors: Tensor, power: float) -> Tensor:
    u, s, _ = torch.linalg.svd(vectors - vectors.mean(dim=0), full_matrices=False)
    return u[:, :-1] * s[:-1] ** (1 - 2 * power)


def alike(ours: Tensor, theirs: Tensor) -> float:
    """Correlation of the cosines of all pairs, after centring."""
    pairs = torch.triu_indices(len(ours), len(ours), 1).unbind()
    cosines = [(unit @ unit.T)[pairs] for v in (ours, theirs) for unit in [F.normalize(v - v.mean(dim=0), dim=1)]]
    return float(torch.corrcoef(torch.stack(cosines))[0, 1])


def test_a_new_head_wants_a_trunk(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--photos", ".", "--teacher", "t", "--run", "r", "--new-head"])
    assert "name it with --start" in capsys.readouterr().err


@pytest.mark.parametrize("muon", [0.0, 0.02])
def test_every_weight_is_taught_and_the_dense_layers_before_the_last_slowly(muon: float) -> None:
    student = Student()
    names = {id(value): name for name, value in student.named_parameters()}
    groups = [group for made in optimisers(student, muon, 1e-3, 0.01) for group in made.param_groups]
    peaks = {names[id(value)]: group["lr"] for group in groups for value in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(peaks) == len(names)
    slow = {name for name in peaks if name.startswith(SLOW_LAYERS)}
    assert slow == {name for name, peak in peaks.items() if peak == SLOW * 1e-3}
    assert peaks["network.classifier.6.weight"] == peaks["network.features.0.layer.weight"] == 1e-3


@pytest.mark.parametrize("shape", [(8, 20), (20, 8)])
def test_orthogonal_keeps_directions_and_evens_out_lengths(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inside = u.T @ orthogonal(matrix) @ v.T
    assert inside.diagonal().min() > 0.6
    assert inside.diagonal().max() < 1.3
    assert (inside - torch.diag(inside.diagonal())).abs().max() < 0.05  # in bfloat16, where the processor has it


def test_a_plan_grows_the_pictures_and_lowers_the_rate_at_the_end() -> None:
    assert [PLAN.size(p) for p in (0, 0.49, 0.51, 0.79, 0.81, 1)] == [64, 64, 96, 96, 128, 128]
    assert PLAN.rate(0, 0.0) == pytest.approx(1 / 200)
    assert PLAN.rate(500, 0.5) == 1
    assert PLAN.rate(500, 0.75) == pytest.approx(0.5)
    assert PLAN.rate(500, 1) == 0


def test_photos_are_read_in_the_order_of_the_index_and_split_once(tiny_photos: Path) -> None:
    photos = read_photos(tiny_photos)
    assert photos.classes.tolist() == [-1, 1, -1, 3, -1, 5, -1, 7, -1, 9, -1, 11]
    assert [image.size for image in photos.images[:2]] == [(40, 56), (56, 40)]
    kept, watched = split(photos, 2)
    assert list(map(id, split(photos, 2)[1].images)) == list(map(id, watched.images))
    assert (len(kept), len(watched)) == (10, 2)
    assert (watched.classes >= 0).all()
    assert not set(map(id, kept.images)) & set(map(id, watched.images))


def test_crops_lie_inside_the_photo_and_are_the_same_for_ever(tiny_photos: Path) -> None:
    photos = read_photos(tiny_photos)
    crops = boxes(photos, 3, seed=0)
    sizes = np.array([image.size for image in photos.images])
    assert (crops[:, :2] >= 0).all()
    assert (crops[:, 2:] <= sizes + 1e-9).all()
    share = (crops[:, 2:] - crops[:, :2]).prod(axis=1) / sizes.prod(axis=1)
    assert share.min() > 0.2
    assert share.max() <= 1
    assert np.array_equal(crops, boxes(photos, 3, seed=0))
    assert not np.array_equal(crops, boxes(photos, 4, seed=0))


def test_an_epoch_shows_each_photo_as_often_as_its_weight_asks() -> None:
    even = np.ones(12)
    assert sorted(order(even, 1, seed=0)) == list(range(12))
    assert (order(even, 1, 0) != order(even, 2, 0)).any()
    weights = np.array([3.0, 1, 1, 1, 1, 1, 0])
    shown = np.sum([np.bincount(order(weights, epoch, 0), minlength=7) for epoch in range(200)], axis=0) / 200
    assert np.abs(shown - weights * 7 / 8).max() < 0.1


def test_photos_of_rare_classes_are_shown_more() -> None:
    logits = np.zeros((5, 1000))
    logits[:4, 7] = logits[4, 8] = 100  # four photos of one class, one of another
    assert_close(balance(logits), np.array([5, 5, 5, 5, 10]) / 6)


def test_the_photos_are_surveyed_once(tiny_photos: Path, tmp_path: Path) -> None:
    photos, teacher = read_photos(tiny_photos), Counting()
    weights = [surveyed(teacher, photos, 0, torch.device("cpu"), tmp_path / "balance.npy") for _ in range(2)]
    assert teacher.seen == 12
    assert np.array_equal(*weights)
    assert weights[0].mean() == pytest.approx(1)


def test_colour_of_no_strength_is_the_plain_normalisation() -> None:
    pixels = torch.randint(0, 256, (2, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert_close(coloured(pixels, 0.0, torch.Generator()), normalise(pixels), rtol=1e-5, atol=1e-5)


def test_grey_pictures_stay_grey_when_coloured() -> None:
    grey = torch.full((1, 3, 2, 2), 100, dtype=torch.uint8)
    seen = coloured(grey, 0.5, torch.Generator().manual_seed(1)) - normalise(torch.zeros_like(grey))
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    assert_close((seen * std).std(dim=1), torch.zeros(1, 2, 2), rtol=0, atol=1e-6)


class Counting(nn.Module):
    """A teacher that answers with the mean brightness, and counts the crops it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        assert pixels.shape[-1] == SIZE
        self.seen += len(pixels)
        means = pixels.float().mean(dim=(1, 2, 3))[:, None]
        return means.expand(-1, 1000) * torch.linspace(0, 0.1, 1000), means.expand(-1, 512)


def test_lessons_are_told_twice_and_the_teacher_is_asked_once(tiny_photos: Path) -> None:
    photos, teacher = read_photos(tiny_photos), Counting()
    lessons = Lessons(photos, np.ones(len(photos)), teacher, 4, seed=0, style=Style(colour=0.0))
    told = [lessons.lesson(step, lessons.pixels(step, 64), 64, torch.device("cpu")) for step in range(9)]
    assert teacher.seen == 24  # 12 photos in each of the first and third epoch
    for lesson in told:
        assert lesson.images.shape == (4, 3, 64, 64)
        assert_close(lesson.answers.sum(dim=1), torch.ones(4))
    for first, again, other in zip(told[:3], told[3:6], told[6:], strict=True):
        assert_close(first.images, again.images)
        assert_close(first.answers, again.answers)
        assert_close(first.features, again.features)
        assert not torch.equal(first.images, other.images)


def test_answers_are_kept_only_where_they_are_told_again(tiny_photos: Path) -> None:
    photos = read_photos(tiny_photos)
    lessons = Lessons(photos, np.ones(len(photos)), Counting(), 4, seed=0, style=Style())
    for step, kept in ((5, 0), (6, 1), (9, 0)):  # 5: a run that goes on in the second epoch; 9 tells 6 again
        lessons.lesson(step, lessons.pixels(step, 64), 64, torch.device("cpu"))
        assert len(lessons.remembered) == kept


def test_the_teacher_tells_where_in_the_picture_its_features_are(tiny_teacher: Path) -> None:
    pixels = torch.zeros(2, 3, SIZE, SIZE)
    pixels[1, :, : SIZE // 3] = 255
    logits, features = Teacher(tiny_teacher)(pixels)
    assert logits.shape == (2, 1000)
    assert features.shape == (2, 512 * 9)
    above, _, below = (features[1] - features[0]).view(512, 3, 3).norm(dim=(0, 2))
    assert above > 2 * below


def test_what_is_mixed_has_half_of_the_other_at_most() -> None:
    pixels = torch.zeros(2, 3, 32, 32)
    pixels[1] = 1
    for seed in range(40):
        made, truth = mixed(pixels, torch.eye(2), Style(), torch.Generator().manual_seed(seed))
        assert_close(truth.sum(dim=1), torch.ones(2))
        assert_close(made.mean(dim=(1, 2, 3)), truth[:, 1])  # a class has the share of the image that shows it
        assert truth.diagonal().min() >= 0.45
    assert torch.equal(pixels[0], torch.zeros(3, 32, 32))


def test_the_similarity_loss_is_zero_where_neighbours_agree() -> None:
    vectors = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
    turned = torch.linalg.qr(torch.randn(32, 8, generator=torch.Generator().manual_seed(1)))[0]
    assert similarity_loss(3 * vectors @ turned.T + 1, vectors) < 1e-5  # the same similarities, in another space
    assert similarity_loss(vectors.roll(1, 0), vectors) > 0.1


@pytest.mark.parametrize("new_head", [False, True])
def test_a_stretch_begins_from_a_weights_file_or_from_its_trunk(
    tiny_photos: Path,
    tiny_teacher: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    student: Student,
    new_head: bool,
) -> None:
    export(folded(student), tmp_path / "start.safetensors")
    network = PocketAlexNet().eval()
    network.load_state_dict(expand(load_file(tmp_path / "start.safetensors")))
    begun = []

    def learn(run: Run, *_: object) -> float:
        begun.append(folded(run.student.eval()))
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "learn", learn)
    words = f"--photos {tiny_photos} --teacher {tiny_teacher} --run {tmp_path / 'run'} --steps 3 --batch 4 --held-out 2"
    words += f" --device cpu --start {tmp_path / 'start.safetensors'}" + " --new-head" * new_head
    with pytest.raises(KeyboardInterrupt):
        main(words.split())
    with torch.no_grad():
        assert_close(begun[0].features(images()), network.features(images()), rtol=1e-3, atol=1e-3)
        same = torch.allclose(begun[0](images()), network(images()), rtol=1e-3, atol=1e-3)
    assert same is not new_head


def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    tiny_photos: Path, tiny_teacher: Path, tmp_path: Path, killed_after_a_step: Callable[[Callable[[], object]], None]
) -> None:
    def start(name: str) -> dict[str, Tensor]:
        words = f"--photos {tiny_photos} --teacher {tiny_teacher} --run {tmp_path / name} --steps 2 --batch 4"
        words += " --minutes 0 --held-out 2 --sizes 64:0.5,96:0.5 --device cpu"
        main(words.split())
        return load_file(tmp_path / name / "pocket.safetensors")

    whole = start("whole")
    killed_after_a_step(lambda: start("killed"))
    halves = start("killed")
    assert all(torch.equal(whole[name], halves[name]) for name in whole)
    PocketAlexNet().load_state_dict(expand(halves))
    lines = [json.loads(line) for line in (tmp_path / "killed" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert {"top1", "top5"} < set(lines[-1]["watched"])


def test_the_average_of_files_has_the_mean_of_their_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    networks = []
    for seed, file in enumerate(files):
        torch.manual_seed(seed)
        network = PocketAlexNet()
        export(network, file)
        networks.append(expand(load_file(file)))
    monkeypatch.setattr("sys.argv", ["average", *map(str, files), "--out", str(tmp_path / "mean.safetensors")])
    average.main()
    found = expand(load_file(tmp_path / "mean.safetensors"))
    for name, value in found.items():
        wanted = (networks[0][name] + networks[1][name]) / 2
        assert (value - wanted).abs().max() <= wanted.abs().max() / 127, name  # eight bits a weight
