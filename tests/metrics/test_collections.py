"""Judging a collection: labels, boxes and masks of a CSV file, and jobs that were killed."""

import json
import math
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from PIL import Image
from scipy import stats

import triscope as ts
from tests import nets
from triscope.metrics.intervals import interval, t_quantile
from triscope.metrics.labelled import LabelledPhotos
from triscope.network import Network
from triscope.verbs import METHODS

NAMES = ("apple", "bear", "cat", "dog", "eel")


def network(size=(5, 7)):
    return Network(nets.fill(nets.cnn()), size=size, classes=NAMES, name="tiny")


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    random = torch.Generator().manual_seed(0)
    for number in range(3):
        pixels = torch.randint(0, 256, (10, 14, 3), generator=random, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(folder / f"{number}.png")
    return folder


def labels(folder, text):
    path = folder / "labels.csv"
    path.write_text(textwrap.dedent(text).lstrip(), "utf-8")
    return str(path)


def ask(folder, **given):
    options = {"methods": ["saliency"], "numbers": ["insertion"], "steps": 3}
    return ts.judge(network(), collection=None if folder is None else str(folder), **(options | given))


@pytest.mark.parametrize("freedom", [1, 2, 3, 5, 9, 39, 399])
def test_the_quantile_is_student_s(freedom):
    assert float(t_quantile(torch.tensor(freedom))) == pytest.approx(stats.t.ppf(0.975, freedom), rel=2e-3)


def test_the_interval_is_that_of_scipy_and_of_what_is_known():
    values = torch.tensor([[0.1, math.nan], [0.5, 1.0], [0.2, math.nan], [0.9, math.nan]]).double()
    low, high = stats.t.interval(0.95, 3, values[:, 0].mean(), stats.sem(values[:, 0]))
    assert float(interval(values)[0]) == pytest.approx((high - low) / 2, rel=2e-3)
    assert math.isnan(float(interval(values)[1]))


def test_each_photo_is_asked_the_class_of_its_label(photos):
    found = ask(photos, labels=labels(photos, "file,label\n2.png,dog\n0.png,1\n"))
    assert found.names == ("0.png", "2.png")
    assert found.objective == ts.Logit([1, 3], task=found.objective.task)
    assert any("1 photos that the labels do not name are left out" in note for note in found.notes)
    alone = ts.judge(network(), str(photos / "2.png"), "dog", methods=["saliency"], numbers=["insertion"], steps=3)
    torch.testing.assert_close(found.values[1], alone.values[0])
    assert found.recipe.options["collection"] == "photos"
    assert found.image.numel() == 0


def test_without_labels_each_is_asked_its_top_class(photos):
    found = ask(photos)
    alone = [
        ts.judge(network(), str(photos / f"{n}.png"), methods=["saliency"], numbers=["insertion"], steps=3)
        for n in range(3)
    ]
    torch.testing.assert_close(found.values, torch.cat([one.values for one in alone]))


def test_a_csv_file_is_a_collection_by_itself(photos):
    path = labels(photos, "file,label\n1.png,bear\n")
    assert ask(path).names == ("1.png",)


def test_boxes_are_those_of_the_whole_picture(photos):
    path = labels(photos, "file,left,top,right,bottom\n0.png,2,4,8,10\n1.png,,,,\n")
    given = LabelledPhotos(network(), ts.Collection(photos), ts.Collection(path), "crop")
    first, second = given  # 10 x 14 pixels are seen as 5 x 7
    mask = torch.zeros(5, 7, dtype=torch.bool)
    mask[2:5, 1:4] = True
    assert torch.equal(first.mask, mask)
    assert second.mask is None
    found = ask(photos, labels=path, numbers=["pointing", "energy"])
    values = ts.saliency(network(), str(photos / "0.png")).values[0, 0]
    assert float(found.values[0, 0, 1]) == pytest.approx(float(values[mask].sum() / values.sum()), rel=1e-4)
    assert bool(found.values[1].isnan().all())


def test_masks_are_pictures_of_the_object(photos):
    drawn = torch.zeros(10, 14, dtype=torch.uint8)
    drawn[4:, 2:8] = 255
    Image.fromarray(drawn.numpy()).save(photos / "object.png")
    path = labels(photos, "file,mask\n0.png,object.png\n")
    (first,) = LabelledPhotos(network(), ts.Collection(photos), ts.Collection(path), "crop")
    mask = torch.zeros(5, 7, dtype=torch.bool)
    mask[2:5, 1:4] = True
    assert torch.equal(first.mask, mask)


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_box_and_a_mask_of_it_are_the_same(photos, fit):
    drawn = torch.zeros(10, 14, dtype=torch.uint8)
    drawn[2:8, 4:12] = 255
    Image.fromarray(drawn.numpy()).save(photos / "object.png")
    square = network(size=(8, 8))
    masks = []
    for text in ("file,xmin,ymin,xmax,ymax\n0.png,4,2,12,8\n", "file,mask\n0.png,object.png\n"):
        (one,) = LabelledPhotos(square, ts.Collection(photos), ts.Collection(labels(photos, text)), fit)
        masks.append(one.mask)
    assert float((masks[0] ^ masks[1]).sum()) <= 8  # a row or a column by rounding
    assert bool((masks[0] & masks[1]).any())


def test_what_cannot_be_used_is_listed_and_does_not_end_the_others(photos):
    (photos / "1.png").write_bytes(b"no picture")
    found = ask(photos)
    assert found.names == ("0.png", "2.png")
    assert any(note.startswith("One photo could not be used and is left out: 1.png: ") for note in found.notes)
    found = ask(photos, labels=labels(photos, "file,label\n0.png,unicorn\n2.png,cat\n"))
    assert found.names == ("2.png",)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"collection": None}, "name one of the two"),
        ({"images": torch.rand(1, 3, 5, 7)}, "name one of the two"),
        ({"numbers": ["pointing"]}, r"box \(left, top, right, bottom\)"),
        ({"labels": "file,colour\n0.png,red\n"}, "no column of classes, boxes or masks: its columns are colour"),
        ({"labels": "file,label\n9.png,cat\n"}, "names none of the 3 images"),
        ({"labels": "file,left,top,right,bottom\n0.png,5,5,5,9\n"}, "None of the 1 images can be used.*is empty"),
        ({"labels": "file,left,top,right,bottom\n0.png,a,5,7,9\n"}, "None of the 1 images.*'a'"),
        ({"collection": "nowhere"}, "nowhere does not exist"),
    ],
)
def test_what_cannot_be_judged_is_told(photos, given, message):
    given = dict(given)
    if "labels" in given:
        given["labels"] = labels(photos, given["labels"])
    with pytest.raises(ts.TriscopeError, match=message):
        ask(given.pop("collection", photos), **given)


