"""Train the small vision transformer on a folder of photos. README.md in this folder has the details.

    python -m training.vit.train --photos PHOTOS --teacher squeezenet1_1.safetensors --run RUN --hours 2

It can be interrupted; the same command resumes from the last checkpoint in RUN.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW

from training.distillation.lessons import Lesson
from training.distillation.stretch import Plan as AnyPlan
from training.distillation.stretch import Stretch, cross_entropy, replace
from training.distillation.teacher import CELLS
from training.distillation.training import Log, parser, prepared, sizes, train
from training.vit.vit import PATCH, SmallViT

WATCHED_SIZE = 96
TEACHER_MAPS = 512
CELL = 1.0  # weight of the loss on feature maps, against that on class scores


@dataclass(frozen=True, kw_only=True)
class Plan(AnyPlan):
    """A plan with AdamW's learning rate and weight decay."""

    adam: float
    decay: float


class Student(nn.Module):
    """The transformer, with a dense layer that predicts the teacher's last feature maps during training."""

    def __init__(self) -> None:
        super().__init__()
        self.network = SmallViT()
        self.guess = nn.Linear(self.network.norm.weight.numel(), TEACHER_MAPS)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.normal_(self.network.class_token, std=0.02)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> logits (B, 1000), predicted maps in 3 x 3 cells (B, 512, 3, 3)."""
        tokens = self.network.tokens(images)
        rows = images.shape[-2] // PATCH
        maps = tokens[:, 1:].transpose(1, 2).unflatten(2, (rows, -1))
        cells = F.adaptive_avg_pool2d(maps, CELLS).flatten(2).transpose(1, 2)
        guessed = self.guess(cells).transpose(1, 2).unflatten(2, (CELLS, CELLS))
        return self.network.head(tokens[:, 0]), guessed


class Run(Stretch):
    """A training stage of the transformer."""

    student: Student

    def __init__(self, student: Student, plan: Plan, device: torch.device) -> None:
        student = student.to(device).train()
        weights = list(student.parameters())
        groups = [
            {"params": [value for value in weights if value.dim() == 2], "weight_decay": plan.decay},
            {"params": [value for value in weights if value.dim() != 2], "weight_decay": 0.0},
        ]
        optimiser = AdamW(groups, lr=plan.adam, betas=(0.9, 0.98), fused=True)
        super().__init__(student, [optimiser], plan, device)

    def losses(self, lesson: Lesson, temperature: float) -> tuple[Tensor, Tensor]:
        """Cross-entropy with the teacher, and mean cosine distance of the predicted maps from the teacher's."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            logits, guessed = self.student(lesson.images)
        wanted = lesson.features.view_as(guessed)
        wanted = wanted - wanted.mean(dim=(0, 2, 3), keepdim=True)
        away = 1 - F.cosine_similarity(guessed.float(), wanted, dim=1).mean()
        return cross_entropy(logits, lesson.answers, temperature), CELL * away

    def keep(self, images: list[Tensor], path: Path) -> SmallViT:
        """Write the averaged transformer's weights in half precision."""
        prefix = "network."
        state = {name.removeprefix(prefix): value for name, value in self.average.items() if name.startswith(prefix)}
        replace(path, lambda part: save_file({name: value.half().cpu() for name, value in state.items()}, part))
        network = SmallViT()
        network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
        return network.eval()


def main(words: list[str] | None = None) -> None:
    """Load the data, resume from a checkpoint if there is one, train, export."""
    options = parser(__doc__, sizes=sizes("96:1"), adam=1e-3, decay=0.05).parse_args(words)
    device = torch.device(options.device)
    lessons, held_out = prepared(options, device)
    run = Run(Student(), Plan(**{name: getattr(options, name) for name in Plan.__dataclass_fields__}), device)
    if (checkpoint := options.run / "checkpoint.pt").exists():
        run.restore(checkpoint)
    train(
        run,
        lessons,
        Log(options.run, "vit.safetensors", run, lessons, held_out, WATCHED_SIZE),
        options.minutes,
        options.workers,
    )


if __name__ == "__main__":
    main()
