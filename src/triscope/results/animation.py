"""Frames: a long job as a moving picture.

WebP through Pillow, GIF where the ending asks for it, MP4 through an ffmpeg that is found on the path.
"""

import io
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import PIL.Image

from triscope.errors import OptionError
from triscope.images import printable, to_pil
from triscope.results import Drawn, write_file

_KINDS = (".webp", ".gif", ".mp4")
_RATE = 15  # frames a second


class Frames:
    """Collects the pictures of a job's steps: about `most` of them, evenly spread, and the last."""

    def __init__(self, path: str | Path, most: int = 120) -> None:
        """Raises OptionError at once where the ending is none of .webp, .gif, .mp4, or ffmpeg is wanted and not
        there.
        """
        self.path = Path(path)
        self.most = most
        self._pictures: list[PIL.Image.Image] = []
        suffix = self.path.suffix.lower()
        if suffix not in _KINDS:
            raise OptionError(f"Frames are written as {', '.join(_KINDS)}, not as {printable(self.path.name)}.")
        if suffix == ".mp4" and shutil.which("ffmpeg") is None:
            raise OptionError("MP4 needs the program ffmpeg, which is not on the path; use .webp or .gif.")

    def add(self, index: int, total: int, result: Drawn) -> None:
        """The picture of step `index` of `total`, where it is one that is kept."""
        if index == total or (index - 1) * self.most // total != index * self.most // total or index == 1:
            self._pictures.append(to_pil(result.draw()))

    def save(self) -> Path | None:
        """Write what there is; None where there is nothing. Every frame has the size of the last."""
        if not self._pictures:
            return None
        size = self._pictures[-1].size
        pictures = [
            one if one.size == size else one.resize(size, PIL.Image.Resampling.BICUBIC) for one in self._pictures
        ]
        write_file(self.path, _mp4(pictures) if self.path.suffix.lower() == ".mp4" else _animated(pictures, self.path))
        return self.path


def _animated(pictures: Sequence[PIL.Image.Image], path: Path) -> bytes:
    kind = path.suffix.lower().removeprefix(".")
    times = [1000 // _RATE] * (len(pictures) - 1) + [2000]
    buffer = io.BytesIO()
    extra = {"quality": 85, "method": 2} if kind == "webp" else {}
    first, *rest = pictures
    first.save(buffer, kind.upper(), save_all=True, append_images=rest, duration=times, loop=0, **extra)
    return buffer.getvalue()


def _mp4(pictures: Sequence[PIL.Image.Image]) -> bytes:
    """H.264 in a container that can be written to a pipe; sides are made even, as the format wants them."""
    width, height = pictures[0].size
    command = [
        "ffmpeg", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
        "-r", str(_RATE), "-i", "-",
        "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p",
        "-movflags", "frag_keyframe+empty_moov", "-f", "mp4", "-",
    ]  # fmt: skip
    data = b"".join(picture.tobytes() for picture in pictures)
    done = subprocess.run(command, input=data, capture_output=True, check=False)  # noqa: S603 - the arguments are ours
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise OptionError(f"ffmpeg could not write the frames ({' '.join(reason)}); use .webp or .gif.")
    return done.stdout
