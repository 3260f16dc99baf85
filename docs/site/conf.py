"""The documentation as a site (`make docs`).

The source is the whole repository, so that a link means the same here and where the files are read by themselves:
README.md, docs/ and examples/ keep their places. What is made while building lies in folders that git ignores.
"""

import logging
import sys
from pathlib import Path

from sphinx.application import Sphinx

from triscope import __version__

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]  # the extensions beside this file, and scripts

logging.getLogger("openTSNE").setLevel(logging.WARNING)  # Sphinx shows what libraries log

project = "triscope"
author = "the triscope authors"
project_copyright = author
release = __version__
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "training/pocket/README.md"]
exclude_patterns = ["docs/site/**", "docs/gallery/*.ipynb", "docs/gallery/*.py", "docs/gallery/*.zip"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_gallery.gen_gallery", "mathml", "navigation", "reference"]
extensions += ["figures", "accessible"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns += ["docs/lecture/**", "docs/first-path/**"]
default_role = "literal"
nitpicky = False

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
highlight_language = "text"

autodoc_typehints_format = "short"
autodoc_preserve_defaults = False  # it cannot read the defaults of every signature
python_use_unqualified_type_names = True

sphinx_gallery_conf = {
    "examples_dirs": str(ROOT / "examples"),
    "gallery_dirs": str(ROOT / "docs/gallery"),
    "filename_pattern": r"\.py$",
    "image_scrapers": ("gallery.saved_pictures",),
    "reset_argv": "gallery.arguments",
    "reset_modules": (),
    "download_all_examples": False,
    "show_signature": False,
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "min_reported_time": 1_000_000,
    "write_computation_times": False,
}

html_theme = "furo"
html_title = f"triscope {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_extra_path = ["landing"]  # the page at the top of the site, which leads to the documentation


def setup(app: Sphinx) -> None:
    """Pages that Sphinx makes by itself need nothing here."""
