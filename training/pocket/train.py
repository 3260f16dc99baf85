"""Train the pocket network: photos in, one weights file out. See README.md beside this file.

    python training/pocket/train.py --photos PHOTOS --teacher squeezenet1_1.safetensors --run RUN --hours 2

Stop it when you like and start the same command again: it goes on from the last checkpoint in RUN.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from lessons import Lessons, Style, resized
from photos import Photos, centre, read_photos, split
from run import Plan, Run, export
from safetensors.torch import load_file
from student import Student, quieted, reheaded, unfolded
from teacher import Teacher, normalise, surveyed
from torch import Tensor
from torch.nn import functional as F

from triscope.network.loading.pocket import PocketAlexNet, expand

WATCHED_SIZE = 160
LOG_EVERY = 50
HEAD_BATCHES = 64  # whose principal components a new head begins with
QUIET = 0.3  # price of a first filter's length, against the variance of patches


@torch.inference_mode()
def watched(network: PocketAlexNet, photos: Photos) -> dict[str, float]:
    """Top-1, top-5 and cross-entropy on photos kept out of training, middle squares."""
    classes = torch.from_numpy(photos.classes)
    pixels = torch.stack([centre(image, WATCHED_SIZE) for image in photos.images])
    logits = torch.cat([network(normalise(part)) for part in pixels.split(100)])
    hits = logits.topk(5, dim=1).indices == classes[:, None]
    return {
        "top1": round(float(hits[:, 0].float().mean()), 4),
        "top5": round(float(hits.any(dim=1).float().mean()), 4),
        "entropy": round(float(F.cross_entropy(logits, classes)), 4),
    }


class Diary:
    """`log.jsonl`, checkpoint.pt and pocket.safetensors in the run's folder."""

    def __init__(self, folder: Path, run: Run, lessons: Lessons, held_out: Photos) -> None:
        self.folder, self.run, self.lessons, self.held_out = folder, run, lessons, held_out
        self.losses: list[float] = []

    def note(self, loss: float, size: int) -> None:
        """Remember a step; every 50 a line is written."""
        self.losses.append(loss)
        if self.run.step % LOG_EVERY:
            return
        line = {"size": size, "rate": round(self.run.plan.rate(self.run.step, self.run.progress), 4)}
        self._write({**line, "answer": round(sum(self.losses) / len(self.losses), 4)})
        self.losses.clear()

    def keep(self) -> None:
        """Write the checkpoint and the weights file, and how good they are."""
        self.run.save(self.folder / "checkpoint.pt")
        network = self.run.exported(list(first_images(self.lessons, self.run.plan.size(self.run.progress))))
        export(network, self.folder / "pocket.safetensors")
        self._write({"watched": watched(network, self.held_out)})

    def _write(self, line: dict[str, object]) -> None:
        place = {"step": self.run.step, "hours": round(self.run.seconds / 3600, 4)}
        with (self.folder / "log.jsonl").open("a") as log:
            log.write(json.dumps({**place, **line}) + "\n")


def train(run: Run, lessons: Lessons, diary: Diary, minutes: float, workers: int) -> None:
    """Steps until the plan is done; checkpoint and weights every `minutes` and at the end."""
    clock, kept = time.monotonic(), run.seconds

    def size(step: int) -> int:
        return run.plan.size(run.plan.progress(step, run.seconds))

    for step, side, pixels in lessons.ahead(run.step, size, workers):
        if run.progress >= 1:
            break
        loss = run.learn(lessons.lesson(step, pixels, side, run.device), lessons.style.temperature)
        now = time.monotonic()
        run.seconds, clock = run.seconds + now - clock, now
        diary.note(loss, side)
        if run.seconds - kept > 60 * minutes and run.progress < 1:
            kept = run.seconds
            diary.keep()
    diary.keep()


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


def first_images(lessons: Lessons, size: int, count: int = 16) -> Iterator[Tensor]:
    """Plain crops of the first steps, to take statistics of."""
    for step in range(min(count, lessons.per_epoch)):
        yield normalise(resized(lessons.pixels(step, size).float(), size))


def sizes(text: str) -> tuple[tuple[int, float], ...]:
    """`96:0.5,128:0.5` -> ((96, 0.5), (128, 0.5))."""
    return tuple((int(size), float(share)) for size, share in (part.split(":") for part in text.split(",")))


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of tars with index.csv")
    parser.add_argument("--teacher", type=Path, required=True, help="SqueezeNet 1.1 as safetensors")
    parser.add_argument("--run", type=Path, required=True, help="folder for the checkpoint, the log and the weights")
    parser.add_argument("--start", type=Path, help="begin from this weights file instead of from noise")
    parser.add_argument("--new-head", action="store_true", help="begin from the trunk of --start alone")
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--steps", type=int, default=0, help="length in steps instead of hours")
    parser.add_argument("--sizes", type=sizes, default="96:0.62,128:0.28,160:0.1", help="size:share of the run")
    parser.add_argument("--muon", type=float, default=0.03, help="learning rate of the inner convolutions; 0: AdamW")
    parser.add_argument("--adam", type=float, default=2e-3, help="learning rate of the rest")
    parser.add_argument("--decay", type=float, default=0.02)
    parser.add_argument("--fall", type=float, default=0.6, help="share of the run over which the rate falls")
    parser.add_argument("--warm-up", type=int, default=200, help="steps over which the rate rises")
    parser.add_argument("--robust", type=float, default=0.0, metavar="EPS", help="L2 reach of harmful moves (at 224)")
    parser.add_argument("--temperature", type=float, default=2.0)
    parser.add_argument("--truth", type=float, default=0.1, help="weight of a known class against the teacher's answer")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--minutes", type=float, default=4.0, help="between checkpoints")
    parser.add_argument("--held-out", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0, help="of crops and mixtures; a new one for each stretch")
    parser.add_argument("--workers", type=int, default=1, help="threads that cut crops")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(words)
    if options.new_head and options.start is None:
        parser.error("--new-head keeps the trunk of a weights file: name the file with --start")
    return options


def main(words: list[str] | None = None) -> None:
    """Read, resume, train, export."""
    options = arguments(words)
    torch.manual_seed(options.seed)
    device = torch.device(options.device)
    options.run.mkdir(parents=True, exist_ok=True)
    photos, held_out = split(read_photos(options.photos), options.held_out)
    teacher, style = Teacher(options.teacher).to(device), Style(options.temperature, options.truth)
    weights = surveyed(teacher, photos, options.seed, device, options.run / "balance.npy")
    lessons = Lessons(photos, weights, teacher, options.batch, options.seed, style)
    plan = Plan(*(getattr(options, name) for name in Plan.__dataclass_fields__))
    checkpoint = options.run / "checkpoint.pt"
    if checkpoint.exists():
        run = Run(Student(), plan, device)
        run.restore(checkpoint)
    else:
        run = Run(beginning(options.start, options.new_head, lessons, plan.size(0)), plan, device)
    train(run, lessons, Diary(options.run, run, lessons, held_out), options.minutes, options.workers)


if __name__ == "__main__":
    main()
