"""What a method returns: values that can be drawn, saved, and recomputed.

    Result              values, recipe; save, [i]
    ├── Drawn           can be drawn: save as PNG, JPEG or WebP, notebook display
    │   ├── Heatmap     where: signed values over what was seen
    │   ├── Grid        many small images: filters, activation maps
    │   └── Picture     pixels
    └── Ranking         the best of many, with their scores

`values` are raw. They are normalised only when drawn, and the scale is stated. An image carries its recipe, so that
`triscope redo x.png` recomputes it.
"""

from triscope.images.writing import require_folder, require_place, write_file
from triscope.results.base import Result
from triscope.results.batch import Note, PerImage, joined_notes, note_about
from triscope.results.drawn import Drawn, Grid, Heatmap, Picture
from triscope.results.ranking import Ranking
from triscope.results.recipe import ImageNote, NetworkNote, Recipe, Style

__all__ = [
    "Drawn", "Grid", "Heatmap", "ImageNote", "joined_notes", "NetworkNote", "Note", "note_about", "PerImage",
    "Picture", "Ranking", "Recipe", "require_folder", "require_place", "Result", "Style", "write_file",
]  # fmt: skip
