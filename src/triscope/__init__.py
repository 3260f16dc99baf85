"""triscope shows what a vision network has learned: where in this image, what image would, which images do."""

__version__ = "0.1.0"
