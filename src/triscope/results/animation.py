"""Frames: an optimisation as an animation.

WebP and GIF through Pillow, MP4 through an ffmpeg that is found on the path. Each image is encoded when it comes, so
that a job that is interrupted after an hour has its frames at once: what is left to do then is to join them.
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
from triscope.results.containers import join_gif, join_webp

KINDS = (".webp", ".gif", ".mp4")
_STILLS = {
    ".webp": ("WEBP", {"quality": 85, "method": 2}),
    ".gif": ("GIF", {"interlace": 0}),
    ".mp4": ("PNG", {"compress_level": 1}),
}
_LAST = 2000  # milliseconds that the last frame stays


class Frames:
    """Collects the images of a job's steps: about `most` of them, evenly spread, and the last.

    They are shrunk to at most `size` pixels on the longer side, and shown `rate` a second. All have the size of the
    last: earlier ones of a job that grows its image are enlarged, and stand on white where their shape is another.
    """

    def __init__(self, path: str | Path, *, most: int = 100, size: int = 480, rate: int = 10) -> None:
        """Raises OptionError at once where the ending is none of .webp, .gif, .mp4, or ffmpeg is wanted and not
        there.
        """
        self.path = Path(path)
        self.most, self.side, self.rate = most, size, rate
        self._size = (0, 0)
        self._stills: list[bytes] = []
        self._kind = self.path.suffix.lower()
        if self._kind not in KINDS:
            raise OptionError(f"Frames are written as {', '.join(KINDS)}, not as {printable(self.path.name)}.")
        if self._kind == ".mp4" and shutil.which("ffmpeg") is None:
            raise OptionError("MP4 needs the program ffmpeg, which is not on the path; use .webp or .gif.")

    def __len__(self) -> int:
        return len(self._stills)

    def add(self, index: int, total: int, result: Drawn) -> None:
        """The image of step `index` of `total`, where it is one that is kept."""
        if index not in (1, total) and (index - 1) * self.most // total == index * self.most // total:
            return
        picture = to_pil(result.draw())
        picture.thumbnail((self.side, self.side), PIL.Image.Resampling.BICUBIC)
        if picture.size != self._size:
            self._size = picture.size
            self._stills = [self._still(_placed(_opened(still), self._size)) for still in self._stills]
        self._stills.append(self._still(picture))

    def encode(self) -> bytes | None:
        """The frames so far as the bytes of an animation; None where there are none.

        Raises OptionError where ffmpeg fails.
        """
        if not self._stills:
            return None
        if self._kind == ".mp4":
            return _mp4([_opened(still) for still in self._stills], self.rate)
        times = [1000 // self.rate] * (len(self._stills) - 1) + [_LAST]
        join = join_gif if self._kind == ".gif" else join_webp
        return join(self._stills, self._size, times)

    def save(self) -> Path | None:
        """Write the frames so far; None where there are none. An existing file is replaced."""
        data = self.encode()
        if data is None:
            return None
        write_file(self.path, data)
        return self.path

    def _still(self, picture: PIL.Image.Image) -> bytes:
        form, how = _STILLS[self._kind]
        if form == "GIF":  # a hundred times as fast as the default (median cut), and as accurate
            picture = picture.quantize(256, PIL.Image.Quantize.FASTOCTREE)
        buffer = io.BytesIO()
        picture.save(buffer, form, **how)
        return buffer.getvalue()


def _opened(still: bytes) -> PIL.Image.Image:
    with PIL.Image.open(io.BytesIO(still)) as image:
        return image.convert("RGB")


def _placed(picture: PIL.Image.Image, size: tuple[int, int]) -> PIL.Image.Image:
    """An image as large as fits, at the top left of white where its shape is another."""
    scale = min(size[0] / picture.width, size[1] / picture.height)
    fitted = (round(picture.width * scale), round(picture.height * scale))
    if abs(fitted[0] - size[0]) <= 1 and abs(fitted[1] - size[1]) <= 1:
        return picture.resize(size, PIL.Image.Resampling.BICUBIC)
    paper = PIL.Image.new("RGB", size, "white")
    paper.paste(picture.resize((max(1, fitted[0]), max(1, fitted[1])), PIL.Image.Resampling.BICUBIC))
    return paper


def _mp4(pictures: Sequence[PIL.Image.Image], rate: int) -> bytes:
    """H.264 in a container that can be written to a pipe; sides are made even, as the format wants them."""
    width, height = pictures[0].size
    command = [
        "ffmpeg", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
        "-r", str(rate), "-i", "-",
        "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-pix_fmt", "yuv420p",
        "-movflags", "frag_keyframe+empty_moov", "-f", "mp4", "-",
    ]  # fmt: skip
    data = b"".join(picture.tobytes() for picture in pictures)
    done = subprocess.run(command, input=data, capture_output=True, check=False)  # noqa: S603 - the arguments are ours
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise OptionError(f"ffmpeg could not write the frames ({' '.join(reason)}); use .webp or .gif.")
    return done.stdout
