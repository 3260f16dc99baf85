"""Loading networks by name: the bundled one, torchvision's, timm's, a weights file, a function in a Python file.

load("pocket")                                      bundled; nothing is downloaded
load("resnet50")                                    torchvision, published weights
load("resnet50", weights="random")                  untrained
load("resnet50", weights="mine.pth")                your own training of it
load("mine.safetensors", arch="resnet50")           the same
load("timm:convnext_nano.in12k_ft_in1k")            timm, if it is installed
load("model.py:make")                               the return value of make() in model.py: a module, or a Network
load("model.py:make", size=64, mean=0.5)            the same, with its preprocessing
"""

import hashlib
import importlib.util
import logging
import os
import re
import urllib.error
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import nn

from triscope.errors import NetworkError, WeightsError, nearest
from triscope.images import printable
from triscope.network.draws import seeded
from triscope.network.loading._torchvision import import_torchvision
from triscope.network.loading.checkpoint_files import fit, open_weights
from triscope.network.loading.own_file import own_network, run_file
from triscope.network.loading.pocket import MEAN, SIZE, STD, PocketAlexNet, expand, load_pocket
from triscope.network.loading.stating import Stated, Statement
from triscope.network.network import Network

RANDOM = "random"
_WIDE = ("alexnet", "vgg")  # most weights are in the classifier, which is not allocated if a file lacks it
_FILES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".pkl")


def load(
    name: str,
    *,
    weights: str | os.PathLike[str] | None = None,
    arch: str | None = None,
    device: str | torch.device | None = None,
    seed: int = 0,
    progress: bool = True,
    **said: Unpack[Stated],
) -> Network:
    """Load a network.

    name        pocket, a name of torchvision, timm:NAME, FILE.py:NAME, or a weights file (with `arch`)
    weights     a weights file, or "random". Default: the published weights, which are downloaded once
    arch        the architecture of a weights file: any other name that `load` takes
    device      the device of the weights
    seed        seed of random weights
    progress    show the progress of a download on stderr
    said        size, mean, std, classes and output: see `triscope.network.loading.stating.Stated`

    Raises NetworkError or WeightsError if the network or its weights cannot be loaded.
    """
    if arch is not None or name.lower().endswith(_FILES):
        name, weights = _file_and_architecture(name, weights, arch)
    given = None if weights is None else os.fspath(weights)
    statement = Statement.of(said)
    with seeded(seed):
        if name == "pocket":
            network = statement.about(_pocket(given))
        elif name.startswith("timm:"):
            network = statement.about(_timm(name.removeprefix("timm:"), given))
        elif re.search(r"\.py:\w+$", name):
            network = own_network(name, statement)
            if given not in (None, RANDOM):
                network.missing = fit(network.module, open_weights(str(given)))
        else:
            network = statement.about(_torchvision(name, given, progress))
    network.source = _source(name, given, seed, statement)
    if device is not None:
        _to(network, torch.device(device))
    return network


def names() -> list[str]:
    """The names that `load` takes without a prefix: pocket, and torchvision's classification networks."""
    models = import_torchvision().models
    return ["pocket", *models.list_models(module=models)]


def is_published(name: str) -> bool:
    """Whether the name is that of a published network: pocket, torchvision's and timm's, not a file."""
    if name.startswith("timm:"):
        return re.fullmatch(r"timm:[\w.-]+", name) is not None
    return name in names()


def is_here(name: str) -> bool:
    """Whether the weights of a published network are on this machine, so that `load` downloads nothing."""
    if name.startswith("timm:"):
        return _timm_is_here(name.removeprefix("timm:"))
    return name == "pocket" or _cached_file(import_torchvision().models.get_model_weights(name).DEFAULT.url).exists()


def _file_and_architecture(name: str, weights: str | os.PathLike[str] | None, arch: str | None) -> tuple[str, Any]:
    if weights is not None:
        raise NetworkError(
            f"{printable(name)} and {printable(weights)} are both weights; name the architecture, and one file."
        )
    if arch is None:
        open_weights(name)  # raises if it is not a weights file at all
        raise NetworkError(
            f"{printable(name)} holds weights; name their architecture, such as --arch resnet18 or --arch "
            "model.py:make."
        )
    return arch, name


