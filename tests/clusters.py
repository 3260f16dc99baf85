"""Ray clusters that are simulated on this machine, for tests that kill their workers and take their nodes away."""

import os
import random
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.processes import started
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


def killed_at_random(
    cluster: tuple[Any, list[Any], str],
    driver: str,
    words: tuple[str, ...],
    goals: tuple[int, int],
    kills: int,
    ended: Callable[[], None] = lambda: None,
) -> None:
    """Run a driver until it has reported so many, and kill it, twice; then run it to its end while a node is lost.

    All the time workers die, `kills` altogether. A driver prints "made N"; `ended` is called after each.
    """
    (made, nodes, mark), chance, killed = cluster, random.Random(0), 0
    for goal in (*goals, None):
        with started(driver, *words, made.address) as running:
            end = time.monotonic() + 240
            while (told := next(running.stdout, None)) is not None and time.monotonic() < end:
                if not told.startswith("made "):
                    continue  # Ray says what it has lost
                if goal and int(told.split()[1]) >= goal:
                    break
                if goal is None and len(nodes) == 3:
                    made.remove_node(nodes.pop(), allow_graceful=False)
                if killed < kills and (alive := workers(mark)):
                    os.kill(chance.choice(alive), signal.SIGKILL)
                    killed += 1
            if goal:
                running.kill()
            else:
                assert running.wait() == 0, running.stderr.read()
        ended()
    assert killed == kills
