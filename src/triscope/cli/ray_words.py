"""The options of commands that compute on a Ray cluster."""

import sys
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from typing import Any

import click

from triscope.cli.plain import PlainOption
from triscope.cluster.settings import Cluster


def ray_options() -> list[click.Parameter]:
    """The options."""
    return [
        click.Option(
            ["--ray"], is_flag=False, flag_value="", metavar="[ADDRESS]",
            help="compute on a Ray cluster: ray://HOST:PORT; without an address, that of RAY_ADDRESS or a local one",
        ),
        PlainOption(
            ["--ray-cpus"], type=click.FloatRange(0, 1024), default=1.0, show_default=True,
            help="CPUs per Ray actor",
        ),
        PlainOption(
            ["--ray-gpus"], type=click.FloatRange(0, 1024), default=0.0, show_default=True,
            help="GPUs per Ray actor",
        ),
    ]  # fmt: skip


def read_ray(ray: str | None, ray_cpus: float, ray_gpus: float) -> Cluster | None:
    """The cluster that the options name; None without --ray."""
    return None if ray is None else Cluster(ray or None, ray_cpus, ray_gpus)


def ray_on_stderr(cluster: Cluster | None) -> AbstractContextManager[Any]:
    """Within, Ray's messages about lost nodes go to stderr instead of stdout."""
    return nullcontext() if cluster is None else redirect_stdout(sys.stderr)
