"""Find the files that a recipe names: by name, accepted if the hash agrees."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from triscope.errors import RecipeError
from triscope.images import bare_name, open_photo, printable
from triscope.images.samples import find_sample
from triscope.methods import ImageInput, Method, QueryInput
from triscope.results import ImageNote, Recipe
from triscope.which.database.location import DEFAULT_NAME, rows_folder

_LONGEST = 200  # letters of a path in a sentence


def find_pictures(recipe: Recipe, verb: Method[Any], png: Path, given: Sequence[Path]) -> dict[str, Any]:
    """The images of a recipe as arguments of its method; `given` are they, in order, or the one folder they are in.

    Raises RecipeError where one is missing, or is not what it was.
    """
    if len(given) == 1 and given[0].is_dir():
        given = [given[0]] * len(recipe.images)
    if given and len(given) != len(recipe.images):
        raise RecipeError(f"{printable(png)} was made from {len(recipe.images)} images; {len(given)} were given.")
    by_part = defaultdict[str, list[Path]](list)
    for index, note in enumerate(recipe.images):
        by_part[note.part].append(_picture(note, png, given[index] if given else None))
    found: dict[str, Any] = {}
    for name, declared in verb.inputs.items():
        part = declared.input.part if isinstance(declared.input, ImageInput) else ""
        if isinstance(declared.input, ImageInput | QueryInput) and by_part[part]:
            found[name] = by_part[part] if declared.input.many else by_part[part][0]
    return found


def _picture(note: ImageNote, png: Path, given: Path | None) -> Path:
    """The file that has the recorded hash."""
    name, made = _told(note.name), printable(png)
    if note.sha256 is None:
        raise RecipeError(f"{made} was made from {name}, which was not a file, so it cannot be made again.")
    places = list(_places(note, png, given))
    found = [place for place in places if _is(place.is_file)]
    for place in found:
        if open_photo(place).sha256 == note.sha256:
            return place
    if found:
        raise RecipeError(f"{printable(found[0])} has changed since {made} was made from it.")
    if not places:
        raise RecipeError(f"{made} was made from {name}, which is not a file; give its image with --image.")
    looked = " and ".join(_told(place) for place in places)
    raise RecipeError(f"The image {name} was looked for at {looked}, and is not there; give its path with --image.")


def _places(note: ImageNote, png: Path, given: Path | None) -> Iterator[Path]:
    """Where an image may be."""
    ways = _ways(note.path) if note.path else []
    if given is not None:
        yield from (given / way for way in ways) if given.is_dir() else [given]
        return
    if note.path and _is_of_this_machine(note.path):  # version 0.1 wrote whole paths
        yield Path(note.path)
    yield from dict.fromkeys(folder / way for way in ways for folder in (png.parent, Path()))
    if note.path and (sample := find_sample(bare_name(note.path))):
        yield sample


def _ways(recorded: str) -> list[Path]:
    """Relative paths under which a recorded file may be in a folder: the recorded one, and its name; never upwards."""
    path = Path(recorded)
    ways = [] if path.is_absolute() or ".." in path.parts else [path]
    return list(dict.fromkeys([*ways, *(Path(name) for name in (path.name, bare_name(recorded)) if name)]))


def find_store(recipe: Recipe, png: Path, given: Path | None, name: str = "store") -> Path:
    """The store that a recipe calls `name`; `given` is its folder, or its images'. Raises RecipeError without."""
    if given is not None:
        return given
    recorded = str(recipe.options[name])
    ways = _ways(recorded)[:1]
    places = [Path(recorded)] if _is_of_this_machine(recorded) else []
    places += [folder / way for way in ways for folder in (png.parent, Path(), png.absolute().parent.parent)]
    for place in places:
        if _is(rows_folder(place).is_dir) or _is(rows_folder(place / DEFAULT_NAME).is_dir):
            return place
    looked = " and ".join(dict.fromkeys(_told(place) for place in places[:2]))
    raise RecipeError(
        f"The store {_told(recorded)} that {printable(png)} was made from was looked for at {looked}, and is not "
        "there; give its path with --store."
    )


def _told(path: str | Path) -> str:
    """A path that a recipe names, in a sentence: cut where it is long."""
    text = printable(path)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _is(there: Callable[[], bool]) -> bool:
    """Whether something is there, by a name that a file system may not take at all."""
    try:
        return there()
    except (OSError, ValueError):
        return False


def _is_of_this_machine(path: str) -> bool:
    """Whether a path is absolute and local: on Windows, one that begins with two slashes is on another machine."""
    return Path(path).is_absolute() and path[:2] not in ("\\\\", "//")
