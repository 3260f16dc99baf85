"""What commands share: which network, where results go, how they are told of."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from triscope.errors import OptionError
from triscope.images import printable, slug
from triscope.network import Network, load
from triscope.network.loading.recorded import Said
from triscope.results import Result, write_file

STREAM = "-"

Callback = Callable[..., None]

_NETWORK = (
    click.Option(
        ["-m", "--model", "model"],
        default="pocket",
        show_default=True,
        metavar="NAME",
        help="pocket, one of torchvision's (alexnet, vgg19, ...), timm:NAME, FILE.py:FUNCTION, or a weights file",
    ),
    click.Option(
        ["--weights"], metavar="FILE", help="weights for that architecture: .safetensors or .pth, or `random`"
    ),
    click.Option(["--arch"], metavar="NAME", help="the architecture, where --model is a weights file"),
    click.Option(
        ["--device"], metavar="DEVICE", help="cpu, cuda, cuda:1, mps; `triscope doctor` lists them  [default: cpu]"
    ),
    click.Option(["--seed"], type=int, default=0, show_default=True, help="random seed"),
)
_RECORDED = (
    click.Option(
        ["-m", "--model", "model"],
        metavar="NAME",
        help="the network that made it  [default: as recorded; a Python file, weights or a download are only taken "
        "where they are named here]",
    ),
    click.Option(["--weights"], metavar="FILE", help="the weights that made it, where they are in a file"),
    click.Option(["--arch"], metavar="NAME", help="the architecture, where --model is a weights file"),
    click.Option(["--device"], metavar="DEVICE", help="cpu, cuda, cuda:1, mps  [default: cpu]"),
)
_SAYING = (
    click.Option(["--json", "as_json"], is_flag=True, help="one JSON object on stdout"),
    click.Option(["-q", "--quiet"], is_flag=True, help="nothing on stderr but errors"),
    click.Option(["-v", "--verbose"], is_flag=True, help="more on stderr: the network, and how long things took"),
)
_OUT = (
    click.Option(
        ["-o", "--out"],
        metavar="PATH",
        help="a file, a folder, or - for stdout  [default: a descriptive name in the current directory]",
    ),
    click.Option(["-f", "--force"], is_flag=True, help="overwrite what is there"),
)


def network_options() -> list[click.Parameter]:
    """Which network."""
    return [*_NETWORK]


def recorded_options() -> list[click.Parameter]:
    """Which network a file records, where that is for the user to say."""
    return [*_RECORDED]


def saying_options() -> list[click.Parameter]:
    """How much is said."""
    return [*_SAYING]


def out_options() -> list[click.Parameter]:
    """Where results go."""
    return [*_OUT]


@dataclass
class Voice:
    """What is said: progress and notes on stderr, results on stdout as paths, text, or one JSON object."""

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    told: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Something to know, on stderr."""
        if not self.quiet:
            click.echo(text, err=True)

    def detail(self, text: str) -> None:
        """Something for those who asked for more, on stderr."""
        if self.verbose:
            click.echo(text, err=True)

    def result(self, facts: dict[str, Any], text: str | os.PathLike[str] | None) -> None:
        """One result: as `text`, or as `facts` when JSON is wanted."""
        self.told.append(facts)
        if text is not None and not self.as_json:
            click.echo(os.fsencode(text) if isinstance(text, os.PathLike) else text)

    def failure(self, what: str, error: Exception) -> None:
        """One of several things failed; the others go on."""
        self.failed.append({"image": what, "error": str(error)})
        click.echo(f"triscope: {error}", err=True)

    def close(self, **facts: Any) -> None:
        """The JSON object, where it is wanted; exit code 1 where something failed."""
        if self.as_json:
            failed = {"failed": self.failed} if self.failed else {}
            click.echo(json.dumps({**facts, "results": self.told, **failed}, indent=1))
        if self.failed:
            if len(self.failed) + len(self.told) > 1:
                self.note(f"{len(self.told)} done, {len(self.failed)} failed")
            sys.exit(1)


