"""Ray clusters that are simulated on this machine, for tests that kill their workers and take their nodes away."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from triscope.cluster.settings import import_ray


def workers(mark: str) -> list[int]:
    """The processes of Ray's actors of a cluster that was started with this mark in its environment."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and (folder / "cmdline").read_bytes().startswith(b"ray::Worker"):
                found += [int(folder.name)] if mark.encode() in (folder / "environ").read_bytes() else []
        except OSError:
            continue
    return found


@contextmanager
def simulated() -> Iterator[tuple[Any, list[Any], str]]:
    """Three nodes of one processor each, on this machine; and the mark of their processes."""
    import_ray()
    from ray.cluster_utils import Cluster as Simulated

    mark = uuid.uuid4().hex
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRISCOPE_TEST_MARK", mark)
        made = Simulated(initialize_head=True, head_node_args={"num_cpus": 0})
        yield made, [made.add_node(num_cpus=1) for _ in range(3)], mark
        made.shutdown()
