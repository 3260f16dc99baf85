"""Loading weights from files without executing anything in them.

A `.pth` file is a pickle, and a pickle is a program. It is read only by PyTorch's restricted unpickler
(`weights_only=True`), which builds nothing but tensors and containers. If that refuses, the pickle's opcodes are
listed, without running them, so that the error can name what it would import.

- Files of safetensors and of `torch.save`, in either of its formats and from any device, are recognised by content.
- The tensors may be nested in `state_dict`, `model` and the like, and their names may have prefixes such as `module.`.
- Floating-point tensors are converted to float32, and must be finite.
"""

import hashlib
import io
import os
import pickle
import pickletools
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from triscope.errors import WeightsError
from triscope.images import not_the_file, open_regular, printable

_WRAPPINGS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "params", "weights")
_AVERAGED = ("state_dict_ema", "model_ema", "params_ema", "ema")  # used if none of the others is there
_PREFIXES = ("module.", "model.", "_orig_mod.")
_PLAIN = re.compile(r"torch\.(_utils\._rebuild_\w+|storage\.\w+|\w+Storage|[a-z]+\d*|Size)|collections\.OrderedDict")
_MODULE = re.compile(r"(torch\.nn\.modules|torchvision|timm)\.")
# The exceptions of the readers for damaged files.
_BROKEN = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    RuntimeError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    OverflowError,
    MemoryError,
    OSError,
)
_ADVICE = (
    "where you trust its origin, load it in Python and save its weights alone: torch.save(model.state_dict(), path)"
)


@dataclass(frozen=True, eq=False)
class Weights:
    """The tensors of a file of weights on the CPU: floating-point ones as finite float32, others unchanged.

    The prefixes that wrappers add to names (`module.`, `model.`, `_orig_mod.`) are removed. `sha256` is the file's.
    """

    tensors: Mapping[str, Tensor]
    sha256: str
    path: Path


def open_weights(path: str | os.PathLike[str]) -> Weights:
    """The tensors in a `.safetensors` or `.pth` file. Raises WeightsError for anything else."""
    label = printable(path)
    with open_regular(path, WeightsError) as file:
        start = file.read(4096)
        if why := not_the_file(start):
            raise WeightsError(f"{label} {why}.")
        if start[8:9] == b"{":  # safetensors: eight bytes of length, then JSON
            content: Any = _from_safetensors(file, label)
        elif start.startswith(b"PK\3\4"):
            content = _from_torch(file, _pickle_in_zip(file, label), label)
        elif start.startswith(b"\x80"):
            content = _from_torch(file, file, label)
        else:
            raise WeightsError(f"{label} is not a file of weights: supported are .safetensors and files of torch.save.")
        tensors = _tensors(content, label)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    cut = len(_prefix(tensors))
    return Weights({name[cut:]: tensor for name, tensor in tensors.items()}, digest, Path(path))


def fit(module: nn.Module, weights: Weights) -> frozenset[str]:
    """Copy the weights into `module`. Returns the names that the file lacks.

    Only the classifier may be missing: the last linear or convolutional layer, or the linear and normalisation layers
    at the end. It is left unchanged, and class scores are meaningless then. Raises WeightsError if other tensors are
    missing, unexpected or of another shape; the module is unchanged then.
    """
    whole = module.state_dict()
    own = _prefix(whole)
    wanted = {name.removeprefix(own): tensor for name, tensor in whole.items() if not _is_counter(name)}
    given = {name: tensor for name, tensor in weights.tensors.items() if not _is_counter(name)}
    label, kind = printable(weights.path), type(module).__name__
    missing = [name for name in wanted if name not in given]
    unexpected = [name for name in given if name not in wanted]
    if unexpected:
        also = f", and lacks {_some(missing)}" if missing else ""
        raise WeightsError(f"{label} belongs to another network than {kind}: it also holds {_some(unexpected)}{also}.")
    for name, tensor in given.items():
        if tensor.shape != wanted[name].shape:
            raise WeightsError(
                f"{label} does not fit {kind}: {name} is {tuple(tensor.shape)}, and {tuple(wanted[name].shape)} is "
                "expected; is it another architecture, or another number of classes?"
            )
    if missing and not _is_classifier(module, own, wanted, missing):
        raise WeightsError(f"{label} lacks {len(missing)} of the {len(wanted)} tensors of {kind}: {_some(missing)}.")
    module.load_state_dict({own + name: tensor for name, tensor in weights.tensors.items()}, strict=False)
    return frozenset(own + name for name in missing)


def _from_safetensors(file: BinaryIO, label: str) -> dict[str, Tensor]:
    file.seek(0)
    try:
        return safetensors.torch.load(file.read())
    except (safetensors.SafetensorError, *_BROKEN) as problem:
        raise WeightsError(_damaged(label)) from problem


def _from_torch(file: BinaryIO, listing: BinaryIO, label: str) -> Any:
    """The content of a file of `torch.save`; `listing` is the file with its pickle."""
    names, protocol = _imports(listing)
    if protocol > 2:  # the restricted unpickler supports only the protocol that PyTorch writes
        unknown = f"{label} was pickled with protocol {protocol}, which cannot be opened safely; {_ADVICE}."
        raise WeightsError(_refusal(names, label) or unknown)
    file.seek(0)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except _BROKEN as problem:
        raise WeightsError(_refusal(names, label) or _damaged(label)) from problem