def _pocket(weights: str | None) -> Network:
    missing: frozenset[str] = frozenset()
    if weights is None:
        module = load_pocket()
    else:
        module = PocketAlexNet().eval()
        if weights != RANDOM:
            packed = open_weights(weights)
            missing = fit(module, replace(packed, tensors=expand(packed.tensors)))
    return Network(module, mean=MEAN, std=STD, size=SIZE, classes=imagenet_classes(), name="pocket", missing=missing)


def _torchvision(name: str, weights: str | None, progress: bool) -> Network:
    models = import_torchvision().models
    known = models.list_models(module=models)
    if name not in known:
        raise NetworkError(
            f"There is no network {printable(name)!r}.{nearest(name, ['pocket', *known])} A network is pocket, one of "
            "torchvision's (resnet50, vgg19, ...), timm:NAME, model.py:FUNCTION, or a weights file with --arch."
        )
    published = models.get_model_weights(name).DEFAULT
    shape = {"aux_logits": True, "transform_input": True} if name in ("googlenet", "inception_v3") else {}
    extra = shape | {"init_weights": weights == RANDOM} if shape else {}
    if name.startswith("vit_"):  # it has position embeddings for one image size
        extra["image_size"] = published.transforms().crop_size[0]
    missing: frozenset[str] = frozenset()
    if weights is None:
        weights = str(_published(name, published.url, progress))
    packed = None if weights == RANDOM else open_weights(weights)
    if packed and name.startswith(_WIDE) and not any(key.startswith("classifier.") for key in packed.tensors):
        module, missing = _headless(models.get_model, name)
    else:
        module = models.get_model(name, weights=None, **extra)
    if packed:
        missing |= fit(module, packed)
    transforms = published.transforms()
    return Network(
        module,
        mean=transforms.mean,
        std=transforms.std,
        size=transforms.crop_size[0],
        resize=transforms.resize_size[0],
        interpolation="bicubic" if transforms.interpolation.value == "bicubic" else "bilinear",
        classes=published.meta["categories"],
        name=name,
        missing=missing,
    )


def _headless(make: Callable[..., nn.Module], name: str) -> tuple[nn.Module, frozenset[str]]:
    """The network without its classifier, whose weights are not allocated, and the names of these weights."""
    with torch.device("meta"):
        module = make(name, weights=None)
    missing = frozenset(key for key in module.state_dict() if key.startswith("classifier."))
    module.classifier = nn.Identity()
    module = module.to_empty(device="cpu")
    for buffer in module.buffers():  # a counter of batches may be missing from the file
        buffer.zero_()
    return module.eval(), missing


def _published(name: str, url: str, progress: bool) -> Path:
    """The file of published weights, downloaded once to torch's own cache."""
    path = _cached_file(url)
    if path.exists():
        return path
    check = re.search(r"-([a-f0-9]{8,})\.", path.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), check[1] if check else None, progress=progress)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise NetworkError(
            f"The published weights of {name} are not on this machine and cannot be downloaded "
            f"({getattr(error, 'reason', error)}): fetch {url} elsewhere and put it into {printable(path.parent)}, "
            "or give a file with --weights, or use pocket, which needs none."
        ) from error
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"The published weights of {name} could not be stored as {printable(path)}: {error}."
        ) from error
    return path


def _cached_file(url: str) -> Path:
    return cache() / url.rsplit("/", 1)[-1]


