"""The command line: words to methods to files.

Commands are loaded when they are called, so that `triscope --help` does not wait for torch. Those of the methods are
made from the table of methods (`verbs.py`); the others stand in `tools.py` and `completion.py`.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted; what was finished by then is saved.
"""

import importlib
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import click
from click.shell_completion import CompletionItem

from triscope._version import __version__
from triscope.errors import TriscopeError, TriscopeWarning, UnconfirmedNetwork, nearest

#: Every command, with what the overview says of it. A test holds it to the table of methods.
OVERVIEW = {
    "Where in this image": {
        "saliency": "how much each pixel matters to a class or an inner unit",
        "input-x-gradient": "what each pixel adds to the score",
        "guided-backprop": "the pattern in the image that raises a unit, in colour",
        "deconvnet": "a unit's answer projected back to the pixels",
    },
    "What image would": {
        "ascend": "a picture that raises a class or an inner unit",
        "regularisers": "the same unit under every regulariser, side by side",
        "dream": "a photo in which a layer sees more and more",
        "invert": "the picture that a layer's activations are enough to draw",
        "texture": "a new picture with the texture of an example",
        "stylize": "the content of one picture in the style of others",
        "fool": "a photo changed invisibly, and called something else",
    },
    "Which images do": {
        "index": "what a network says of every picture of a folder, stored",
        "neighbors": "the pictures of a store that are most like one",
        "duplicates": "groups of pictures of a store that are nearly the same",
        "top": "the pictures of a store with the highest score",
        "patches": "where in the pictures of a store a unit answers most, cut out",
        "pca": "the pictures of a store on the plane in which they differ most",
        "tsne": "the pictures of a store on a map where like ones are near",
    },
    "What the network is and sees": {
        "layers": "the layers: type, output, parameters, receptive field",
        "filters": "the filters of the first layer, or of another, as pictures",
        "activations": "a layer's volume sliced into its maps",
        "predict": "the most likely classes of a picture",
    },
    "Everything at once, and tools": {
        "report": "one picture through everything, as one HTML file",
        "redo": "make a saved picture again from the recipe it carries",
        "doctor": "versions, devices, precision, where weights are kept",
        "completion": "the script that lets a shell complete triscope's words",
    },
}
COMMANDS = {name: text for commands in OVERVIEW.values() for name, text in commands.items()}

_WORDS = "triscope.words"  # where click's context keeps what was typed

_Make: TypeAlias = Callable[[Any, str], click.Command]


def _made(module: Any, name: str) -> click.Command:
    command: click.Command = module.command(name)
    return command


def _listed(module: Any, name: str) -> click.Command:
    command: click.Command = module.COMMANDS[name]
    return command


#: The module that has a command, and how it is got there: for some by name, for others by the title they stand under.
_HOMES: dict[str, tuple[str, _Make]] = {
    "completion": ("completion", lambda module, _: module.completion),
    **dict.fromkeys(("doctor", "layers", "redo", "report"), ("tools", _listed)),
    **dict.fromkeys(("pca", "tsne"), ("maps", _made)),
}
_ROOMS: dict[str, tuple[str, _Make]] = {
    "Where in this image": ("verbs", _made),
    "What image would": ("imagine", _made),
    "Which images do": ("which", _made),
    "What the network is and sees": ("verbs", _made),
}


class Failure(click.ClickException):
    """A sentence on stderr, and exit code 1."""

    def show(self, file: Any = None) -> None:  # click's signature
        """Write it."""
        click.echo(f"triscope: {self.message}", err=True)


class Commands(click.Group):
    """A group that knows its commands' names without loading them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:  # click's signature
        """As click does it; the words are kept, so that an error can say which command to give instead."""
        ctx.meta[_WORDS] = list(args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # click's signature
        """Their names, in the order of the overview."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # click's signature
        """The command of this name, loaded."""
        if cmd_name not in COMMANDS:
            return None
        module, make = _HOMES.get(cmd_name) or next(
            home for title, home in _ROOMS.items() if cmd_name in OVERVIEW[title]
        )
        found: click.Command = make(importlib.import_module(f"triscope.cli.{module}"), cmd_name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with a suggestion where there is no such command."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(
                f"There is no command {args[0]!r}.{nearest(args[0], COMMANDS)} `triscope --help` lists all of them."
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # click's signature
        """The overview."""
        for title, commands in OVERVIEW.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:  # click's signature
        """The commands that begin so."""
        return [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors become a sentence, warnings a note, an interruption exit code 130."""
        with warnings.catch_warnings():
            warnings.simplefilter("always", TriscopeWarning)
            warnings.filterwarnings("ignore", module=r"PIL\.")  # of files that are read all the same, or refused
            show = warnings.showwarning
            warnings.showwarning = lambda message, category, *rest: (
                click.echo(f"note: {message}", err=True)
                if issubclass(category, TriscopeWarning)
                else show(message, category, *rest)
            )
            try:
                return super().invoke(ctx)
            except UnconfirmedNetwork as error:
                raise Failure(error.command(["triscope", *ctx.meta[_WORDS]])) from error
            except TriscopeError as error:
                raise Failure(str(error)) from error
            except KeyboardInterrupt:
                click.echo("triscope: interrupted; what was finished is saved", err=True)
                sys.exit(130)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="triscope")
def main() -> None:
    """See what a vision network has learned.

    \b
    triscope report                              everything about a sample photo, as one HTML file
    triscope saliency cat.jpg                    where the network looks for its answer
    triscope guided-backprop cat.jpg -u features.10:42@3,5
    triscope filters -m alexnet                  torchvision's networks by name

    A UNIT is a class (281, tabby, prob:tabby), a channel (LAYER:CHANNEL) or a neuron (LAYER:CHANNEL@ROW,COLUMN).
    """  # noqa: D301  # \\b is click's mark for lines that keep their breaks
