"""Boxes of a detector against autograd on the module, and detectors of all kinds brought into one form."""

import sys

import pytest
import torch
from torch import nn

import triscope as ts
from tests import nets
from triscope.errors import NetworkError, ObjectiveError
from triscope.objectives.detection import overlap

TINY = 1e-6
SIZE = (12, 16)


class Anchors(nn.Module):
    """A one-stage detector in small: a box of 8 x 8 pixels around each of 2 x 3 places, moved by what it sees.

    It answers as YOLO does: (B, 4 + K, N), centre and size in pixels, then the scores of the classes.
    """

    def __init__(self, classes=3):
        super().__init__()
        self.body = nets.fill(nn.Sequential(nn.Conv2d(3, 5, 4, 4), nn.Tanh(), nn.Conv2d(5, 4 + classes, 2)))

    def forward(self, x):
        out = self.body(x)
        rows, cols = out.shape[2:]
        y, x = torch.meshgrid(torch.arange(rows) * 4 + 4.0, torch.arange(cols) * 4 + 4.0, indexing="ij")
        places = torch.stack([x, y, torch.full_like(x, 8), torch.full_like(x, 8)]).to(out)
        boxes = places + out[:, :4].tanh()
        return torch.cat([boxes, out[:, 4:].sigmoid()], 1).flatten(2), "features"


def yolo(returned):
    boxes, scores = returned[0].transpose(1, 2).split([4, returned[0].shape[1] - 4], -1)
    return ts.detections(boxes, scores, form="cxcywh")


@pytest.fixture
def module():
    return Anchors().double()


@pytest.fixture
def network(module):
    return ts.Network(module, size=SIZE, task="boxes", output=yolo, classes=["cat", "dog", "3-D bus"])


@pytest.fixture
def images():
    return torch.rand(2, 3, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def iou_slowly(one, other):
    """Counted on a fine grid."""
    y, x = torch.meshgrid(torch.arange(0, 20, 0.05) + 0.025, torch.arange(0, 20, 0.05) + 0.025, indexing="ij")
    inside = [(y > b[0]) & (y < b[2]) & (x > b[1]) & (x < b[3]) for b in (one, other)]
    return float((inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum())


def test_overlaps_are_areas():
    boxes = torch.tensor([[1.0, 2, 9, 12], [4, 5, 6, 15], [0, 0, 1, 1], [3, 3, 3, 9]])
    other = torch.tensor([2.0, 4, 10, 14])
    found = overlap(boxes[None], other.view(1, 1, 4))[0]
    wanted = [iou_slowly(one, other) for one in boxes]
    torch.testing.assert_close(found, torch.tensor(wanted), atol=2e-3, rtol=0)
    assert found[2:].tolist() == [0, 0]


def test_the_score_of_the_best_box_is_what_autograd_says(module, network, images):
    box = (0, 4, 8, 12)
    leaf = images.clone().requires_grad_()
    answers = module(leaf)[0]
    scores = []
    for one in answers:
        x, y, width, height = one[:4]
        corners = torch.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], 1)
        overlaps = torch.tensor([iou_slowly(corner.detach(), box) for corner in corners])
        assert overlaps.max() >= 0.5
        scores.append(one[4 + 1, overlaps.argmax()])
    (gradient,) = torch.autograd.grad(sum(scores), leaf)
    found = ts.gradient(network, images, ts.Box("dog", box))
    torch.testing.assert_close(found.scores, torch.stack(scores).detach(), atol=TINY, rtol=0)
    torch.testing.assert_close(found.values, gradient, atol=TINY, rtol=0)
    torch.testing.assert_close(
        ts.saliency(network, images, "box:dog@0,4,8,12").values[:, 0], gradient.abs().amax(1), atol=TINY, rtol=0
    )


