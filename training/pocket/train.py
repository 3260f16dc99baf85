"""Train the pocket network on a folder of photos and write its weights file. README.md in this folder has the details.

    python -m training.pocket.train --photos PHOTOS --teacher squeezenet1_1.safetensors --run RUN --hours 2

It can be interrupted; the same command resumes from the last checkpoint in RUN.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from training.distillation.lessons import Lessons
from training.distillation.training import Log, first_images, parser, prepared, sizes, train
from training.pocket.run import Plan, Run
from training.pocket.student import Student, denoised, reheaded, unfolded
from triscope.network.loading.pocket import PocketAlexNet, expand

WATCHED_SIZE = 160
HEAD_BATCHES = 64  # used for the principal components that initialise a new head
NOISE = 0.3  # assumed noise variance when first-layer filters are initialised, against the variance of patches


def beginning(weights: Path | None, new_head: bool, lessons: Lessons, size: int) -> Student:
    """A new student with denoised filters, or one initialised from a weights file, or from the trunk of one."""
    images = first_images(lessons, size)
    if weights is not None:
        network = PocketAlexNet()
        network.load_state_dict(expand(load_file(weights)))
        student = unfolded(network, images)
        return reheaded(student, first_images(lessons, size, HEAD_BATCHES)) if new_head else student
    student = Student()
    first = student.normed()["features.0"].layer
    filters = denoised(first.weight, torch.cat(list(images)), NOISE)
    first.weight.data = F.normalize(filters.flatten(1)).view_as(filters) * 2**0.5
    return student


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The parsed command line."""
    made = parser(__doc__, sizes=sizes("96:0.62,128:0.28,160:0.1"), adam=2e-3)
    made.add_argument("--start", type=Path, help="weights file to start from; default: random weights")
    made.add_argument("--new-head", action="store_true", help="use only the convolutional trunk of --start")
    made.add_argument(
        "--muon", type=float, default=0.03, help="learning rate of Muon for the inner convolutions; 0: AdamW"
    )
    made.add_argument(
        "--robust",
        type=float,
        default=0.0,
        metavar="EPS",
        help="L2 norm of adversarial perturbations, for 224 pixels; 0: none",
    )
    options = made.parse_args(words)
    if options.new_head and options.start is None:
        made.error("--new-head needs the weights file whose trunk it keeps: name it with --start")
    return options


def main(words: list[str] | None = None) -> None:
    """Load the data, resume from a checkpoint if there is one, train, export."""
    options = arguments(words)
    device = torch.device(options.device)
    lessons, held_out = prepared(options, device)
    plan = Plan(**{name: getattr(options, name) for name in Plan.__dataclass_fields__})
    checkpoint = options.run / "checkpoint.pt"
    if checkpoint.exists():
        run = Run(Student(), plan, device)
        run.restore(checkpoint)
    else:
        run = Run(beginning(options.start, options.new_head, lessons, plan.size(0)), plan, device)
    log = Log(options.run, "pocket.safetensors", run, lessons, held_out, WATCHED_SIZE)
    train(run, lessons, log, options.minutes, options.workers)


if __name__ == "__main__":
    main()
