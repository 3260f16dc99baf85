"""The command line.

Commands are loaded when they are called, so that `triscope --help` does not wait for torch. Which there are stands in
the catalogue. Those of the methods are made from their declarations (`build.py`) and run by one function (`run.py`);
the others stand in files of their own. Each file has a function `command(name)`.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted by Ctrl-C, 143 by SIGTERM; what there is by then is kept.
"""

import errno
import importlib
import sys
import warnings
from typing import Any

import click
from click.shell_completion import CompletionItem

from triscope import catalog
from triscope._version import __version__
from triscope.cli.interruption import Interrupted, exit_code, interruptible
from triscope.cli.stdout import forget_stdout
from triscope.errors import TriscopeError, TriscopeWarning, UnconfirmedNetwork, nearest

#: Every command with its line in the overview, by heading.
OVERVIEW = {
    title: {entry.command: entry.line for entry in (*catalog.METHODS, *catalog.TOOLS) if entry.question == question}
    for question, title in catalog.QUESTIONS.items()
}
COMMANDS = {name: text for commands in OVERVIEW.values() for name, text in commands.items()}
_MODULES = {entry.command: entry.cli for entry in catalog.METHODS} | {
    tool.command: tool.module for tool in catalog.TOOLS
}

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_WORDS = "triscope.words"  # where click's context keeps what was typed


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
        module = importlib.import_module(f"triscope.cli.{_MODULES[cmd_name]}")
        found: click.Command = module.command(cmd_name)
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

    def main(self, *args: Any, **given: Any) -> Any:  # click's signature
        """Run the program; an error on stdout becomes a message."""
        try:
            return super().main(*args, **given)
        except OSError as error:
            if error.errno not in _FULL or error.filename is not None:
                raise
            forget_stdout()
            click.echo(f"triscope: stdout cannot be written: {error.strerror}.", err=True)
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors become a sentence, warnings a note, an interruption exit code 130 or 143."""
        with interruptible(), warnings.catch_warnings():
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
            except Interrupted:
                sys.exit(exit_code())
            except KeyboardInterrupt:
                click.echo("triscope: interrupted; nothing was finished, so nothing is saved", err=True)
                sys.exit(exit_code())


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