def test_the_top_class_is_the_most_certain_box(network, images):
    told = ts.predict(network, images, k=4)
    output = network.look(images, ["output"])["output"]
    torch.testing.assert_close(told.values, output[..., 4:].amax(2).topk(4).values)
    heat = ts.saliency(network, images)
    torch.testing.assert_close(heat.scores, told.values[:, 0])
    assert heat.asked == tuple(row[0] for row in told.names)
    again = ts.saliency(network, images, heat.recipe.objective)
    assert torch.equal(again.values, heat.values)
    for index in range(2):
        alone = ts.saliency(network, images[index : index + 1])
        torch.testing.assert_close(alone.values, heat[index].values)
        assert alone.recipe.objective == heat[index].recipe.objective
        named = ts.saliency(network, images[index : index + 1], told.names[index][0])
        torch.testing.assert_close(named.scores, told.values[index, :1])


def test_a_hidden_box_scores_nothing(network):
    """In an image without any such box the score is 0, and methods that hide parts of the image can go on."""
    boxes = torch.tensor([[[0.0, 0, 4, 4], [6, 6, 12, 12]]])
    scores = torch.tensor([[[0.9, 0.0], [0.2, 0.7]]])
    output = {ts.Need("output"): ts.detections(boxes, scores)}
    assert ts.Box(0, (0, 0, 4, 4))(output).item() == pytest.approx(0.9)
    assert ts.Box(1, (0, 0, 4, 4))(output).item() == 0  # the box that is there is of another class
    assert ts.Box(1, (7, 7, 12, 12))(output).item() == pytest.approx(0.7)
    assert ts.Box(1, (9, 9, 15, 15))(output).item() == 0
    assert ts.Box(1, (9, 9, 15, 15), iou=0.1)(output).item() == pytest.approx(0.7)
    none = torch.zeros(1, 0, 6, requires_grad=True)
    assert ts.Box(1, (9, 9, 15, 15))({ts.Need("output"): none}).item() == 0
    with pytest.raises(ObjectiveError, match=r"overlaps this one by 0\.5; the largest overlap is 0\.14"):
        ts.Box(1, (9, 9, 15, 15)).resolve(output)
    with pytest.raises(ObjectiveError, match="none overlaps it at all"):
        ts.Box(1, (0, 0, 4, 4)).resolve(output)
    found = ts.occlusion(network, torch.rand(1, 3, *SIZE), ts.Box("dog", (0, 4, 8, 12)), window=6)
    assert found.values.isfinite().all()


TEXTS = {
    "box:17@10,20,50,60": ts.Box(17, (10, 20, 50, 60)),
    "box:dog@10.5,-20,50,60.25": ts.Box("dog", (10.5, -20, 50, 60.25)),
    "box:dog@10,20,50,60,iou=0.3": ts.Box("dog", (10, 20, 50, 60), iou=0.3),
    "box:dog@1,2,3,4|7@5,6,7,8": ts.Box(["dog", 7], [(1, 2, 3, 4), (5, 6, 7, 8)]),
    'box:"3-D bus"@1,2,3,4': ts.Box("3-D bus", (1, 2, 3, 4)),
    'box:"a@1,2,3,4|b"@1,2,3,4': ts.Box("a@1,2,3,4|b", (1, 2, 3, 4)),
}


@pytest.mark.parametrize("text", TEXTS)
def test_text_and_back(text):
    assert ts.unit(text) == TEXTS[text]
    assert str(TEXTS[text]) == text
    assert eval(repr(TEXTS[text]), {"Box": ts.Box}) == TEXTS[text]


def test_sums_of_boxes_have_a_text():
    asked = ts.Box("dog", (1, 2, 3, 4)) - 2 * ts.Box("cat", (1, 2, 3, 4))
    assert ts.unit(str(asked)) == asked
    assert ts.unit("box:3@1,2") == ts.Neuron("box", 3, 1, 2)  # a layer that is called so


