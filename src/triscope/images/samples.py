"""Photos to try things on: scikit-image ships a few that are free to use.

Only their files are looked for; scikit-image itself is not imported.
"""

import os
from importlib.util import find_spec
from pathlib import Path

from triscope.errors import ImageError, nearest

#: The photos by name, and their files in scikit-image's folder of data.
SAMPLES = {"cat": "chelsea.png", "coffee": "coffee.png", "astronaut": "astronaut.png", "rocket": "rocket.jpg"}

#: Textures: photos of one material all over.
TEXTURES = {"brick": "brick.png", "grass": "grass.png", "gravel": "gravel.png", "tissue": "ihc.png"}

#: More photos, of other things.
MORE = {
    "camera": "camera.png",
    "coins": "coins.png",
    "galaxies": "hubble_deep_field.jpg",
    "moon": "moon.png",
    "motorcycle": "motorcycle_left.png",
    "page": "page.png",
    "retina": "retina.jpg",
    "text": "text.png",
}
_FILES = SAMPLES | TEXTURES | MORE

#: Before the name of a sample photo, it makes a word that is taken wherever a file of a photo is: sample:cat.
PREFIX = "sample:"


def sample_word(path: str | os.PathLike[str]) -> str | None:
    """The word for a sample photo's file, "sample:cat"; None for any other file."""
    name = next((name for name, file in _FILES.items() if file == Path(path).name), None)
    return f"{PREFIX}{name}" if name and find_sample(_FILES[name]) == Path(path) else None


def photo_file(word: str | os.PathLike[str]) -> str:
    """The file that a word for a photo stands for: that of a sample, or the word itself. Raises ImageError."""
    text = os.fsdecode(word)
    return os.fspath(sample_photo(text.removeprefix(PREFIX))) if text.startswith(PREFIX) else text


def find_sample(file: str) -> Path | None:
    """A sample photo by the name of its file; None where there is none, or it is not installed."""
    names = [name for name, known in _FILES.items() if known == file]
    try:
        return sample_photo(names[0]) if names else None
    except ImageError:
        return None


def sample_photo(name: str = "cat") -> Path:
    """The file of a sample photo: of SAMPLES, TEXTURES or MORE.

    Raises ImageError where it is not there.
    """
    if name not in _FILES:
        raise ImageError(f"There is no sample photo {name!r}.{nearest(name, _FILES)} They are {', '.join(_FILES)}.")
    package = find_spec("skimage")
    path = Path(package.origin).parent / "data" / _FILES[name] if package and package.origin else None
    if path is None or not path.is_file():
        raise ImageError(
            f"The sample photo {name} comes with scikit-image, whose photos are not here: pip install scikit-image, or "
            "give an image of your own."
        )
    return path
