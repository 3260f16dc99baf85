"""The command that prints a shell's completion script. It stands alone because it needs no torch."""

import click
from click.shell_completion import get_completion_class


@click.command
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script for shell completion of triscope's commands and options.

    \b
    bash    triscope completion bash > ~/.local/share/bash-completion/completions/triscope
    zsh     triscope completion zsh > a folder of $fpath, as _triscope
    fish    triscope completion fish > ~/.config/fish/completions/triscope.fish
    """  # noqa: D301  # \\b is click's mark for lines that keep their breaks
    kind = get_completion_class(shell)
    assert kind is not None  # click knows these three
    click.echo(kind(context.find_root().command, {}, "triscope", "_TRISCOPE_COMPLETE").source())


def command(name: str) -> click.Command:
    """The command."""
    del name
    return completion