def test_boxes_of_all_kinds_become_one():
    corners = torch.tensor([[[2.0, 1, 6, 9]]])  # x, y, x, y
    scores = torch.tensor([[[0.25, 0.75]]])
    wanted = torch.tensor([[[1.0, 2, 9, 6, 0.25, 0.75]]])
    assert torch.equal(ts.detections(corners, scores), wanted)
    assert torch.equal(ts.detections(torch.tensor([[[4.0, 5, 4, 8]]]), scores, form="cxcywh"), wanted)
    assert torch.equal(ts.detections(torch.tensor([[[2.0, 1, 4, 8]]]), scores, form="xywh"), wanted)
    shares = torch.tensor([[[0.25, 0.5, 0.25, 0.8]]])
    torch.testing.assert_close(ts.detections(shares, scores, form="cxcywh", size=(10, 16)), wanted)
    listed = [
        {"boxes": corners[0], "labels": torch.tensor([1]), "scores": torch.tensor([0.75])},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "scores": torch.zeros(0)},
    ]
    found = ts.detections(listed, classes=2)
    assert torch.equal(found, torch.tensor([[[1.0, 2, 9, 6, 0, 0.75]], [[0.0] * 6]]))
    with pytest.raises(ObjectiveError, match="number of classes"):
        ts.detections(listed)
    with pytest.raises(ObjectiveError, match="of class 1, and classes=1"):
        ts.detections(listed, classes=1)
    with pytest.raises(ObjectiveError, match="these are 1 x 4 and 1 x 1 x 2"):
        ts.detections(corners[0], scores)
    with pytest.raises(ObjectiveError, match="xyxy, cxcywh or xywh"):
        ts.detections(corners, scores, form="yxyx")


def test_what_cannot_be_asked_is_said(network, images):
    for box in ((1, 2, 3), (4, 4, 4, 8), "box", []):
        with pytest.raises(ObjectiveError, match="A box is"):
            ts.Box(1, box)
    with pytest.raises(ObjectiveError, match="iou must be above 0"):
        ts.Box(1, (1, 2, 3, 4), iou=0)
    with pytest.raises(ObjectiveError, match="has no class 'bus'"):
        ts.saliency(network, images, ts.Box("bus", (0, 4, 8, 12)))
    with pytest.raises(NetworkError, match="not declared as one"):
        ts.saliency(nets.network(), torch.rand(1, 3, 5, 7), ts.Box(1, (0, 0, 4, 4)))
    with pytest.raises(NetworkError, match="such as box:15@TOP,LEFT,BOTTOM,RIGHT"):
        ts.saliency(network, images, "dog")
    with pytest.raises(ObjectiveError, match="3 boxes were given for 2 images"):
        ts.saliency(network, images, ts.Box(1, [(0, 4, 8, 12)] * 3))
    with pytest.raises(ObjectiveError, match=r"no detected box of image [01] of that class"):
        ts.saliency(network, images, ts.Box(1, (0, 0, 1, 1)))


FACTORY = """
import torch
from tests.objectives.test_detection import Anchors, yolo
def make():
    import triscope as ts
    torch.manual_seed(0)
    return ts.Network(Anchors(), size=(12, 16), task="boxes", output=yolo, classes=["cat", "dog", "bus"])
"""


def test_on_the_command_line_and_made_again(tmp_path, monkeypatch):
    from click.testing import CliRunner
    from PIL import Image

    from triscope.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(FACTORY)
    Image.effect_noise((16, 12), 80).convert("RGB").save("photo.png")
    run = CliRunner().invoke
    for asked in ([], ["-u", "box:dog@0,4,8,12"]):
        done = run(main, ["saliency", "photo.png", "-m", "net.py:make", *asked, "-o", "one.png", "--force"])
        assert done.exit_code == 0, done.output
        again = run(main, ["redo", "one.png", "-m", "net.py:make", "-o", "two.png", "--force"])
        assert again.exit_code == 0, again.output
        assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    told = run(main, ["predict", "photo.png", "-m", "net.py:make"])
    assert told.exit_code == 0, told.output
    assert "box:" in told.output


