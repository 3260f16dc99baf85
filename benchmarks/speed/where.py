"""Attribution methods with many passes, compared with the passes alone and with other libraries.

    python -m benchmarks.speed.where [grad_cam] [occlusion] [integrated] [rise] [shapley] [memory]

CPU time on one thread; ratios to the first contender are medians over rounds in which they take turns. The first is a
forward and backward pass (Grad-CAM), Captum's default (occlusion), or as many passes by hand in batches of 16. `memory`
is the peak of a separate process for Grad-CAM on 8 images. Random weights, 224 pixels.
"""

import copy
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import triscope as ts
from benchmarks.memory import held
from benchmarks.speed.measure import compare, rows
from triscope.network.loading._torchvision import import_torchvision

CLASS, BATCH, ROUNDS = 7, 16, 5
MASKS = 128
CUTS: dict[str, Any] = {"orders": 4, "segments": 30, "division": "grid"}
Ways = dict[str, Callable[[], object]]


def made(name: str, count: int = 1) -> tuple[nn.Module, ts.Network, Tensor]:
    """A network, the same for triscope, and images; without a mean, so that all compute the same."""
    torch.manual_seed(0)
    module = import_torchvision().models.get_model(name, weights=None).eval().requires_grad_(False)
    return module, ts.Network(module, size=224), torch.rand(count, 3, 224, 224)


def gradient(module: nn.Module, images: Tensor) -> Tensor:
    """Forward and input gradient by hand."""
    pixels = images.detach().requires_grad_()
    return torch.autograd.grad(module(pixels)[:, CLASS].sum(), pixels)[0]


def forwards(module: nn.Module, images: Tensor, count: int) -> None:
    """So many forwards in batches, by hand."""
    with torch.no_grad():
        for start in range(0, count, BATCH):
            module(images.expand(min(BATCH, count - start), -1, -1, -1).contiguous())


def grad_cam(count: int = 1) -> Ways:
    """Grad-CAM on ResNet-50, at its last stage."""
    module, network, images = made("resnet50", count)  # before torchvision is imported by others
    from captum.attr import LayerGradCam
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    stage, learning = module.get_submodule("layer4"), copy.deepcopy(module).requires_grad_()

    def theirs() -> object:  # it wants weights that have gradients
        with GradCAM(model=learning, target_layers=[learning.get_submodule("layer4")]) as cam:
            return cam(input_tensor=images, targets=[ClassifierOutputTarget(CLASS)] * count)

    return {
        "gradient": lambda: gradient(module, images),
        "triscope": lambda: ts.grad_cam(network, images, CLASS, layer="layer4"),
        "pytorch-grad-cam": theirs,
        "captum": lambda: LayerGradCam(module, stage).attribute(images.clone().requires_grad_(), target=CLASS),
    }


def occlusion() -> Ways:
    """Windows of 32 pixels on AlexNet."""
    from captum.attr import Occlusion

    module, network, images = made("alexnet")

    def theirs(batch: int) -> Callable[[], object]:
        asked = {"sliding_window_shapes": (3, 32, 32), "strides": (3, 32, 32), "perturbations_per_eval": batch}
        return lambda: Occlusion(module).attribute(images, target=CLASS, **asked)

    ours = {"triscope": lambda: ts.occlusion(network, images, CLASS, window=32, stride=32)}
    return {"captum": theirs(1)} | ours | {f"captum x {batch}": theirs(batch) for batch in (8, 16, 49)}


def integrated() -> Ways:
    """32 points of a path on ResNet-18."""
    from captum.attr import IntegratedGradients

    module, network, images = made("resnet18")

    def by_hand() -> None:
        for _ in range(32 // BATCH):
            gradient(module, images.expand(BATCH, -1, -1, -1).contiguous())

    given = {"target": CLASS, "n_steps": 32, "internal_batch_size": BATCH, "method": "riemann_trapezoid"}
    return {
        "32 gradients": by_hand,
        "triscope": lambda: ts.integrated_gradients(network, images, CLASS, steps=32),
        "captum": lambda: IntegratedGradients(module).attribute(images, **given),
    }


def rise() -> Ways:
    """Random masks on AlexNet."""
    module, network, images = made("alexnet")
    return {
        f"{MASKS} forwards": lambda: forwards(module, images, MASKS),
        "triscope": lambda: ts.rise(network, images, CLASS, masks=MASKS),
    }


def shapley() -> Ways:
    """Rectangles, hidden in orders, on AlexNet; the number of forwards is counted."""
    module, network, images = made("alexnet")
    asked = 0

    def counted(asking: nn.Module, pictures: Tensor) -> Tensor:
        nonlocal asked
        asked += len(pictures)
        found: Tensor = asking(pictures)
        return found

    counting = ts.Network(module, size=224, call=counted)
    ts.saliency(counting, images, CLASS)  # its layers are found now
    asked = 0
    ts.shapley(counting, images, CLASS, **CUTS)
    return {
        f"{asked} forwards": lambda: forwards(module, images, asked),
        "triscope": lambda: ts.shapley(network, images, CLASS, **CUTS),
    }


CASES = {case.__name__: case for case in (grad_cam, occlusion, integrated, rise, shapley)}


def peak(way: str) -> float:
    """The peak of this process above what it holds before, in bytes, for one way of Grad-CAM on 8 images."""
    ask = grad_cam(8)[way]
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = held("VmRSS")
    ask()
    return held("VmHWM") - before


def main(words: list[str]) -> None:
    """Compare, and print each comparison when it is done."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if words[:1] == ["peak"]:
        print(peak(words[1]))
        return
    for name, case in CASES.items():
        if not words or name in words:
            print(*rows(compare(name, case(), ROUNDS)), sep="\n", flush=True)
    if not words or "memory" in words:
        for way in ("triscope", "captum", "pytorch-grad-cam"):
            command = [sys.executable, "-m", "benchmarks.speed.where", "peak", way]
            found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            print(f"{'grad_cam, 8 images, memory':<34} {way:<18} {float(found) / 2**20:9.0f} MiB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
