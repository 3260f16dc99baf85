"""Options whose help is written for the person at the terminal."""

from typing import Any

import click


class PlainOption(click.Option):
    """An option whose help says NUMBER for a number of any kind, and does not print the ends of its range: they are
    there to catch mistakes, and an error message names them.
    """

    def __init__(self, *names: Any, **given: Any) -> None:
        super().__init__(*names, **given)
        if self.metavar is None and self.type.name.partition(" ")[0] in ("integer", "float"):
            self.metavar = "NUMBER"

    def get_help_extra(self, ctx: click.Context) -> Any:
        """As click has it, without the range."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        return extra
