"""Shared by all pages that triscope writes: light and dark colours, typefaces."""

import base64
import hashlib
from pathlib import Path

_INLINE = "'unsafe-inline'"


def palette() -> str:
    """The colours and typefaces, as CSS rules."""
    return Path(__file__).with_name("palette.css").read_text("utf-8")


def style_sheet(own: Path) -> str:
    """The palette, then the rules of one page, which are in the file `own`."""
    return palette() + own.read_text("utf-8")


def policy(*, images: str, style: str | None, script: str = "") -> str:
    """The content security policy of a page with an inline style sheet and script, if any: nothing else is run, and
    nothing is loaded but images from `images` (such as "data: blob:"). Without a `style`, inline styles are allowed.
    """
    allowed = [f"img-src {images}", f"style-src {_digest(style) if style is not None else _INLINE}"]
    allowed += [f"script-src {_digest(script)}"] if script else []
    return "; ".join(["default-src 'none'", *allowed, "base-uri 'none'", "form-action 'none'"])


def _digest(source: str) -> str:
    """The hash source by which a policy allows inline content."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