def test_a_job_goes_on_where_it_was_stopped(photos, tmp_path):
    options = {
        "methods": ["saliency", "grad_cam"],
        "numbers": ["insertion", "class"],
        "steps": 3,
        "collection": str(photos),
    }
    whole = ts.judge(network(), **options)
    journal = tmp_path / "judged.job"
    steps = ts.judge.steps(network(), **options, checkpoint=str(journal))
    for _ in range(7):
        next(steps)
    steps.close()
    with journal.open("ab") as file:
        file.write(b'{"image": "cut o')  # killed while it wrote
    rest = list(ts.judge.steps(network(), **options, checkpoint=str(journal)))
    assert [step.index for step in rest] == list(range(8, 16))
    assert torch.equal(rest[-1].result.values.nan_to_num(), whole.values.nan_to_num())
    lines = [json.loads(line) for line in journal.read_text().splitlines()][1:]
    assert len({(line["digest"], line["map"]) for line in lines}) == len(lines) == 15
    again = list(ts.judge.steps(network(), **options, checkpoint=str(journal)))
    assert [step.index for step in again] == [15]
    more = ts.judge(network(), **(options | {"numbers": ["deletion", "class"]}), checkpoint=str(journal))
    assert torch.equal(more.values[..., 1].nan_to_num(), whole.values[..., 1].nan_to_num())


def test_another_job_s_checkpoint_is_refused(photos, tmp_path):
    journal = tmp_path / "judged.job"
    ask(photos, checkpoint=str(journal))
    with pytest.raises(ts.TriscopeError, match="its steps was 3, and is 4 now"):
        ask(photos, steps=4, checkpoint=str(journal))
    journal.write_text("shopping list\n")
    with pytest.raises(ts.TriscopeError, match="cannot be read as the checkpoint of a judgement"):
        ask(photos, checkpoint=str(journal))
    journal.write_text("shopping list")
    with pytest.raises(ts.TriscopeError, match="cannot be read as the checkpoint of a judgement"):
        ask(photos, checkpoint=str(journal))
    assert journal.read_text() == "shopping list"


def test_the_command_is_killed_and_goes_on(tmp_path, shared):
    words = [
        *(sys.executable, "-m", "triscope", "judge", "--collection", str(shared / "images/labelled/labels.csv")),
        *("-m", "squeezenet1_1", "--weights", str(shared / "models/squeezenet1_1.safetensors"), "--no-baselines"),
        *("--methods", "saliency", "--numbers", "insertion", "--steps", "2"),
        *("--checkpoint", str(tmp_path / "judged.job")),
    ]
    for _ in range(2):
        before = _lines(tmp_path / "judged.job")
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                while _lines(tmp_path / "judged.job") < before + 3:
                    assert process.poll() is None
                    time.sleep(0.05)
            finally:
                process.send_signal(signal.SIGKILL)
    whole = (tmp_path / "judged.job").read_bytes().rpartition(b"\n")[0].splitlines()[1:]
    names = [json.loads(line)["image"] for line in whole]
    assert len(names) == len(set(names)) >= 5


def _lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_method_that_the_network_does_not_allow_is_left_out():
    found = ts.judge(
        network(), torch.rand(1, 3, 5, 7), methods=["saliency", "attention_rollout"], numbers=["insertion"], steps=2
    )
    assert "attention_rollout" not in found.rows
    assert any(note.startswith("attention_rollout was left out. ") for note in found.notes)
    with pytest.raises(ts.TriscopeError, match="no attention"):
        ts.judge(network(), torch.rand(1, 3, 5, 7), methods=["attention_rollout"], numbers=["insertion"], steps=2)


def test_the_usual_methods_are_there():
    from triscope.where.by_name import USUAL_METHODS, heatmap_methods

    assert list(heatmap_methods()) == list(USUAL_METHODS)
    assert METHODS.keys() >= set(USUAL_METHODS)
