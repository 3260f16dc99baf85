"""Python in processes of their own, for tests that kill, interrupt or watch one.

To load PyTorch takes seconds. So one process loads it and triscope, once, and each that a test asks for is forked from
that one, and ends like any other; those that are to find another triscope, or to load it themselves, are forked from a
second one, which has PyTorch and nothing of triscope. `started` is used like `subprocess.Popen`:

    with started("import sys; print(sys.argv[1])", "word") as process:
        out, err = process.communicate()
"""

import atexit
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[1]
PATHS = (ROOT / "src", ROOT)
#: The command line, as `python -m triscope` runs it.
TRISCOPE = "from triscope.__main__ import run; run()"


class Process:
    """A Python program that runs in a process of its own; text in UTF-8 comes from its stdout and stderr."""

    def __init__(
        self, program: str, words: Sequence[str], paths: Sequence[Path | str], stdout: int | None, fresh: bool
    ) -> None:
        out, self._out = os.pipe()
        err, self._err = os.pipe()
        self._ours, theirs = socket.socketpair()
        request = {
            "program": program,
            "argv": ["-c", *words],
            "paths": [str(path) for path in paths],
            "folder": str(Path.cwd()),
            "environment": dict(os.environ),
        }
        with theirs, Path(os.devnull).open() as nothing:
            given = [theirs.fileno(), nothing.fileno(), self._out if stdout is None else stdout, self._err]
            socket.send_fds(_forking(fresh), [json.dumps(request).encode()], given)
        os.close(self._out)
        os.close(self._err)
        self.stdout, self.stderr = (os.fdopen(end, encoding="utf-8", errors="surrogateescape") for end in (out, err))
        self._told = self._ours.makefile()
        self.pid = int(self._told.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, or minus the signal that ended it; None while it runs."""
        if self.returncode is None and select.select([self._ours], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = int(self._told.readline())
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self) -> tuple[str, str]:
        """What it writes from now until it ends, on stdout and stderr."""
        with ThreadPoolExecutor(2) as pool:
            out, err = pool.map(lambda stream: stream.read(), (self.stdout, self.stderr))
        self.close()
        return out, err

    def close(self) -> None:
        self.stdout.close()
        self.stderr.close()
        self.wait()
        self._told.close()
        self._ours.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def started(
    program: str, *words: str, paths: Sequence[Path | str] = PATHS, stdout: Any = None, fresh: bool = False
) -> Process:
    """A program of Python, started here and now with these words; `stdout` is a file where it is not to be read.

    A fresh one, and one with other paths, has loaded nothing of triscope.
    """
    return Process(program, words, paths, None if stdout is None else stdout.fileno(), fresh or paths != PATHS)


def ran(program: str, *words: str, **options: Any) -> tuple[int, str, str]:
    """The exit code of a program, and what it wrote on stdout and stderr."""
    process = started(program, *words, **options)
    out, err = process.communicate()
    return process.wait(), out, err


@functools.cache
def _forking(fresh: bool) -> socket.socket:
    """What to ask for processes: the other end of it is the one that has loaded PyTorch, and triscope if not fresh."""
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, __file__, str(theirs.fileno()), "" if fresh else "loaded"]
        server = subprocess.Popen(command, pass_fds=[theirs.fileno()])

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours


def _serve(asked: socket.socket) -> dict[str, Any] | None:
    """Forks a process for each request. In that process, the request comes back; in this one None, when all is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # who has ended is forgotten
    while True:
        message, given, _, _ = socket.recv_fds(asked, 2**20, 4)
        if not message:
            return None
        if os.fork() == 0:
            asked.close()
            return _watch(json.loads(message), given)
        for number in given:
            os.close(number)


def _watch(request: dict[str, Any], given: list[int]) -> dict[str, Any]:
    """Forks the process that was asked for, and tells its number, and how it ended. Returns in that process only."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with socket.socket(fileno=given[0]) as telling:
        pid = os.fork()
        if pid:
            for number in given[1:]:
                os.close(number)
            telling.sendall(f"{pid}\n".encode())
            _, status = os.waitpid(pid, 0)
            telling.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os._exit(0)
    for number, mine in enumerate(given[1:]):
        os.dup2(mine, number)
        os.close(mine)
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        signal.signal(number, handler)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None  # what is imported here may have looked for it already
    sys.argv, sys.path[:] = request["argv"], [*request["paths"], *sys.path[1:]]
    return request


if __name__ == "__main__":
    import torch

    for name in ("click", "numpy", "PIL.Image"):
        importlib.import_module(name)
    torch.set_num_threads(1)
    torch.manual_seed(0)  # each that is forked has the same random numbers, whenever it is
    if sys.argv[2]:
        sys.path[:0] = map(str, PATHS)
        # What Lance loads, and not Lance itself: that has threads, and is not to be forked.
        for name in ("pyarrow.dataset", "triscope.cli", "triscope.verbs"):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else each that is forked copies all that is loaded when it ends, to look for what to clear away
    wanted = _serve(socket.socket(fileno=int(sys.argv[1])))
    if wanted is not None:
        exec(compile(wanted["program"], "<string>", "exec"), {"__name__": "__main__"})
