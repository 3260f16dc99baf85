"""What commands share: the network, the output, and messages."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import click

from triscope.cli.interruption import Interrupted, was_interrupted
from triscope.cli.output import Target
from triscope.cli.plain import PlainOption
from triscope.cli.stated import Classes, Numbers, Size
from triscope.errors import TriscopeError
from triscope.network import Network, load
from triscope.network.loading.recorded import Said

Callback = Callable[..., None]

_STATED = (
    click.Option(
        ["--input-size"], type=Size(), metavar="N", help="the network's input size in pixels: 64, or ROWSxCOLUMNS"
    ),
    click.Option(
        ["--mean"],
        type=Numbers(),
        metavar="N,N,N",
        help="mean that the network's normalisation subtracts, for images in [0, 1]: one number, or one per channel",
    ),
    click.Option(["--std"], type=Numbers(), metavar="N,N,N", help="standard deviation that it divides by, likewise"),
    click.Option(
        ["--classes"],
        type=Classes(),
        metavar="FILE",
        help="class names: a text file with one per line, or cat,dog",
    ),
    click.Option(
        ["--output-key"],
        metavar="KEY",
        help="which of the module's outputs to use: a key, attribute or index, such as logits",
    ),
)
_NETWORK = (
    click.Option(
        ["-m", "--model", "model"],
        default="pocket",
        show_default=True,
        metavar="NAME",
        help="pocket (bundled), a network of torchvision (alexnet, vgg19, ...), timm:NAME, FILE.py:FUNCTION, or a "
        "weights file",
    ),
    click.Option(["--weights"], metavar="FILE", help="a weights file for it, .safetensors or .pth, or `random`"),
    click.Option(["--arch"], metavar="NAME", help="the architecture, if --model is a weights file"),
    click.Option(["--device"], metavar="DEVICE", help="where to compute: cpu, cuda, cuda:1, mps  [default: cpu]"),
    PlainOption(["--seed"], type=int, default=0, show_default=True, help="random seed"),
    *_STATED,
)
_RECORDED = (
    click.Option(
        ["-m", "--model", "model"],
        metavar="NAME",
        help="the network it was made with  [default: the recorded one; a Python file, a weights file or a download "
        "must be named here]",
    ),
    click.Option(["--weights"], metavar="FILE", help="the weights file it was made with"),
    click.Option(["--arch"], metavar="NAME", help="the architecture, if --model is a weights file"),
    click.Option(["--device"], metavar="DEVICE", help="where to compute: cpu, cuda, cuda:1, mps  [default: cpu]"),
)
_SAYING = (
    click.Option(["--json", "as_json"], is_flag=True, help="print one JSON object on stdout"),
    click.Option(["-q", "--quiet"], is_flag=True, help="print only errors on stderr"),
    click.Option(["-v", "--verbose"], is_flag=True, help="print more on stderr: the network, and timings"),
)
_OUT = (
    click.Option(
        ["-o", "--out"],
        metavar="PATH",
        help="output: a file, a folder, or - for stdout  [default: a descriptive name in the current directory]",
    ),
    click.Option(["-f", "--force"], is_flag=True, help="overwrite existing files"),
)


def network_options(taken: Sequence[str] = ()) -> list[click.Parameter]:
    """Which network. Its usual input is also said with --size, where that is not `taken` by another option."""
    if "size" in taken:
        return [*_NETWORK]
    return [_also_called(option, "--size") if option.name == "input_size" else option for option in _NETWORK]


def _also_called(option: click.Option, name: str) -> click.Option:
    """An option with one more name."""
    return click.Option(
        [*option.opts, name, str(option.name)], type=option.type, metavar=option.metavar, help=option.help
    )


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
class Console:
    """The output: progress and notes on stderr, results on stdout as paths, text, or one JSON object."""

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    told: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """A line on stderr, unless --quiet."""
        if not self.quiet:
            _complain(text)

    def detail(self, text: str) -> None:
        """A line for --verbose, on stderr."""
        if self.verbose:
            _complain(text)

    def keep(self, what: str | None) -> None:
        """Something was saved: the files that an interruption names. None is stdout."""
        self.kept.append(what or "stdout")

    def result(self, facts: dict[str, Any], text: str | os.PathLike[str] | None) -> None:
        """One result: as `text`, or as `facts` when JSON is wanted."""
        self.told.append(facts)
        if text is not None and not self.as_json:
            click.echo(os.fsencode(text) if isinstance(text, os.PathLike) else text)

    @contextmanager
    def attempt(self, what: str, *, alone: bool) -> Iterator[None]:
        """One of several things, or the only one: where it fails, it is listed, and the others go on.

        What is not a TriscopeError ends the command where it is `alone`, as a fault of the program does.
        """
        try:
            yield
        except Exception as error:
            if was_interrupted() or (alone and not isinstance(error, TriscopeError)):
                raise
            text = str(error) if isinstance(error, TriscopeError) else f"{what} failed: {error!r}"
            self.failed.append({"image": what, "error": text})
            _complain(f"triscope: {text}")

    def interrupted(self) -> None:
        """Say what there is of a command that was interrupted, and where."""
        if self.as_json:
            click.echo(json.dumps({"interrupted": True, "results": self.told, "failed": self.failed}, indent=1))
        said = "nothing was finished, so nothing is saved"
        if self.told:
            said = f"finished: {len(self.told)}"
        if self.kept:
            said = f"saved: {', '.join(self.kept)}"
        _complain(f"triscope: interrupted; {said}")

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
class NetworkChoice:
    """Which network: what the options of `network_options` say."""

    model: str
    weights: str | None
    arch: str | None
    device: str | None
    seed: int
    input_size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    classes: str | tuple[str, ...] | None = None
    output_key: str | None = None

    def load(self, console: Console) -> Network:
        """The network. Assumptions about a bare module are noted."""
        network = load(
            self.model,
            weights=self.weights,
            arch=self.arch,
            device=self.device,
            seed=self.seed,
            progress=not console.quiet,
            size=self.input_size,
            mean=self.mean,
            std=self.std,
            classes=self.classes,
            output=self.output_key,
        )
        if network.assumed:
            console.note(
                f"note: assumed of {network.name}: {'; '.join(network.assumed)}; state it with --input-size, --mean, "
                "--std, --classes"
            )
        console.detail(f"{network!r} on {network.device}")
        return network

    def beside(self, model: str) -> "NetworkChoice":
        """Another network, on the same device; what was said of a module of one's own holds for another, too."""
        other = replace(self, model=model, weights=None, arch=None)
        if ".py:" in model:
            return other
        return replace(other, input_size=None, mean=None, std=None, classes=None, output_key=None)


def read_stdin() -> bytes:
    """The image on stdin."""
    return sys.stdin.buffer.read()


def with_shared_options(run: Callback) -> Callback:
    """A command's callback: the shared options, where the command has them, reach `run` as values.

    They are `chosen` (a NetworkChoice), `said` (a Said), `target` (a Target) and `console` (a Console); all other
    options stay as they are.
    """

    def callback(**given: Any) -> None:
        shared: dict[str, Any] = {}
        for name, kind, options in (
            ("chosen", NetworkChoice, _NETWORK),
            ("said", Said, _RECORDED),
            ("target", Target, _OUT),
            ("console", Console, _SAYING),
        ):
            names = [str(option.name) for option in options]
            if all(name in given for name in names):
                shared[name] = kind(**{each: given.pop(each) for each in names})
        try:
            run(**shared, **given)
        except (KeyboardInterrupt, Exception) as error:
            if isinstance(error, Exception) and not was_interrupted():
                raise
            if isinstance(error, TriscopeError):
                _complain(f"triscope: {error}")
            shared["console"].interrupted()
            raise Interrupted from error

    return callback


def _complain(text: str) -> None:
    """A line on stderr; if that is closed, the job goes on."""
    with suppress(OSError):
        click.echo(text, err=True)
