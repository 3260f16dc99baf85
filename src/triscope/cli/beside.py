"""Further networks: `--beside NAME`, and `--beside-weights FILE` for weights of their own."""

from collections.abc import Sequence
from dataclasses import replace

import click

from triscope.cli.common import NetworkChoice
from triscope.errors import OptionError
from triscope.network.loading.recorded import Said


def beside_options() -> list[click.Parameter]:
    """Which other networks, and their weights."""
    return [
        click.Option(
            ["--beside"], multiple=True, metavar="NAME", help="another network, to compare with; may be repeated"
        ),
        click.Option(
            ["--beside-weights"],
            multiple=True,
            metavar="FILE",
            help="weights for the --beside network, or `random`; one per --beside, in the same order. Without "
            "--beside: other weights for the network of --model",
        ),
    ]


def networks_beside(chosen: NetworkChoice, names: Sequence[str], weights: Sequence[str]) -> list[NetworkChoice]:
    """The other networks. Raises OptionError where more weights than networks are named."""
    if not names:
        model = chosen.arch or chosen.model
        return [replace(chosen, model=model, arch=None, weights=file) for file in weights]
    return [replace(chosen.beside(name), weights=file) for name, file in _paired(names, weights)]


def said_beside(said: Said, names: Sequence[str], weights: Sequence[str]) -> Said:
    """The statements about the networks of a file, with the others. Raises OptionError as `networks_beside` does."""
    if not names:
        others = [replace(said, model=said.named, arch=None, weights=file) for file in weights]
    else:
        others = [Said(model=name, weights=file, device=said.device) for name, file in _paired(names, weights)]
    return replace(said, beside=tuple(others))


def _paired(names: Sequence[str], weights: Sequence[str]) -> list[tuple[str, str | None]]:
    if len(weights) > len(names):
        raise OptionError(
            f"--beside-weights is given {len(weights)} times and --beside {len(names)}: give one file for each "
            "network, in the same order."
        )
    return list(zip(names, [*weights, *[None] * (len(names) - len(weights))], strict=True))
