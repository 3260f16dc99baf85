"""Faithfulness of all attribution methods on labelled photos, for the tables on their pages.

    python -m benchmarks.quality.judgement WEIGHTS FOLDER JOURNAL [--photos 400] [--deep 40] [--size 224]
    python -m benchmarks.quality.judgement WEIGHTS FOLDER JOURNAL --network vit --size 96
    python -m benchmarks.quality.judgement --write JOURNAL [--network vit]

WEIGHTS are SqueezeNet 1.1's, or those of the small transformer of `training/vit`, on which the methods for tokens are
judged. FOLDER holds photos and `labels.csv`; the class of its label is explained for each photo. The numbers are
written to JOURNAL as soon as they are computed, and a run that was killed resumes there. `--write` puts them into
benchmarks/quality/judgement.json; then `make derived` writes the pages.

    broad    insertion, deletion and class sensitivity of the methods that need at most 64 passes per map
    deep     all numbers of these, on the first photos
    slow     the methods that need more, on the first photos; without the numbers that need many maps (randomisation,
             max-sensitivity)

The three parts take turns, the first with half of the time, so that each has results whenever the run is stopped.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import triscope as ts
from training.vit.vit import SmallViT
from triscope.metrics.intervals import interval
from triscope.metrics.journal import Journal
from triscope.metrics.judge import collected
from triscope.metrics.judgement import NUMBERS, Number
from triscope.metrics.judging import Judging, Photos
from triscope.metrics.labelled import LabelledPhotos
from triscope.metrics.numbers import Explainer
from triscope.which.collection import Collection

NUMBERS_FILE = Path(__file__).with_suffix(".json")
BASELINES = ("random", "gaussian", "edges")
BROAD: tuple[Number, ...] = ("insertion", "deletion", "class")
DEEP: tuple[Number, ...] = tuple(number for number in NUMBERS if number not in ("pointing", "energy"))
AT_ONCE: tuple[Number, ...] = (*BROAD, "road", "infidelity", "sensitivity_n")  # from one map and another class's
STEPS = 14  # of a curve
LEAST = 4  # photos of which a number is known before it is told

#: Each method: its command, its options, and the number of passes of one image per map.
QUICK: dict[str, tuple[str, dict[str, Any], str]] = {
    "saliency": ("saliency", {}, "1 gradient"),
    "input x gradient": ("input_x_gradient", {}, "1 gradient"),
    "guided backprop": ("guided_backprop", {}, "1 gradient"),
    "deconvnet": ("deconvnet", {}, "1 gradient"),
    "relevance": ("relevance", {}, "1 gradient"),
    "relevance, epsilon": ("relevance", {"composite": "epsilon"}, "1 gradient"),
    "deep lift": ("deep_lift", {}, "1 gradient"),
    "grad cam": ("grad_cam", {}, "1 gradient"),
    "grad cam, gradient++": ("grad_cam", {"weights": "gradient++"}, "1 gradient"),
    "grad cam, hires": ("grad_cam", {"weights": "hires"}, "1 gradient"),
    "grad cam, layer": ("grad_cam", {"weights": "layer"}, "1 gradient"),
    "grad cam, eigen": ("grad_cam", {"weights": "eigen"}, "1 forward"),
    "guided grad cam": ("guided_grad_cam", {}, "2 gradients"),
    "integrated gradients": ("integrated_gradients", {"steps": 32}, "32 gradients"),
    "smooth grad": ("smooth_grad", {"samples": 32}, "32 gradients"),
    "smooth grad, squared": ("smooth_grad", {"samples": 32, "statistic": "squared"}, "32 gradients"),
    "occlusion": ("occlusion", {"window": 32, "stride": 16}, "49 forwards"),
    "lime": ("lime", {"samples": 63, "segments": 25}, "64 forwards"),
}
SLOW: dict[str, tuple[str, dict[str, Any], str]] = {
    "rise": ("rise", {"masks": 500}, "500 forwards"),
    "shapley": ("shapley", {"orders": 8, "segments": 25}, "200 forwards"),
    "grad cam, ablation": ("grad_cam", {"weights": "ablation"}, "a forward for each channel"),
    "grad cam, score": ("grad_cam", {"weights": "score"}, "a forward for each channel"),
}
TOKENS: dict[str, tuple[str, dict[str, Any], str]] = {
    "attention rollout": ("attention_rollout", {}, "1 forward"),
    "gradient attention": ("gradient_attention", {}, "1 gradient"),
    **{row: QUICK[row] for row in ("relevance", "grad cam", "saliency", "smooth grad")},
}


@dataclass(frozen=True)
class Judged:
    """A network whose methods are judged: its name in the tables, and the methods, quick and slow."""

    name: str
    quick: dict[str, tuple[str, dict[str, Any], str]]
    slow: dict[str, tuple[str, dict[str, Any], str]]

    @property
    def methods(self) -> dict[str, tuple[str, dict[str, Any], str]]:
        """All of them."""
        return self.quick | self.slow


NETWORKS = {
    "squeezenet1_1": Judged("SqueezeNet 1.1", QUICK, SLOW),
    "vit": Judged("The small transformer of `training/vit`", TOKENS, {}),
}


def explainer(name: str, options: dict[str, Any]) -> Explainer:
    """A method with these options."""
    made: Explainer = partial(getattr(ts, name), **options)
    return made


def network_of(name: str, weights: str, size: int) -> ts.Network:
    """The network, which sees photos at that size, cropped as it was trained."""
    known = ts.load("squeezenet1_1", weights=weights if name == "squeezenet1_1" else "random")
    module = known.module
    if name == "vit":  # its photos are normalised as its teacher's
        module = SmallViT().eval()
        module.load_state_dict({key: value.float() for key, value in load_file(weights).items()})
    return ts.Network(module, **known.settings | {"size": size, "resize": round(size * 256 / 224)})


def measure(arguments: argparse.Namespace) -> None:
    """All parts in turn."""
    torch.set_num_threads(1)
    judged = NETWORKS[arguments.network]
    network = network_of(arguments.network, arguments.weights, arguments.size)
    labels = Collection(arguments.folder / "labels.csv")
    job = {"network": str(network.sha256), "size": str(arguments.size), "steps": str(STEPS)}
    journal = Journal(arguments.journal, job)

    def part(
        count: int, asked: dict[str, tuple[str, dict[str, Any], str]], numbers: tuple[Number, ...]
    ) -> Iterator[Any]:
        photos = collected(network, LabelledPhotos(network, labels, None, "crop"))
        some = Photos(count, islice(photos.each, count), photos.joined, photos.notes)
        explainers = {name: explainer(verb, options) for name, (verb, options, _) in asked.items()}
        yield from Judging(network, explainers, numbers, steps=STEPS, journal=journal).run(some)

    parts = {
        "broad": part(arguments.photos, judged.quick, BROAD),
        "deep": part(arguments.deep, judged.quick, DEEP),
        "slow": part(arguments.deep, judged.slow, AT_ONCE),
    }
    shares = {"broad": 2, "deep": 1, "slow": 1}
    spent = dict.fromkeys(parts, 0.0)
    told = 0.0
    while parts and (arguments.until is None or time.strftime("%H:%M") < arguments.until):
        name = min(parts, key=lambda one: spent[one] / shares[one])
        began = time.process_time()
        step = next(parts[name], None)
        spent[name] += time.process_time() - began
        if step is None:
            del parts[name]
        elif time.monotonic() - told > 60:
            told = time.monotonic()
            print(f"{name}: {step.index} of {step.total} maps, {spent[name]:.0f} s of CPU time", flush=True)


def write(path: Path, name: str) -> None:
    """The journal into the file from which the pages are made: means and intervals for each of a network's methods."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    found: dict[str, dict[Number, dict[str, float]]] = {}  # by map, number and photo
    for line in lines[1:]:
        for number, value in line["numbers"].items():
            if value is not None:
                found.setdefault(line["map"], {}).setdefault(number, {})[line["digest"]] = value
    judged = NETWORKS[name]
    methods: dict[str, list[dict[str, Any]]] = {}
    for asked in (judged.quick, judged.slow):  # by themselves, since those that are slow are known of fewer photos
        for verb in dict.fromkeys(verb for verb, _, _ in asked.values()):
            rows = [row for row in asked if asked[row][0] == verb and row in found]
            methods.setdefault(verb, []).append(page(found, rows))
    facts = {
        "network": judged.name,
        "size": int(lines[0]["size"]),
        "steps": int(lines[0]["steps"]),
        "budgets": {row: budget for row, (_, _, budget) in judged.methods.items()},
        "methods": {verb: [one for one in tables if one["photos"]] for verb, tables in methods.items()},
    }
    known = json.loads(NUMBERS_FILE.read_text("utf-8"))
    NUMBERS_FILE.write_text(json.dumps(known | {name: facts}, indent=1) + "\n", "utf-8")


