"""What all pages that triscope writes share: colours by day and by night, typefaces."""

from pathlib import Path


def palette() -> str:
    """The colours and typefaces, as rules of CSS."""
    return Path(__file__).with_name("palette.css").read_text("utf-8")


def style_sheet(own: Path) -> str:
    """The palette, then the rules of one page, which are in the file `own`."""
    return palette() + own.read_text("utf-8")
