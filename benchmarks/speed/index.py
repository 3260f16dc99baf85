"""Speed of indexing a collection, compared with a plain loop, a DataLoader and the network alone, in one process.

    python -m benchmarks.speed.index FOLDER... [--threads 1]     photos of any size; 400 of 500 pixels are made of them
    python -m benchmarks.speed.index FOLDER... --photos 60 --side 4000

The network is AlexNet with random weights; its last hidden layer, 4096 numbers, is stored. "The network alone" is the
forward pass of decoded photos, in batches of 64 and in the precision of the index. Besides wall-clock time, which
depends on other load, the CPU time of all threads and processes is printed.
"""

import argparse
import copy
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import torch
from torch import Tensor, nn

import triscope as ts
from triscope.errors import ImageError
from triscope.images import open_photo, to_pil
from triscope.network.loading._torchvision import import_torchvision
from triscope.network.variants.precision import chosen
from triscope.which.store import Store

LAYER = "classifier.5"


def photos(folders: list[Path], place: Path, count: int, side: int = 500) -> list[Path]:
    """`count` JPEGs whose longer side is `side`: the photos of `folders`, cut a little differently each time."""
    sources = []
    for path in sorted(path for folder in folders for path in folder.iterdir() if path.is_file()):
        try:
            sources.append(to_pil(open_photo(path).pixels))
        except ImageError:
            continue
    if not sources:
        raise SystemExit(f"{', '.join(map(str, folders))}: no photos there; folders inside are not looked into.")
    made = []
    for number in range(count):
        image = sources[number % len(sources)]
        margin = number // len(sources)
        image = image.crop((margin, margin, image.width - margin, image.height - margin))
        scale = side / max(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), PIL.Image.Resampling.LANCZOS)
        made.append(place / f"{number:03}.jpg")
        image.save(made[-1], quality=90)
    return made


class Files(torch.utils.data.Dataset[Tensor]):
    """The photos, through torchvision's published transform."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths
        transforms = import_torchvision().transforms
        normalise = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        self.transform = transforms.Compose(
            [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), normalise]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        picture: Tensor = self.transform(PIL.Image.open(self.paths[index]).convert("RGB"))
        return picture


def loop(module: nn.Module, paths: list[Path]) -> Tensor:
    """One image after the other."""
    files = Files(paths)
    with torch.no_grad():
        return torch.cat([module(files[number][None]) for number in range(len(files))])


def loader(module: nn.Module, paths: list[Path]) -> Tensor:
    """Batches of 64 from two workers."""
    batches = torch.utils.data.DataLoader(Files(paths), batch_size=64, num_workers=2)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lance asks not to be used in a forked process, and the workers do not use it
        return torch.cat([module(batch) for batch in batches])


def decoded(module: nn.Module, paths: list[Path], dtype: torch.dtype) -> Callable[[], Tensor]:
    """The module alone, on batches of 64 that are ready."""
    own = copy.deepcopy(module).to(dtype)
    files = Files(paths)
    batches = torch.stack([files[number] for number in range(len(files))]).to(dtype).split(64)

    def forward() -> Tensor:
        with torch.no_grad():
            return torch.cat([own(batch) for batch in batches]).float()

    return forward


def indexed(network: ts.Network, paths: list[Path], place: Path, *, exact: bool) -> Tensor:
    """A store of them, and what it holds."""
    store = Store.build(network, paths, place, layers=[LAYER], exact_preprocess=exact)
    return store.vectors(store.find(LAYER), range(len(paths)))


def measured(
    network: ts.Network, module: nn.Module, paths: list[Path], place: Path, forward: Callable[[], Tensor]
) -> Iterator[tuple[str, tuple[float, float], Tensor]]:
    """The name of each way, its wall-clock and CPU seconds, and its vectors."""
    works: dict[str, Callable[[], Tensor]] = {
        "index": lambda: indexed(network, paths, place / "index", exact=False),
        "index, exact preprocessing": lambda: indexed(network, paths, place / "exact", exact=True),
        "DataLoader, 2 workers": lambda: loader(module, paths),
        "plain loop": lambda: loop(module, paths),
        "the network's own forward": forward,
    }
    for name, work in works.items():
        start = time.perf_counter(), _processors()
        vectors = work()
        yield name, (time.perf_counter() - start[0], _processors() - start[1]), vectors


def _processors() -> float:
    """CPU seconds so far, of this process and of its finished children."""
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--photos", type=int, default=400)
    parser.add_argument("--side", type=int, default=500, help="pixels of a photo's longer side")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    network = ts.load("alexnet", weights="random")
    whole: Any = network.module
    module = nn.Sequential(whole.features, whole.avgpool, nn.Flatten(), whole.classifier[:6]).eval()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        paths = photos(given.folders, place, given.photos, given.side)
        print(f"{len(paths)} photos of {given.side} pixels, AlexNet's 4096 numbers, {given.threads} thread(s)")
        forward = decoded(module, paths, chosen("auto", network))
        times: dict[str, list[tuple[float, float]]] = {}
        kept: dict[str, Tensor] = {}
        for round_ in range(given.rounds):
            for name, seconds, vectors in measured(network, module, paths, place / str(round_), forward):
                times.setdefault(name, []).append(seconds)
                kept[name] = vectors
    best = {name: [min(kind) for kind in zip(*seconds, strict=True)] for name, seconds in times.items()}
    for name, (clock, processors) in best.items():
        share, share_of_processors = clock / best["index"][0], processors / best["index"][1]
        print(
            f"  {name:28} {clock:6.1f} s   {len(paths) / clock:6.1f} photos/s   {share:.2f} times the index;   "
            f"processors {processors:6.1f} s   {share_of_processors:.2f} times"
        )
    clock, processors = (
        index / own for index, own in zip(best["index"], best["the network's own forward"], strict=True)
    )
    print(f"  the index takes {clock:.2f} times as long as the network alone, and {processors:.2f} times its CPU time")
    for name in ("index", "index, exact preprocessing"):
        cosine = torch.nn.functional.cosine_similarity(kept[name], kept["plain loop"]).mean()
        print(f"  mean cosine to the plain loop's float32 vectors, {name}: {float(cosine):.5f}")


if __name__ == "__main__":
    main()
