"""Where results go: checked before the work begins, and written so that nothing finished is lost.

Target          what the options say: a file, a folder, stdout, and whether anything may be overwritten
Places          finds a Destination for each of a command's results, never one for two
Destination     one file, or stdout: checked and reserved when it is found, and written to once or many times
Preview         a Destination that is written to every few seconds
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from triscope.cli.interruption import held
from triscope.cli.reservation import reserve
from triscope.cli.stdout import write_stdout
from triscope.errors import OptionError, TriscopeError
from triscope.images import printable, slug
from triscope.results import Result, require_folder, require_place, write_file

STREAM = "-"

#: Raises OptionError for a file of a kind that the result cannot be written as.
Check = Callable[[Path], object]


@dataclass(frozen=True)
class Target:
    """Where results go: what the options of `out_options` say."""

    out: str | None
    force: bool

    def places(self, check: Check, *, several: bool = False) -> "Places":
        """The places for one result, or for several, of a kind that has the files that `check` lets pass.

        Raises OptionError where nothing could be written there.
        """
        return Places(self.out, self.force, check, several)

    def beside(self, path: str, check: Check) -> "Places":
        """The places for what a job writes beside its result, such as its frames; never stdout."""
        return Places(f"./{path}" if path == STREAM else path, self.force, check)


@dataclass
class Places:
    """Where results go: never over what is there, unless forced, and never two to one place."""

    out: str | None
    force: bool
    check: Check
    several: bool = False
    _taken: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Check the place before anything is done. Raises OptionError."""
        if self.to_stdout:
            if self.several:
                raise OptionError("stdout takes one image; for several, name a folder with --out.")
        elif self.out is None:
            require_folder(Path())
        elif self.several and self._names_a_file(self.out):
            raise OptionError(
                f"{printable(self.out)} names a file, and there are several results; name a folder with --out."
            )
        elif self.is_folder:
            require_folder(Path(self.out))
        else:
            self.check(Path(self.out))
            require_place(Path(self.out))

    def _names_a_file(self, out: str) -> bool:
        """Whether this is a file, or would be one by its ending."""
        if Path(out).is_dir() or out.endswith(("/", os.sep)):
            return False
        if os.path.lexists(out):
            return True
        try:
            self.check(Path(out))
        except OptionError:
            return False
        return True

    @property
    def to_stdout(self) -> bool:
        """Whether the result goes to stdout instead of a file."""
        return self.out == STREAM

    def find(self, parts: Sequence[str], suffix: str = ".png") -> "Destination":
        """The file for a result whose name is made of `parts`, or stdout.

        Raises OptionError where it may not be written, or another process is making it.
        """
        if self.to_stdout:
            return Destination(None)
        return self.at(self._path(parts, suffix))

    def at(self, path: Path) -> "Destination":
        """A file, or one beside it where a result of this command has it already. Raises OptionError as `find`."""
        first, number = path, 2
        while path in self._taken:
            path = first.with_stem(f"{first.stem}-{number}")
            number += 1
        destination = Destination(path, self.force)
        self._taken.add(path)
        return destination

    def _path(self, parts: Sequence[str], suffix: str) -> Path:
        name = ".".join(slug(part, 100 if index == 0 else 60) for index, part in enumerate(parts)) + suffix
        if self.out is None:
            return Path(name)
        return Path(self.out) / name if self.is_folder else Path(self.out)

    @property
    def is_folder(self) -> bool:
        """Whether results go into a folder, under names of their own."""
        out = str(self.out)
        return self.several or Path(out).is_dir() or out.endswith(("/", os.sep))


class Destination:
    """One file that a result is to be written to, or stdout, where `path` is None."""

    def __init__(self, path: Path | None, force: bool = False) -> None:
        """Look at the place, and reserve it. Raises OptionError where it is taken or cannot be written to."""
        self.path = path
        self._replace = force
        if path is None:
            return
        require_place(path)
        if os.path.lexists(path) and not force:
            raise OptionError(f"{printable(path)} exists; use --force to overwrite it, or name another place.")
        if not force and not reserve(path):
            raise OptionError(f"Another triscope is making {printable(path)}; name another place, or wait for it.")

    @property
    def name(self) -> str | None:
        """The printable path of the file; None for stdout."""
        return None if self.path is None else printable(self.path)

    def save(self, result: Result) -> None:
        """Write a result, replacing what this destination has written before. A signal waits until that is done.

        Raises OptionError where it cannot be written: then it is in the temporary folder, and the message says where.
        """
        usual = ".png" if ".png" in result.forms else next(iter(result.forms))
        self._save(usual if self.path is None else self.path.suffix.lower(), result.encode, result.forms)

    def save_bytes(self, data: bytes, ending: str) -> None:
        """Write the content of a file, as `save` does."""
        self._save(ending, lambda _: data, ())

    def write(self, data: bytes) -> None:
        """Write the content of a file, and raise OptionError where it cannot be."""
        if self.path is None:
            write_stdout(data)
        else:
            write_file(self.path, data, replace=self._replace)
            self._replace = True  # what is there now is its own

    def _save(self, ending: str, encode: Callable[[str], bytes], others: Iterable[str]) -> None:
        with held():
            try:
                self.write(encode(ending))
            except Exception as error:
                why = str(error) if isinstance(error, TriscopeError) else f"It cannot be saved: {error!r}."
                stem = "stdout" if self.path is None else self.path.stem
                raise OptionError(f"{why} {rescued(stem, encode, [ending, *others])}") from error


class Preview:
    """The image so far, in a file that is written anew every few seconds, and takes a twentieth of the time at
    most.
    """

    def __init__(self, destination: Destination, note: Callable[[str], None], every: float = 5.0) -> None:
        self._destination, self._note, self._every = destination, note, every
        self._due = time.monotonic() + every

    def show(self, result: Result) -> None:
        """Write it, if it is due. Where that fails, a note says so once, and the job goes on."""
        start = time.monotonic()
        if start < self._due:
            return
        try:
            path = self._destination.path
            assert path is not None
            with held():
                self._destination.write(result.encode(path.suffix.lower()))
        except TriscopeError as error:
            self._note(f"note: there is no preview: {error}")
            self._due = float("inf")
        else:
            now = time.monotonic()
            self._due = now + max(self._every, 20 * (now - start))


def rescued(stem: str, encode: Callable[[str], bytes], endings: Iterable[str]) -> str:
    """Write a result that its own place does not take into the temporary folder, in the first form that can be made.

    The sentence that says where it is.
    """
    problem: Exception | None = None
    for ending in dict.fromkeys(endings):
        try:
            data = encode(ending)
            path = Path(tempfile.mkdtemp(prefix="triscope-")) / f"{slug(stem)}{ending}"
            try:
                write_file(path, data)
            except OptionError:
                path.parent.rmdir()
                raise
        except Exception as error:  # noqa: BLE001 - another form may do
            problem = error
        else:
            return f"The result is saved in {printable(path)}."
    return f"It could not be saved in the temporary folder either: {problem}"