@dataclass(frozen=True)
class Chosen:
    """Which network: what the options of `network_options` say."""

    model: str
    weights: str | None
    arch: str | None
    device: str | None
    seed: int

    def load(self, voice: Voice) -> Network:
        """The network."""
        network = load(
            self.model,
            weights=self.weights,
            arch=self.arch,
            device=self.device,
            seed=self.seed,
            progress=not voice.quiet,
        )
        voice.detail(f"{network!r} on {network.device}")
        return network

    def beside(self, model: str) -> "Chosen":
        """Another network, on the same device."""
        return replace(self, model=model, weights=None, arch=None)


@dataclass(frozen=True)
class Target:
    """Where results go: what the options of `out_options` say."""

    out: str | None
    force: bool

    def places(self, *, several: bool = False) -> "Places":
        """The places for one result, or for several."""
        return Places(self.out, self.force, several)


@dataclass
class Places:
    """Where results go: never over what is there, unless forced, and never two to one place."""

    out: str | None
    force: bool
    several: bool
    _taken: set[Path] = field(default_factory=set)

    @property
    def to_stdout(self) -> bool:
        """Whether the result goes to stdout instead of a file."""
        return self.out == STREAM

    def __post_init__(self) -> None:
        """Several results need a folder."""
        if self.out is None or self.to_stdout:
            if self.to_stdout and self.several:
                raise OptionError("stdout takes one picture; for several, name a folder with --out.")
            return
        folder = Path(self.out)
        if self.several and folder.exists() and not folder.is_dir():
            raise OptionError(
                f"{printable(self.out)} is a file, and there are several results; name a folder with --out."
            )

    def find(self, parts: Sequence[str], suffix: str = ".png") -> Path:
        """The file for a result whose name is made of `parts`. Raises OptionError where it may not be written."""
        name = ".".join(slug(part, 100 if index == 0 else 60) for index, part in enumerate(parts)) + suffix
        if self.out is None:
            path = Path(name)
        elif self.several or Path(self.out).is_dir() or self.out.endswith(("/", os.sep)):
            Path(self.out).mkdir(parents=True, exist_ok=True)
            path = Path(self.out) / name
        else:
            path = Path(self.out)
        return self.at(path)

    def at(self, path: Path) -> Path:
        """A file, or one beside it where a result of this command has it already. Raises OptionError as `find`."""
        first, number = path, 2
        while path in self._taken:
            path = first.with_stem(f"{first.stem}-{number}")
            number += 1
        if path.exists() and not self.force:
            raise OptionError(f"{printable(path)} exists; use --force to overwrite it, or --out to name another place.")
        self._taken.add(path)
        return path


def put(result: Result, path: Path | None) -> None:
    """Write a result to its place; None is stdout, which has its picture, or else the first of its forms."""
    if path is None:
        forms = result.forms
        sys.stdout.buffer.write((forms.get(".png") or next(iter(forms.values())))())
    else:
        result.save(path)


def put_bytes(data: bytes, path: Path | None) -> None:
    """Write bytes to their place; None is stdout."""
    if path is None:
        sys.stdout.buffer.write(data)
    else:
        write_file(path, data)


def read_stdin() -> bytes:
    """The picture on stdin."""
    return sys.stdin.buffer.read()


def gathered(run: Callback) -> Callback:
    """A command's callback: the shared options, where the command has them, reach `run` as values.

    They are `chosen` (a Chosen), `said` (a Said), `target` (a Target) and `voice` (a Voice); all other options stay as
    they are.
    """

    def callback(**given: Any) -> None:
        shared: dict[str, Any] = {}
        for name, kind, options in (
            ("chosen", Chosen, _NETWORK),
            ("said", Said, _RECORDED),
            ("target", Target, _OUT),
            ("voice", Voice, _SAYING),
        ):
            names = [str(option.name) for option in options]
            if all(name in given for name in names):
                shared[name] = kind(**{each: given.pop(each) for each in names})
        run(**shared, **given)

    return callback
