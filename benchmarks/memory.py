"""Memory for large images: `python -m benchmarks.memory NETWORK WEIGHTS SIZE STEPS CONTENT STYLE [MEMORY]`.

The peak of the whole process minus its memory after all imports: the network, the images, forward and backward passes
and the optimiser. With MEMORY, such as 2G, also as a fraction of that limit. Linux only.
"""

import sys
import time
from pathlib import Path

import torch

import triscope as ts


def held(kind: str) -> float:
    """What the process holds (VmRSS) or has held at most (VmHWM), in bytes."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(kind))
    return 1024 * float(line.split()[1])


def main(words: list[str]) -> None:
    """Make an image, and print."""
    torch.set_num_threads(1)
    name, weights, size, steps, content, style, *rest = words
    memory = rest[0] if rest else None
    (option,) = (one for one in ts.stylize.options if one.name == "memory")
    aim = option.read(memory)
    warm = torch.zeros(1, 3, 32, 32)
    ts.stylize(ts.load("pocket"), warm, torch.rand_like(warm), size=64, steps=1)  # everything is imported now
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before, began = held("VmRSS"), time.monotonic()
    network = ts.load(name, weights=weights)
    for step in ts.stylize.steps(network, content, style, size=int(size), steps=int(steps), memory=memory):
        seconds = (time.monotonic() - began) / step.index
        peak = held("VmHWM") - before
        share = f", {peak / (aim or 1):.2f} of {memory}" if memory else ""
        place = " x ".join(map(str, step.result.values.shape[-2:]))
        print(f"step {step.index} at {place}: {peak / 2**30:.2f} GB{share}, {seconds:.0f} s a step", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
