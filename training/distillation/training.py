"""The training loop that all students share, its log and its command line."""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.distillation.lessons import Lessons, Style, resized
from training.distillation.photos import Photos, centre, read_photos, split
from training.distillation.stretch import Stretch
from training.distillation.teacher import Teacher, normalise, surveyed

LOG_EVERY = 50


@torch.inference_mode()
def watched(network: nn.Module, photos: Photos, size: int) -> dict[str, float]:
    """Top-1, top-5 and cross-entropy on held-out photos, centre crops of `size` pixels."""
    classes = torch.from_numpy(photos.classes)
    pixels = torch.stack([centre(image, size) for image in photos.images])
    logits = torch.cat([network(normalise(part)) for part in pixels.split(100)])
    hits = logits.topk(5, dim=1).indices == classes[:, None]
    return {
        "top1": round(float(hits[:, 0].float().mean()), 4),
        "top5": round(float(hits.any(dim=1).float().mean()), 4),
        "entropy": round(float(F.cross_entropy(logits, classes)), 4),
    }


class Log:
    """`log.jsonl`, `checkpoint.pt` and the weights file in the run's folder."""

    def __init__(
        self, folder: Path, name: str, stretch: Stretch, lessons: Lessons, held_out: Photos, size: int
    ) -> None:
        self.folder, self.name, self.stretch, self.lessons = folder, name, stretch, lessons
        self.held_out, self.size = held_out, size
        self.losses: list[float] = []

    def note(self, loss: float, size: int) -> None:
        """Record a step's loss; every 50 steps a line is written."""
        self.losses.append(loss)
        if self.stretch.step % LOG_EVERY:
            return
        line = {"size": size, "rate": round(self.stretch.plan.rate(self.stretch.step, self.stretch.progress), 4)}
        self._write({**line, "answer": round(sum(self.losses) / len(self.losses), 4)})
        self.losses.clear()

    def keep(self) -> None:
        """Write the checkpoint, the weights file and its accuracy."""
        self.stretch.save(self.folder / "checkpoint.pt")
        images = list(first_images(self.lessons, self.stretch.plan.size(self.stretch.progress)))
        network = self.stretch.keep(images, self.folder / self.name)
        self._write({"watched": watched(network, self.held_out, self.size)})

    def _write(self, line: dict[str, object]) -> None:
        place = {"step": self.stretch.step, "hours": round(self.stretch.seconds / 3600, 4)}
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps({**place, **line}) + "\n")


def train(stretch: Stretch, lessons: Lessons, log: Log, minutes: float, workers: int) -> None:
    """Train until the plan is done; write checkpoint and weights every `minutes` and at the end."""
    clock, kept = time.monotonic(), stretch.seconds

    def size(step: int) -> int:
        return stretch.plan.size(stretch.plan.progress(step, stretch.seconds))

    for step, side, pixels in lessons.ahead(stretch.step, size, workers):
        if stretch.progress >= 1:
            break
        loss = stretch.learn(lessons.lesson(step, pixels, side, stretch.device), lessons.style.temperature)
        now = time.monotonic()
        stretch.seconds, clock = stretch.seconds + now - clock, now
        log.note(loss, side)
        if stretch.seconds - kept > 60 * minutes and stretch.progress < 1:
            kept = stretch.seconds
            log.keep()
    log.keep()


def first_images(lessons: Lessons, size: int, count: int = 16) -> Iterator[Tensor]:
    """Crops of the first steps without augmentation, to estimate statistics on."""
    for step in range(min(count, lessons.per_epoch)):
        yield normalise(resized(lessons.pixels(step, size).float(), size))


def prepared(options: argparse.Namespace, device: torch.device) -> tuple[Lessons, Photos]:
    """The training batches of a run, and its held-out photos."""
    torch.manual_seed(options.seed)
    options.run.mkdir(parents=True, exist_ok=True)
    photos, held_out = split(read_photos(options.photos), options.held_out)
    teacher, style = Teacher(options.teacher).to(device), Style(options.temperature, options.truth)
    weights = surveyed(teacher, photos, options.seed, device, options.run / "balance.npy")
    return Lessons(photos, weights, teacher, options.batch, options.seed, style), held_out


def sizes(text: str) -> tuple[tuple[int, float], ...]:
    """`96:0.5,128:0.5` -> ((96, 0.5), (128, 0.5))."""
    return tuple((int(size), float(share)) for size, share in (part.split(":") for part in text.split(",")))


def parser(description: str | None, **defaults: object) -> argparse.ArgumentParser:
    """The options that all trainings share."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--photos", type=Path, required=True, help="folder of tars with index.csv")
    made.add_argument("--teacher", type=Path, required=True, help="SqueezeNet 1.1 as safetensors")
    made.add_argument("--run", type=Path, required=True, help="folder for the checkpoint, the log and the weights")
    made.add_argument("--hours", type=float, default=2.0, help="length of the run in hours")
    made.add_argument("--steps", type=int, default=0, help="length in steps instead of hours")
    made.add_argument("--sizes", type=sizes, help="image sizes with their share of the run, such as 96:0.6,128:0.4")
    made.add_argument("--adam", type=float, help="peak learning rate of AdamW")
    made.add_argument("--decay", type=float, default=0.02, help="weight decay")
    made.add_argument("--fall", type=float, default=0.6, help="share of the run over which the learning rate decays")
    made.add_argument("--warm-up", type=int, default=200, help="steps over which the learning rate rises")
    made.add_argument("--temperature", type=float, default=2.0, help="of the softmax of teacher and student")
    made.add_argument("--truth", type=float, default=0.1, help="weight of a known class in the targets")
    made.add_argument("--batch", type=int, default=128, help="images per batch")
    made.add_argument("--minutes", type=float, default=4.0, help="minutes between checkpoints")
    made.add_argument("--held-out", type=int, default=500, help="number of photos kept out of training")
    made.add_argument(
        "--seed", type=int, default=0, help="random seed of crops and augmentation; use a new one for each stage"
    )
    made.add_argument("--workers", type=int, default=1, help="number of threads that cut crops")
    made.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    made.set_defaults(**defaults)
    return made
