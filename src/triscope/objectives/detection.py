"""Objectives for detectors, whose output is a list of boxes with a score for each class.

    Network(module, task="boxes", output=lambda y: ts.detections(...))      (B, N, 4 + K)
    Box("dog", (10, 20, 50, 60))            the score of the detected box that overlaps this one best

A detector's output has N candidates per image. Each consists of a box in pixels of the image (top, left, bottom, right)
and of K class scores in [0, 1]. `detections` converts the outputs of common detectors to this form.
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
#: The format of boxes in other libraries: corners, or centre and size; x before y.
BoxForm: TypeAlias = Literal["xyxy", "cxcywh", "xywh"]

_OUTPUT = Need("output")
SIDES = 4  # numbers of a box, before the scores
_SHOWN = re.compile(r"\.0$")


@dataclass(frozen=True, repr=False)
class Box(Objective):
    """The score of a class for the detected box nearest to a given one: output (B, N, 4 + K) -> (B,), in [0, 1].

    Of the candidates whose score for the class is above 0 and whose overlap with `box` is at least `iou` (intersection
    over union), the one with the largest overlap is chosen, with the higher score in a tie. The score is 0 if there is
    none. The candidate is chosen for every image anew, since boxes move when an image is changed.

    classes     an index, a name, or a sequence with one of these per image
    box         (top, left, bottom, right) in pixels of the preprocessed image, or a sequence of one per image
    iou         the smallest overlap that counts, in (0, 1]

    After V. Petsiuk et al., "Black-box explanation of object detectors via saliency maps", CVPR 2021. There the overlap
    is also a factor of the score; here it only selects the candidate.
    """

    classes: Classes
    box: Corners | tuple[Corners, ...]
    iou: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", classes_of(self.classes))
        object.__setattr__(self, "box", _boxes(self.box))
        if not 0 < self.iou <= 1:
            raise ObjectiveError(f"iou must be above 0 and at most 1, not {self.iou!r}.")

    @property
    def needs(self) -> frozenset[Need]:
        """The network's output."""
        return frozenset({_OUTPUT})

    def __call__(self, activations: Activations) -> Tensor:
        """The score of the class for the chosen candidate: (B,), 0 if none overlaps enough."""
        output = candidates(activations[_OUTPUT])
        scores, overlaps = self._read(output)
        near = torch.where((overlaps >= self.iou) & (scores > 0), overlaps + 1e-6 * scores, -1.0)
        if near.shape[1] == 0:
            return output.flatten(1).sum(1)  # no candidates: 0, with a gradient
        best = near.detach().argmax(1, keepdim=True)
        score = scores.gather(1, best).squeeze(1)
        return torch.where(near.gather(1, best).squeeze(1) > 0, score, torch.zeros_like(score))

    def bind(self, network: "Network") -> "Box":
        """The objective with class names replaced by indices. Raises NetworkError if the network is no detector."""
        if network.task != "boxes":
            raise NetworkError(
                f"{self} needs a detector, and {network.name} is not declared as one; use "
                'Network(..., task="boxes", output=), see ts.detections.'
            )
        return replace(self, classes=indices_of(self.classes, network))

    def resolve(self, activations: Activations) -> "Box":
        """Itself. Raises ObjectiveError if an image has no such box; the message has the largest overlap."""
        scores, overlaps = self._read(candidates(activations[_OUTPUT]))
        overlaps = torch.where(scores > 0, overlaps, 0.0)
        for image, row in enumerate(overlaps):
            best = float(row.max()) if len(row) else 0.0
            if best < self.iou:
                near = f"the largest overlap is {best:.2f}" if best else "none overlaps it at all"
                place = f" of image {image}" if len(overlaps) > 1 else ""
                raise ObjectiveError(
                    f"{self.of(image)}: no detected box{place} of that class overlaps this one by {self.iou:g}; "
                    f"{near}. `predict` lists the detected boxes."
                )
        return self

    def of(self, image: int) -> "Box":
        """The objective with the class and box of that image."""
        classes = self.classes[image] if isinstance(self.classes, tuple) else self.classes
        box = self.box[image] if isinstance(self.box[0], tuple) else self.box
        return self if classes is self.classes and box is self.box else Box(classes, box, self.iou)

    def _read(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """The scores of the class (B, N), and the overlap of each candidate with the box (B, N)."""
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
    """A detector's output in the form that `Box` needs: (B, N, 4 + K). To be used in `output=` or `call=` of a Network.

    Either `boxes` (B, N, 4) and `scores` (B, N, K) in [0, 1]; or the output of torchvision's detectors, a list of
    {"boxes": (n, 4), "labels": (n,), "scores": (n,)}, one per image, padded with empty boxes to the longest.

    form        the format of boxes: xyxy (corners; torchvision), cxcywh (centre and size; DETR and YOLO), xywh
    size        (rows, columns) of the image, if boxes are fractions of it (DETR)
    classes     the number of classes, for a list

    Raises ObjectiveError if the shapes do not match.
    """
    if not isinstance(boxes, Tensor):
        return _from_list(boxes, classes)
    if scores is None or boxes.ndim != 3 or boxes.shape[-1] != SIDES or scores.shape[:2] != boxes.shape[:2]:
        found = "none" if scores is None else _sides(scores.shape)
        raise ObjectiveError(
            f"Detections need boxes (B, N, 4) and scores (B, N, K); these are {_sides(boxes.shape)} and {found}."
        )
    x, y, right, bottom = boxes.unbind(-1)
    if form == "cxcywh":
        x, y, right, bottom = x - right / 2, y - bottom / 2, x + right / 2, y + bottom / 2
    elif form == "xywh":
        right, bottom = x + right, y + bottom
    elif form != "xyxy":
        raise ObjectiveError(f"The format of boxes is xyxy, cxcywh or xywh, not {form!r}.")
    corners = torch.stack([y, x, bottom, right], -1)
    if size is not None:
        rows, cols = size
        corners = corners * corners.new_tensor([rows, cols, rows, cols])
    return torch.cat([corners, scores.to(corners)], -1)


def _from_list(found: Sequence[Mapping[str, Tensor]], classes: int | None) -> Tensor:
    """Detections from one mapping of boxes, labels and scores per image, padded to the longest."""
    if classes is None:
        raise ObjectiveError("A list of detections needs the number of classes: detections(..., classes=91).")
    longest, rows = max((len(one["boxes"]) for one in found), default=0), []
    for one in found:
        labels = one["labels"]
        if len(labels) and int(labels.max()) >= classes:
            raise ObjectiveError(f"There is a box of class {int(labels.max())}, and classes={classes} is too few.")
        scores = torch.nn.functional.one_hot(labels, classes).to(one["scores"]) * one["scores"][:, None]
        each = detections(one["boxes"][None], scores[None])[0]
        rows.append(torch.cat([each, each.new_zeros(longest - len(each), SIDES + classes)]))
    return torch.stack(rows)


def candidates(output: Tensor) -> Tensor:
    """The output, checked to be candidates (B, N, 4 + K). Raises NetworkError if its shape is another."""
    if output.ndim != 3 or output.shape[-1] <= SIDES:
        raise NetworkError(
            f"A detector's output is (B, N, 4 + K), boxes and scores; this one is {tuple(output.shape)}. See "
            "ts.detections."
        )
    return output


def overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of boxes (B, N, 4) with others (B or 1, 1, 4): (B, N); 0 for empty boxes."""
    low, high = torch.maximum(boxes[..., :2], others[..., :2]), torch.minimum(boxes[..., 2:], others[..., 2:])
    both = (high - low).clamp_min(0).prod(-1)
    areas = [(one[..., 2:] - one[..., :2]).clamp_min(0).prod(-1) for one in (boxes, others)]
    return both / (areas[0] + areas[1] - both).clamp_min(torch.finfo(boxes.dtype).tiny)


def best_boxes(output: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The `count` boxes with the highest scores: corners (B, k, 4), classes (B, k), scores (B, k)."""
    output = candidates(output)
    scores, classes = output[..., SIDES:].max(-1)
    best = scores.topk(min(count, scores.shape[1]), 1)
    corners = output[..., :SIDES].gather(1, best.indices[..., None].expand(-1, -1, SIDES))
    return corners, classes.gather(1, best.indices), best.values


def box_unit(name: Class, corners: Sequence[float]) -> str:
    """The text form of a detected box, its corners rounded to a hundredth of a pixel: `box:dog@10,20,50,60`."""
    return f"box:{_unit(name, [round(side, 2) for side in corners])}"


def top_box(output: Tensor) -> Box:
    """The objective of each image's box with the highest score, its corners rounded to a hundredth of a pixel.

    Raises ObjectiveError if an image has no box.
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
    """A coordinate in a text form, without a final `.0`."""
    return _SHOWN.sub("", repr(float(value)))


def _sides(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))
