"""Stack depth of a call, and the number of files it runs through: `python -m benchmarks.depth [METHOD ...] [--show]`.

Measured on the second call, on the pocket network with images as tensors:

    frames      the deepest stack of the package's own functions, without those of PyTorch and Python, and without
                comprehensions, which are not functions from Python 3.12 on
    files       the files of the package in which any function runs

--show lists the functions of that stack, and the files by their number of calls. The default methods are `saliency`
and `stylize`.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import torch

import triscope as ts

_ROOT = f"{Path(ts.__file__).parent}/"


def calls() -> dict[str, Callable[[], object]]:
    """The calls that can be measured, by the names of their methods."""
    network, asked = ts.load("pocket"), ts.Logit(0)
    picture, style = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    return {
        "saliency": lambda: ts.saliency(network, picture, asked),
        "grad_cam": lambda: ts.grad_cam(network, picture, asked),
        "occlusion": lambda: ts.occlusion(network, picture, asked),
        "activations": lambda: ts.activations(network, picture, "features.10"),
        "ascend": lambda: ts.ascend(network, "features.10:42", steps=1, size=64),
        "stylize": lambda: ts.stylize(network, picture, style, steps=1, size=64),
    }


def measured(call: Callable[[], object]) -> tuple[list[str], Counter[str]]:
    """The deepest stack of the package's functions in a call, outermost first, and how many calls each file took."""
    deepest: list[FrameType] = []
    files: Counter[str] = Counter()

    def entered(frame: FrameType, event: str, _: object) -> None:
        nonlocal deepest
        if event != "call" or not is_own(frame):
            return
        files[frame.f_code.co_filename.removeprefix(_ROOT)] += 1
        stack = own_frames(frame)
        if len(stack) > len(deepest):
            deepest = stack

    call()
    sys.setprofile(entered)
    try:
        call()
    finally:
        sys.setprofile(None)
    return [told(frame) for frame in reversed(deepest)], files


def own_frames(frame: FrameType | None) -> list[FrameType]:
    """The package's functions among those that called each other, innermost first."""
    found = []
    while frame is not None:
        if is_own(frame):
            found.append(frame)
        frame = frame.f_back
    return found


def is_own(frame: FrameType) -> bool:
    """Whether a frame is of a function of the package."""
    code = frame.f_code
    return code.co_filename.startswith(_ROOT) and code.co_name not in ("<listcomp>", "<dictcomp>", "<setcomp>")


def told(frame: FrameType) -> str:
    """A function, by its file and name."""
    return f"{frame.f_code.co_filename.removeprefix(_ROOT)}: {frame.f_code.co_qualname}"


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("methods", nargs="*", default=["saliency", "stylize"])
    parser.add_argument("--show", action="store_true", help="show the deepest stack and the files, too")
    asked = parser.parse_args()
    known = calls()
    for name in asked.methods:
        stack, files = measured(known[name])
        print(f"{name:12} {len(stack):3} frames {len(files):3} files")
        if asked.show:
            print(*(f"    {function}" for function in stack), sep="\n", end="\n\n")
            print(*(f"    {count:5} {file}" for file, count in files.most_common()), sep="\n", end="\n\n")


if __name__ == "__main__":
    main()
