"""Pages whose code is run while the site is built, and shown with the images that it saves.

In such a page `<!-- figure: NAME.png: what is seen -->` stands for an image that the code above it has saved, or a
script that is run instead of it, and `<!-- seconds: NAME -->` for what that has noted in times.json. A page in another
language shows the images of the page that it translates. Nothing is run again until the code, or triscope, has
changed. A script that ends with 3 lacks something that is not installed everywhere: then its images are left out.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from scripts.blocks import blocks
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

#: A page by the folder of its images, which is also the folder that its code is run in.
RUN = {"docs/lecture.md": "docs/lecture", "docs/first-path.md": "docs/first-path"}
#: What is run for a page whose own code is for its readers.
SCRIPTS = {"docs/first-path.md": "docs/site/first_path.py"}
TRANSLATED = {"docs/ko/lecture": "docs/lecture"}
_FIGURE = re.compile(r"<!-- figure: ([\w-]+\.png): (.+?) -->", re.DOTALL)
_SECONDS = re.compile(r"<!-- seconds: (\w+) -->")
_DIGEST = "digest.txt"
_NOT_HERE = 3


def _digest(code: str, source: Path) -> str:
    found = hashlib.sha256(code.encode())
    for file in sorted(file for file in source.rglob("*") if file.suffix in (".py", ".js", ".css")):
        found.update(file.read_bytes())
    return found.hexdigest()


def run_pages(app: Sphinx) -> None:
    """Run the code of each page in its folder, where it has not been."""
    top = Path(app.srcdir)
    for name, place in RUN.items():
        page, folder = top / name, top / place
        code = "\n".join(block.text for block in blocks(page.read_text("utf-8")) if block.language == "python")
        if name in SCRIPTS:
            code = (top / SCRIPTS[name]).read_text("utf-8")
        digest, noted = _digest(code, top / "src"), folder / _DIGEST
        if noted.exists() and noted.read_text("utf-8") == digest:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        environment = os.environ | {"PYTHONPATH": str(top / "src"), "PYTHONWARNINGS": "error"}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode == _NOT_HERE and name in SCRIPTS:
            continue
        if done.returncode:
            raise ExtensionError(f"the code of {page.relative_to(top)} cannot be run:\n{done.stderr}")
        noted.write_text(digest, "utf-8")


def show_figures(app: Sphinx, name: str, source: list[str]) -> None:
    """Images in place of the comments that stand for them."""
    folder = TRANSLATED.get(name) or RUN.get(f"{name}.md")
    if not folder:
        return
    place = Path(app.srcdir) / folder
    noted = place / "times.json"
    times = json.loads(noted.read_text("utf-8")) if noted.exists() else {}

    def figure(found: re.Match[str]) -> str:
        told = " ".join(found[2].split())
        return f"![{told}](/{folder}/{found[1]})" if (place / found[1]).exists() else f"(No image: {told})"

    def seconds(found: re.Match[str]) -> str:
        return f"After {times[found[1]]:.0f} seconds." if found[1] in times else ""

    source[0] = _SECONDS.sub(seconds, _FIGURE.sub(figure, source[0]))


def setup(app: Sphinx) -> dict[str, bool]:
    """Run pages before any is read."""
    app.connect("builder-inited", run_pages)
    app.connect("source-read", show_figures)
    return {"parallel_read_safe": True}
