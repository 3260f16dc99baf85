"""Train the pocket network: photos in, one weights file out. See README.md beside this file.

    python -m training.pocket.train --photos PHOTOS --teacher squeezenet1_1.safetensors --run RUN --hours 2

Stop it when you like and start the same command again: it goes on from the last checkpoint in RUN.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from training.distillation.lessons import Lessons
from training.distillation.training import Diary, first_images, parser, prepared, sizes, train
from training.pocket.run import Plan, Run
from training.pocket.student import Student, quieted, reheaded, unfolded
from triscope.network.loading.pocket import PocketAlexNet, expand

WATCHED_SIZE = 160
HEAD_BATCHES = 64  # whose principal components a new head begins with
QUIET = 0.3  # price of a first filter's length, against the variance of patches


def beginning(weights: Path | None, new_head: bool, lessons: Lessons, size: int) -> Student:
    """A new student with quiet filters, or one that goes on from a weights file alone, or from its trunk."""
    images = first_images(lessons, size)
    if weights is not None:
        network = PocketAlexNet()
        network.load_state_dict(expand(load_file(weights)))
        student = unfolded(network, images)
        return reheaded(student, first_images(lessons, size, HEAD_BATCHES)) if new_head else student
    student = Student()
    first = student.normed()["features.0"].layer
    quiet = quieted(first.weight, torch.cat(list(images)), QUIET)
    first.weight.data = F.normalize(quiet.flatten(1)).view_as(quiet) * 2**0.5
    return student


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    made = parser(__doc__, sizes=sizes("96:0.62,128:0.28,160:0.1"), adam=2e-3)
    made.add_argument("--start", type=Path, help="begin from this weights file instead of from noise")
    made.add_argument("--new-head", action="store_true", help="begin from the trunk of --start alone")
    made.add_argument("--muon", type=float, default=0.03, help="learning rate of the inner convolutions; 0: AdamW")
    made.add_argument("--robust", type=float, default=0.0, metavar="EPS", help="L2 reach of harmful moves (at 224)")
    options = made.parse_args(words)
    if options.new_head and options.start is None:
        made.error("--new-head keeps the trunk of a weights file: name the file with --start")
    return options


def main(words: list[str] | None = None) -> None:
    """Read, resume, train, export."""
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
    diary = Diary(options.run, "pocket.safetensors", run, lessons, held_out, WATCHED_SIZE)
    train(run, lessons, diary, options.minutes, options.workers)


if __name__ == "__main__":
    main()
