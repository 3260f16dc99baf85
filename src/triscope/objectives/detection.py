"""Questions about a detector, whose output is a list of boxes with a score for each class.

    Network(module, task="boxes", output=lambda y: ts.detections(...))      (B, N, 4 + K)
    Box("dog", (10, 20, 50, 60))            the score of the detected box that overlaps this one best

A detector's output has for each image N candidates, and of each of them four sides in pixels of the image - top, left,
bottom, right: rows and columns, as everywhere here - and K scores in [0, 1], 0 for what it is not. `detections` brings
the answers of detectors of all kinds into this form.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor

from triscope.errors import NetworkError, ObjectiveError
from triscope.objectives.base import Activations, Need, Objective
from triscope.objectives.names import Class, Classes, classes_of, indices_of, name_after_colon, pick

if TYPE_CHECKING:
    from triscope.network import Network

Corners: TypeAlias = tuple[float, float, float, float]
#: How a library writes boxes: corners or centre and size, x before y.
BoxForm: TypeAlias = Literal["xyxy", "cxcywh", "xywh"]

_OUTPUT = Need("output")
SIDES = 4  # of a box: numbers before the scores
_SHOWN = re.compile(r"\.0$")


@dataclass(frozen=True, repr=False)
class Box(Objective):
    """The score of a class in the detected box that overlaps a given one best: output (B, N, 4 + K) -> (B,), in [0, 1].

    Of the candidates that have any score of the class and overlap `box` by at least `iou` (intersection over union),
    the one that overlaps it most is read, of equal ones that with the higher score. Where there is none, the score is
    0: the detection is gone. It is looked for in every image anew, since boxes move.

    classes     an index, a name, or a sequence with one of these per image
    box         (top, left, bottom, right) in pixels of the image that the network sees, or a sequence of one per image
    iou         the least overlap, in (0, 1]

    After V. Petsiuk et al., "Black-box explanation of object detectors via saliency maps", CVPR 2021, whose similarity
    has the overlap as a factor; here it only chooses.
    """

    classes: Classes
    box: Corners | tuple[Corners, ...]
    iou: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", classes_of(self.classes))
        object.__setattr__(self, "box", _boxes(self.box))
        if not 0 < self.iou <= 1:
            raise ObjectiveError(f"iou is an overlap above 0 and at most 1, not {self.iou!r}.")

    @property
    def needs(self) -> frozenset[Need]:
        """The network's output."""
        return frozenset({_OUTPUT})

    def __call__(self, activations: Activations) -> Tensor:
        """The score of the class in the best box: (B,), 0 where none overlaps enough."""
        output = candidates(activations[_OUTPUT])
        scores, overlaps = self._read(output)
        near = torch.where((overlaps >= self.iou) & (scores > 0), overlaps + 1e-6 * scores, -1.0)
        if near.shape[1] == 0:
            return output.flatten(1).sum(1)  # no candidates: 0, and still of the output
        best = near.detach().argmax(1, keepdim=True)
        score = scores.gather(1, best).squeeze(1)
        return torch.where(near.gather(1, best).squeeze(1) > 0, score, torch.zeros_like(score))

    def bind(self, network: "Network") -> "Box":
        """The same question with class names turned into indices. Raises NetworkError where there are no boxes."""
        if network.task != "boxes":
            raise NetworkError(
                f"{self} is a box, and {network.name} is not declared as a detector; see ts.detections, and say "
                'Network(..., task="boxes", output=).'
            )
        return replace(self, classes=indices_of(self.classes, network))

    def resolve(self, activations: Activations) -> "Box":
        """Itself. Raises ObjectiveError where an image has no such box, and says what is nearest."""
        scores, overlaps = self._read(candidates(activations[_OUTPUT]))
        overlaps = torch.where(scores > 0, overlaps, 0.0)
        for image, row in enumerate(overlaps):
            best = float(row.max()) if len(row) else 0.0
            if best < self.iou:
                near = f"the nearest overlaps by {best:.2f}" if best else "none touches it"
                place = f" of image {image}" if len(overlaps) > 1 else ""
                raise ObjectiveError(
                    f"{self.of(image)}: no box{place} of that class overlaps this one by {self.iou:g}; {near}. "
                    "`predict` lists the boxes there are."
                )
        return self

    def of(self, image: int) -> "Box":
        """The class and the box asked of that image."""
        classes = self.classes[image] if isinstance(self.classes, tuple) else self.classes
        box = self.box[image] if isinstance(self.box[0], tuple) else self.box
        return self if classes is self.classes and box is self.box else Box(classes, box, self.iou)

    def _read(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """The scores of the class (B, N), and how far each candidate overlaps the box (B, N)."""
        boxes, scores = output[..., :SIDES], output[..., SIDES:]
        wanted = torch.tensor(self.box, dtype=torch.float64).to(boxes).view(-1, 1, SIDES)
        if len(wanted) not in (1, len(boxes)):
            raise ObjectiveError(f"{len(wanted)} boxes were given for {len(boxes)} images; give one, or one for each.")
        return pick(scores.transpose(1, 2), self.classes), overlap(boxes.detach(), wanted)

    def __str__(self) -> str:
        names = self.classes if isinstance(self.classes, tuple) else (self.classes,)
        boxes = self.box if isinstance(self.box[0], tuple) else (self.box,)
        count = max(len(names), len(boxes))
        each = zip(names * (count // len(names)), boxes * (count // len(boxes)), strict=True)
        units = (_unit(name, box) for name, box in each)
        return f"box:{'|'.join(units)}{'' if self.iou == 0.5 else f',iou={self.iou:g}'}"


def detections(
    boxes: Tensor | Sequence[Mapping[str, Tensor]],
    scores: Tensor | None = None,
    *,
    form: BoxForm = "xyxy",
    size: Sequence[int] | None = None,
    classes: int | None = None,
) -> Tensor:
    """A detector's answer in the form in which it can be asked: (B, N, 4 + K); what `output=` or `call=` gives.

    Either `boxes` (B, N, 4) and `scores` (B, N, K) in [0, 1]; or what torchvision's detectors return, a list with
    {"boxes": (n, 4), "labels": (n,), "scores": (n,)} for each image, filled up with empty boxes to the longest list.

    form        how boxes are written: xyxy (corners, torchvision), cxcywh (centre and size, DETR and YOLO), xywh
    size        (rows, columns) of the image, where boxes are shares of it (DETR)
    classes     how many classes there are, for a list

    Raises ObjectiveError where shapes do not fit together.
    """
    if not isinstance(boxes, Tensor):
        return _listed(boxes, classes)
    if scores is None or boxes.ndim != 3 or boxes.shape[-1] != SIDES or scores.shape[:2] != boxes.shape[:2]:
        found = "none" if scores is None else _sides(scores.shape)
        raise ObjectiveError(
            f"Detections are boxes (B, N, 4) and scores (B, N, K); these are {_sides(boxes.shape)} and {found}."
        )
    x, y, right, bottom = boxes.unbind(-1)
    if form == "cxcywh":
        x, y, right, bottom = x - right / 2, y - bottom / 2, x + right / 2, y + bottom / 2
    elif form == "xywh":
        right, bottom = x + right, y + bottom
    elif form != "xyxy":
        raise ObjectiveError(f"Boxes are written as xyxy, cxcywh or xywh, not as {form!r}.")
    corners = torch.stack([y, x, bottom, right], -1)
    if size is not None:
        rows, cols = size
        corners = corners * corners.new_tensor([rows, cols, rows, cols])
    return torch.cat([corners, scores.to(corners)], -1)


def _listed(found: Sequence[Mapping[str, Tensor]], classes: int | None) -> Tensor:
    """Lists of boxes with one class each, filled up to the longest of them."""
    if classes is None:
        raise ObjectiveError("Say how many classes a list of detections is of: detections(..., classes=91).")
    longest, rows = max((len(one["boxes"]) for one in found), default=0), []
    for one in found:
        labels = one["labels"]
        if len(labels) and int(labels.max()) >= classes:
            raise ObjectiveError(f"A box is of class {int(labels.max())}, and classes={classes} were stated.")
        apart = torch.nn.functional.one_hot(labels, classes).to(one["scores"]) * one["scores"][:, None]
        each = detections(one["boxes"][None], apart[None])[0]
        rows.append(torch.cat([each, each.new_zeros(longest - len(each), SIDES + classes)]))
    return torch.stack(rows)


def candidates(output: Tensor) -> Tensor:
    """An output as candidates (B, N, 4 + K). Raises NetworkError where it is something else."""
    if output.ndim != 3 or output.shape[-1] <= SIDES:
        raise NetworkError(
            f"A detector's output is (B, N, 4 + K), boxes and scores; this one is {tuple(output.shape)}. See "
            "ts.detections."
        )
    return output


def overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of boxes (B, N, 4) with others (B or 1, 1, 4): (B, N); 0 for empty ones."""
    low, high = torch.maximum(boxes[..., :2], others[..., :2]), torch.minimum(boxes[..., 2:], others[..., 2:])
    both = (high - low).clamp_min(0).prod(-1)
    areas = [(one[..., 2:] - one[..., :2]).clamp_min(0).prod(-1) for one in (boxes, others)]
    return both / (areas[0] + areas[1] - both).clamp_min(torch.finfo(boxes.dtype).tiny)


def best_boxes(output: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `count` boxes that a detector is most certain of: corners (B, k, 4), classes (B, k), scores (B, k)."""
    output = candidates(output)
    scores, classes = output[..., SIDES:].max(-1)
    best = scores.topk(min(count, scores.shape[1]), 1)
    corners = output[..., :SIDES].gather(1, best.indices[..., None].expand(-1, -1, SIDES))
    return corners, classes.gather(1, best.indices), best.values


def box_unit(name: Class, corners: Sequence[float]) -> str:
    """A detected box as the unit by which it is asked, its corners to a hundredth of a pixel: `box:dog@10,20,50,60`."""
    return f"box:{_unit(name, [round(side, 2) for side in corners])}"


def asked_of_each(output: Tensor) -> Box:
    """The question about each image's most certain box, its corners to a hundredth of a pixel.

    Raises ObjectiveError where an image has no box.
    """
    corners, classes, scores = best_boxes(output, 1)
    if scores.shape[1] == 0 or not bool((scores > 0).all()):
        raise ObjectiveError("No box was detected, so there is none to explain; use an inner unit, LAYER:CHANNEL.")
    boxes = tuple(tuple(round(side, 2) for side in row) for row in corners[:, 0].tolist())
    indices = tuple(classes[:, 0].tolist())
    return Box(indices[0], boxes[0]) if len(boxes) == 1 else Box(indices, boxes)


def _boxes(given: object) -> Corners | tuple[Corners, ...]:
    try:
        values = torch.as_tensor(given, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ObjectiveError(f"A box is (top, left, bottom, right) in pixels, not {given!r}.") from error
    flat = values.reshape(-1, SIDES) if values.ndim in (1, 2) and values.shape[-1] == SIDES else values.new_empty(0, 4)
    if not len(flat) or not bool((flat[:, 2:] > flat[:, :2]).all()):
        raise ObjectiveError(f"A box is (top, left, bottom, right) in pixels, with top < bottom, not {given!r}.")
    rows = tuple((row[0], row[1], row[2], row[3]) for row in flat.tolist())
    return rows[0] if values.ndim == 1 else rows


def _unit(name: Class, corners: Sequence[float]) -> str:
    return f"{name_after_colon(name)}@{','.join(map(_number, corners))}"


def _number(value: float) -> str:
    """A coordinate as it stands in a text form."""
    return _SHOWN.sub("", repr(float(value)))


def _sides(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))
