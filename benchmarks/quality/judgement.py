"""The judgement of all methods on labelled photos, whose tables stand on the pages of WHERE.

    python -m benchmarks.quality.judgement WEIGHTS FOLDER JOURNAL [--photos 400] [--deep 40] [--size 224]
    python -m benchmarks.quality.judgement --write JOURNAL

WEIGHTS are SqueezeNet 1.1's, FOLDER holds photos and `labels.csv`; each photo is asked the class of its label. The
numbers go into JOURNAL as soon as they are known: killed and started again, nothing is lost or done twice. `--write`
makes benchmarks/quality/judgement.json of it; then `make derived` writes the pages.

    broad    insertion, deletion and class sensitivity of the methods that need at most 64 forwards a map
    deep     all numbers, of all methods, on the first photos
"""

import argparse
import json
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

import triscope as ts
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
STEPS = 14  # of a curve

#: How each method is asked: its command, its options, and how many passes of one image a map takes.
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


def explainer(name: str, options: dict[str, Any]) -> Explainer:
    """A method with these options."""
    made: Explainer = partial(getattr(ts, name), **options)
    return made


def network_of(weights: str, size: int) -> ts.Network:
    """SqueezeNet 1.1 that sees photos at that size, cropped as it was trained."""
    known = ts.load("squeezenet1_1", weights=weights)
    return ts.Network(known.module, **known.settings | {"size": size, "resize": round(size * 256 / 224)})


def measure(arguments: argparse.Namespace) -> None:
    """Both parts in turn, so that both have something to show whenever this is stopped."""
    torch.set_num_threads(1)
    network = network_of(arguments.weights, arguments.size)
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

    parts = {"broad": part(arguments.photos, QUICK, BROAD), "deep": part(arguments.deep, QUICK | SLOW, DEEP)}
    spent = dict.fromkeys(parts, 0.0)
    told = 0.0
    while parts and (arguments.until is None or time.strftime("%H:%M") < arguments.until):
        name = min(parts, key=lambda one: spent[one])
        began = time.process_time()
        step = next(parts[name], None)
        spent[name] += time.process_time() - began
        if step is None:
            del parts[name]
        elif time.monotonic() - told > 60:
            told = time.monotonic()
            print(f"{name}: {step.index} of {step.total} maps, {spent[name]:.0f} s of processor time", flush=True)


def write(path: Path) -> None:
    """Means and intervals over photos, of what the journal holds, as the file that the pages are made of."""
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    found: dict[str, dict[str, list[float]]] = {}
    for line in lines[1:]:
        for number, value in line["numbers"].items():
            if value is not None:
                found.setdefault(line["map"], {}).setdefault(number, []).append(value)
    table = {}
    for row in (*QUICK, *SLOW, *BASELINES):
        table[row] = {
            number: {
                "mean": round(float(values.mean()), 4),
                "half": round(float(interval(values)), 4),
                "photos": len(values),
            }
            for number in NUMBERS
            if (values := torch.tensor(found.get(row, {}).get(number, []), dtype=torch.float64)).numel() > 1
        }
    methods = {
        name: {"method": verb, "options": options, "budget": budget}
        for name, (verb, options, budget) in (QUICK | SLOW).items()
    }
    facts = {"network": "SqueezeNet 1.1", "size": int(lines[0]["size"]), "steps": int(lines[0]["steps"])}
    NUMBERS_FILE.write_text(json.dumps({**facts, "maps": methods, "table": table}, indent=1) + "\n", "utf-8")


def main() -> None:
    """Measure, or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", nargs="?")
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("journal", nargs="?", type=Path)
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--deep", type=int, default=40)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--until", metavar="HH:MM", help="stop then; the same command goes on")
    parser.add_argument("--write", type=Path, metavar="JOURNAL")
    arguments = parser.parse_args()
    if arguments.write:
        write(arguments.write)
    else:
        measure(arguments)


if __name__ == "__main__":
    main()