def page(found: dict[str, dict[Number, dict[str, float]]], rows: list[str]) -> dict[str, Any]:
    """The numbers of one method's maps and of the baselines, each on those photos that all of these have it of.

    `better` says of each map and baseline by how much it is better on the same photos, with half its interval.
    """
    table: dict[str, Any] = {"photos": {}, "maps": {}, "better": {}}
    for number, larger in NUMBERS.items():
        beside = [name for name in BASELINES if number in found.get(name, {})]
        if any(number not in found[row] for row in rows):
            continue
        photos = set.intersection(*(set(found[name][number]) for name in [*rows, *beside]))
        if len(photos) < LEAST:
            continue
        values = {
            name: torch.tensor([found[name][number][photo] for photo in sorted(photos)], dtype=torch.float64)
            for name in [*rows, *beside]
        }
        table["photos"][number] = len(photos)
        for name, one in values.items():
            table["maps"].setdefault(name, {})[number] = _summary(one)
        for row in rows:
            gained = {name: _summary((values[row] - values[name]) * (1 if larger else -1)) for name in beside}
            table["better"].setdefault(row, {})[number] = gained
    return table


def _summary(values: torch.Tensor) -> list[float]:
    """The mean, and half of its 95 % interval."""
    return [round(float(values.mean()), 4), round(float(interval(values)), 4)]


def main() -> None:
    """Measure, or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="?")
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("journal", nargs="?", type=Path)
    parser.add_argument("--network", choices=NETWORKS, default="squeezenet1_1")
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--deep", type=int, default=40)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--until", metavar="HH:MM", help="stop at this time; the same command resumes")
    parser.add_argument("--write", type=Path, metavar="JOURNAL")
    arguments = parser.parse_args()
    if arguments.write:
        write(arguments.write, arguments.network)
    else:
        measure(arguments)


if __name__ == "__main__":
    main()
