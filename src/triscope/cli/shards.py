"""Shards: one of several processes that share a job."""

import click

from triscope.errors import OptionError


def shard_option() -> click.Option:
    """The option."""
    return click.Option(
        ["--shard"], default="1/1", show_default=True, metavar="I/N",
        help="do only the I-th of N parts, so that N processes can share the work",
    )  # fmt: skip


def read_shard(text: str) -> tuple[int, int]:
    """(i, n) of I/N. Raises OptionError."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal()):
        raise OptionError(f"A shard is I/N, such as 2/4, not {text!r}.")
    return int(part), int(parts)