def _pickle_in_zip(file: BinaryIO, label: str) -> BinaryIO:
    """The pickle in a zip file of `torch.save`. Raises WeightsError for other archives."""
    try:
        with zipfile.ZipFile(file) as archive:
            found = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise WeightsError(f"{label} is a TorchScript archive, a program; {_ADVICE}.")
            # Only uncompressed entries, so that a small file cannot expand into a large one.
            if not found or any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise WeightsError(f"{label} is a zip archive, but not one that torch.save wrote.")
            return io.BytesIO(archive.read(found[0]))
    except _BROKEN as problem:
        raise WeightsError(_damaged(label)) from problem


def _imports(file: BinaryIO) -> tuple[list[str], int]:
    """The names that the pickles at the start of a file would import, and their protocol; nothing is executed."""
    names: list[str] = []
    pushed: list[Any] = []  # newer protocols import by the two texts pushed last, which may come from the memo
    memo: list[Any] = []
    protocol = 0
    file.seek(0)
    for opcode, argument in _opcodes(file):
        match opcode:
            case "PROTO":
                protocol = max(protocol, argument)
            case "GLOBAL" | "INST":
                names.append(argument.replace(" ", "."))
            case "STACK_GLOBAL":
                names.append(".".join(map(str, pushed[-2:])))
            case "MEMOIZE":
                memo += pushed[-1:] or [None]
            case "BINGET" | "LONG_BINGET":
                pushed += memo[argument : argument + 1]
            case _:
                pushed.append(argument)
    return names, protocol


def _opcodes(file: BinaryIO) -> Iterator[tuple[str, Any]]:
    """The opcodes of up to five pickles in a row (the older format of `torch.save`), until one cannot be read."""
    for _ in range(5):
        try:
            for opcode, argument, _position in pickletools.genops(file):
                yield opcode.name, argument
        except ValueError:
            return


def _refusal(names: Iterable[str], label: str) -> str:
    """The message for a pickle that would import these names; "" if all of them are allowed."""
    strange = [name for name in names if not _PLAIN.fullmatch(name)]
    if module := next((name for name in strange if _MODULE.match(name)), ""):
        return f"{label} holds a whole pickled module ({module}), and opening that would run its code; {_ADVICE}."
    if strange:
        return (
            f"{label} would import {printable(strange[0][:80])}, which does not belong in a file of weights; use a "
            "file with a state_dict alone, or safetensors."
        )
    return ""


def _damaged(label: str) -> str:
    return f"{label} is cut short or damaged; download or copy it again."


def _tensors(content: Any, label: str) -> dict[str, Tensor]:
    """The named tensors in the content of a file, which may be nested."""
    for _ in range(4):  # bounded, as a mapping may contain itself
        if not isinstance(content, Mapping):
            raise WeightsError(f"{label} holds a {type(content).__name__} and not named tensors; {_ADVICE}.")
        wrapped = [content[key] for key in (*_WRAPPINGS, *_AVERAGED) if isinstance(content.get(key), Mapping)]
        if not wrapped:
            break
        content = wrapped[0]
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(
            f"{label} holds no tensors, only {_some([str(key) for key in content]) or 'an empty mapping'}."
        )
    return {name: _plain(name, tensor, label) for name, tensor in tensors.items()}


def _plain(name: str, tensor: Tensor, label: str) -> Tensor:
    """A dense tensor that owns its memory; floating-point ones as finite float32. Raises WeightsError for others."""
    dense = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    packed = tensor.is_complex() or (tensor.is_floating_point() and tensor.itemsize < 2)
    # A view that repeats its elements could expand to any size when it is converted.
    repeated = dense and tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes()
    if packed or repeated or not dense:
        raise WeightsError(
            f"{label} holds {printable(name)} in a form that is not supported ({tensor.dtype}, {tensor.layout}); "
            "dense tensors of plain floats or integers are needed."
        )
    if not tensor.is_floating_point():
        return tensor.detach()
    tensor = tensor.detach().to(torch.float32)
    if not tensor.isfinite().all():
        raise WeightsError(f"{label} is unusable: its tensor {printable(name)} holds NaN or infinite values.")
    return tensor


def _prefix(names: Iterable[str]) -> str:
    """The prefix of wrappers that all names have."""
    rest, found = list(names), ""
    while rest and (shared := [part for part in _PREFIXES if all(name.startswith(part) for name in rest)]):
        rest = [name.removeprefix(shared[0]) for name in rest]
        found += shared[0]
    return found


def _is_counter(name: str) -> bool:
    """Whether a name is that of batch normalisation's counter of batches, which older files lack and nothing reads."""
    return name.rpartition(".")[2] == "num_batches_tracked"


def _is_classifier(module: nn.Module, own: str, wanted: Iterable[str], missing: Iterable[str]) -> bool:
    """Whether the missing tensors are those of complete layers at the end of the network that form a classifier."""
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in wanted))
    lacking = list(dict.fromkeys(name.rpartition(".")[0] for name in missing))
    complete = [name for name in wanted if name.rpartition(".")[0] in lacking] == list(missing)
    if not complete or layers[-len(lacking) :] != lacking or lacking == layers:
        return False
    ends = [module.get_submodule((own + name).removesuffix(".")) for name in lacking]
    head = nn.Linear | nn.LayerNorm | nn.BatchNorm1d | nn.BatchNorm2d
    return all(isinstance(layer, head) for layer in ends) or (isinstance(ends[0], nn.Conv2d) and len(ends) == 1)


def _some(names: list[str], most: int = 3) -> str:
    shown = ", ".join(printable(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
