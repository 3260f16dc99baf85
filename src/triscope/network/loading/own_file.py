"""Networks in the user's own Python files. Such a file is executed, so only the user may name it."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from torch import nn

from triscope.errors import NetworkError, TriscopeError
from triscope.images import printable
from triscope.network.loading.stating import Statement
from triscope.network.network import Network
from triscope.network.refusals import stopped


def own_network(name: str, statement: Statement) -> Network:
    """The network for "FILE.py:NAME": a network in the file, or the return value of a function or class there.

    Raises NetworkError if there is none of that name, or the file or function fails.
    """
    file, _, function = name.rpartition(":")
    with _own_code(name, Path(file).absolute().parent):
        made = getattr(run_file(Path(file)), function, None)
    if not isinstance(made, Network | nn.Module):
        if not callable(made):
            raise NetworkError(f"{printable(file)} has no network and no function {function}.")
        with _own_code(name, Path(file).absolute().parent):
            made = made()
    if not isinstance(made, Network | nn.Module):
        raise NetworkError(
            f"{function}() in {printable(file)} returned {type(made).__name__}, not a torch.nn.Module or a Network."
        )
    return statement.about(made) if isinstance(made, Network) else statement.made(made)


@contextmanager
def _own_code(name: str, folder: Path) -> Iterator[None]:
    """Context in which the user's code runs: imports from its folder work, and errors name its lines."""
    sys.path.insert(0, str(folder))
    try:
        yield
    except TriscopeError:
        raise
    except Exception as error:
        raise stopped(printable(name), error) from error
    finally:
        sys.path.remove(str(folder))


def run_file(path: Path) -> ModuleType:
    """Execute a Python file, and return its module. Raises NetworkError if there is no such file."""
    if not path.is_file():
        raise NetworkError(f"{printable(path)} does not exist, or is not a file.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise NetworkError(f"{printable(path)} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
