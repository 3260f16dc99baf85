"""What all pages that triscope writes share: colours by day and by night, typefaces."""

from pathlib import Path


def style_sheet(own: Path) -> str:
    """The palette, then the rules of one page, which are in the file `own`."""
    return Path(__file__).with_name("palette.css").read_text("utf-8") + own.read_text("utf-8")