def cache() -> Path:
    """The folder of published weights, which is torch's."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def _import_timm(name: str) -> Any:
    """The package timm. Raises NetworkError if it is not installed, or has no network of this name."""
    import_torchvision()  # which timm imports
    try:
        import timm
        import timm.data
    except ImportError as error:
        raise NetworkError(f"timm:{name} needs timm, which is not installed: pip install 'triscope[timm]'.") from error
    if not timm.is_model(name):
        raise NetworkError(f"timm has no network {name!r}.{nearest(name, timm.list_models())}")
    return timm


def _timm_is_here(name: str) -> bool:
    """Whether timm's published weights of this name are in its cache, or in torch's."""
    timm = _import_timm(name)
    from huggingface_hub import try_to_load_from_cache

    try:
        known = timm.get_pretrained_cfg(name)
    except RuntimeError as error:  # an unknown tag
        raise NetworkError(f"timm has no weights {name!r}: {error}") from error
    if known is None:
        return False
    if known.url and _cached_file(known.url).exists():
        return True
    files = [known.hf_hub_filename] if known.hf_hub_filename else ["model.safetensors", "pytorch_model.bin"]
    hub, _, revision = (known.hf_hub_id or "").partition("@")
    return bool(hub) and any(
        isinstance(try_to_load_from_cache(hub, file, revision=revision or None), str) for file in files
    )


def _timm(name: str, weights: str | None) -> Network:
    timm = _import_timm(name)
    hub = logging.getLogger("huggingface_hub")  # it logs each of a dozen attempts; our message is enough
    level = hub.level
    hub.setLevel(logging.CRITICAL)
    try:
        module = timm.create_model(name, pretrained=weights is None)
    # The hub's client raises many kinds of exceptions for a failed download; an unknown tag is a RuntimeError.
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise NetworkError(
            f"The published weights of timm:{name} are not on this machine and cannot be downloaded ({reason}). "
            "Fetch them elsewhere and give the file with --weights."
        ) from error
    finally:
        hub.setLevel(level)
    missing = frozenset[str]() if weights in (None, RANDOM) else fit(module, open_weights(str(weights)))
    config = timm.data.resolve_model_data_config(module)
    rows, cols = config["input_size"][1:]
    return Network(
        module,
        mean=config["mean"],
        std=config["std"],
        size=(rows, cols),
        resize=int(min(rows, cols) / config["crop_pct"]),
        interpolation="bicubic" if config["interpolation"] == "bicubic" else "bilinear",
        classes=imagenet_classes() if _classes_of(module) == 1000 else None,
        name=f"timm:{name}",
        missing=missing,
    )


def _classes_of(module: Any) -> int | None:
    """The number of classes of a network of timm, whose classifier may be linear, a convolution, or several of them."""
    count = getattr(module, "num_classes", None)
    if isinstance(count, int):
        return count
    head = module.get_classifier()
    first = head[0] if isinstance(head, list | tuple | nn.ModuleList) and len(head) else head
    count = getattr(first, "out_features", getattr(first, "out_channels", None))
    return count if isinstance(count, int) else None


def _source(name: str, weights: str | None, seed: int, statement: Statement) -> dict[str, Any]:
    """How the network was loaded, for recipes: files by their absolute paths, a Python file also by its hash."""
    known: dict[str, Any] = {"name": name}
    stated: dict[str, Any] = {"stated": statement.to_json(), "classes_file": statement.classes_file}
    if match := re.fullmatch(r"(.+\.py):(\w+)", name):
        path = Path(match[1]).absolute()
        known = {"name": f"{path}:{match[2]}", "code": hashlib.sha256(path.read_bytes()).hexdigest()}
    known |= {key: value for key, value in stated.items() if value}
    if weights == RANDOM:
        return {**known, "weights": RANDOM, "seed": seed}
    return known | ({"weights": str(Path(weights).absolute())} if weights else {})


def _to(network: Network, device: torch.device) -> None:
    try:
        network.module.to(device)
    except (RuntimeError, AssertionError) as error:
        raise NetworkError(
            f"The device {device} cannot be used here ({str(error).splitlines()[0]}); "
            "`triscope doctor` lists those that can."
        ) from error


def imagenet_classes() -> Sequence[str]:
    """ImageNet's 1000 class names in order, from torchvision's table.

    Only the file with the table is executed: importing all of torchvision takes longer than loading the pocket network.
    """
    package = importlib.util.find_spec("torchvision")
    if package is None or package.origin is None:
        raise NetworkError("torchvision is not installed: pip install torchvision.")
    table = run_file(Path(package.origin).parent / "models" / "_meta.py")
    classes: Sequence[str] = vars(table)["_IMAGENET_CATEGORIES"]
    return classes
