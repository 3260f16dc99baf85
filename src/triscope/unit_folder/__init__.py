"""A folder of units: an image for every channel of some layers, with the patches that activate it most.

manifest    what stands in the folder's one table, `units.json`, and how it is read and written
folder      `UnitFolder`, which opens one, and makes one
computing   images of channels, here or on a cluster
making      makes the images and patches that are missing; after an interruption, it resumes
"""

from triscope.unit_folder.folder import UnitFolder
from triscope.unit_folder.manifest import Unit

__all__ = ["Unit", "UnitFolder"]