def nms(boxes, scores, threshold):
    """Non-maximum suppression as it is defined, since torchvision's compiled one is not always there."""
    order, kept = scores.argsort(descending=True).tolist(), []
    while order:
        first = order.pop(0)
        kept.append(first)
        overlaps = overlap(boxes[order][None], boxes[first].view(1, 1, 4))[0]
        order = [index for index, one in zip(order, overlaps.tolist(), strict=True) if one <= threshold]
    return torch.tensor(kept, dtype=torch.int64)


DETECTORS = {
    "ssdlite320_mobilenet_v3_large": {"score_thresh": 0.0, "detections_per_img": 5, "topk_candidates": 5},
    "fasterrcnn_mobilenet_v3_large_320_fpn": {
        "box_score_thresh": 0.0,
        "box_detections_per_img": 5,
        "rpn_post_nms_top_n_test": 20,
        "rpn_pre_nms_top_n_test": 20,
        "min_size": 64,
    },
    "retinanet_resnet50_fpn": {"score_thresh": 0.0, "detections_per_img": 5, "topk_candidates": 5, "min_size": 64},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DETECTORS)
def test_torchvisions_detectors(name, monkeypatch):
    vision = nets.import_torchvision()
    monkeypatch.setattr(vision.ops.boxes, "nms", nms)
    monkeypatch.setattr(torch.ops.torchvision, "nms", nms, raising=False)
    pooling = sys.modules["torchvision.ops.roi_align"]  # where its compiled half is missing, it would call the compiler
    monkeypatch.setattr(pooling, "_roi_align", pooling._roi_align.__wrapped__)
    torch.manual_seed(0)
    options = {"weights": None, "weights_backbone": None, "num_classes": 4, **DETECTORS[name]}
    module = getattr(vision.models.detection, name)(**options).eval()
    network = ts.Network(module, size=(64, 64), task="boxes", output=lambda y: ts.detections(y, classes=4))
    images = torch.rand(1, 3, 64, 64)
    told = ts.predict(network, images, k=1)
    heat = ts.saliency(network, images, told.names[0][0])
    leaf = images.clone().requires_grad_()
    answer = module(leaf)[0]
    (gradient,) = torch.autograd.grad(answer["scores"].max(), leaf)
    torch.testing.assert_close(heat.scores, answer["scores"].max()[None].detach())
    torch.testing.assert_close(heat.values[:, 0], gradient.abs().amax(1), atol=TINY, rtol=1e-5)


class Listing(nn.Module):
    """Answers as torchvision's detectors do: of each image another number of boxes, each of one class."""

    def __init__(self):
        super().__init__()
        self.anchors = Anchors()

    def forward(self, x):
        answers, _ = self.anchors(x)
        found = []
        for one in answers.mT:
            scores, labels = one[:, 4:].max(1)
            kept = scores > scores.median()
            kept[: int(1 + one[0, 0] * 100) % 3] = True
            centre, half = one[kept, :2], one[kept, 2:4] / 2
            boxes = torch.cat([centre - half, centre + half], 1)
            found.append({"boxes": boxes, "labels": labels[kept], "scores": scores[kept]})
        return found


def test_lists_of_other_lengths_are_asked_together_as_alone():
    module = Listing().double()
    network = ts.Network(module, size=SIZE, task="boxes", output=lambda y: ts.detections(y, classes=3))
    images = torch.rand(6, 3, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    counts = [len(one["boxes"]) for one in module(images)]
    assert len(set(counts)) > 1
    together = ts.saliency(network, images)
    for index in range(6):
        alone = ts.saliency(network, images[index : index + 1])
        torch.testing.assert_close(alone.values, together[index].values)
        torch.testing.assert_close(alone.scores, together[index].scores)
        assert alone.recipe.objective == together[index].recipe.objective
        leaf = images[index : index + 1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(module(leaf)[0]["scores"].max(), leaf)
        torch.testing.assert_close(alone.values[:, 0], gradient.abs().amax(1), atol=TINY, rtol=0)
