"""The gallery: every example is run in a folder of its own, and shown with the images that it saves there."""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sphinx_gallery.scrapers import figure_rst

#: Where the example that is run now saves its images.
_FOLDERS: dict[str, Path] = {}
#: Examples that optimise images take a number of steps: fewer than usual, so that the site is built in minutes.
_WORDS = {"ascend_classes": ("32",), "ascend_inversion": ("sample:rocket", "16")}


def arguments(gallery_conf: Mapping[str, Any], script_vars: Mapping[str, Any]) -> list[str]:
    """The words that an example is run with: an empty folder, new for each."""
    example = script_vars["src_file"]
    _FOLDERS[example] = Path(tempfile.mkdtemp(prefix="triscope-gallery-"))
    return [str(_FOLDERS[example]), *_WORDS.get(Path(example).stem, ())]


def saved_pictures(block: tuple[Any, ...], block_vars: dict[str, Any], gallery_conf: Mapping[str, Any]) -> str:
    """The images that an example has saved since the last block, as figures."""
    folder = _FOLDERS.get(block_vars["src_file"])
    title = Path(block_vars["src_file"]).read_text("utf-8").splitlines()[0].strip('"')
    found = []
    for picture in sorted(folder.glob("*.png"), key=lambda one: one.stat().st_mtime_ns) if folder else []:
        path = next(block_vars["image_path_iterator"])
        shutil.move(picture, path)
        found.append((path, f"{title} ({picture.stem})"))
    return "".join(figure_rst([path], gallery_conf["src_dir"], alt) for path, alt in found)
