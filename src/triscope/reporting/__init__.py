"""The report: the main methods on one image, as one self-contained HTML file.

    blocks      what sections are made of: figures, bars, tables, notes
    subject     the image and the network, and how commands are spelled
    sections    the table of sections, in the order of a lecture
    collection  one more section, on the images of a collection
    judged      the section of eight methods side by side, each with its metrics
    imagined    the sections of synthesised images
    html        blocks to HTML
    page        what stands around the sections

Every image in it is what a method makes, byte for byte the file that the command below it writes on as many threads.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from triscope.errors import OptionError
from triscope.images import ImageSource, printable
from triscope.network import Fit, Network
from triscope.reporting.blocks import Block, Section
from triscope.reporting.page import page
from triscope.reporting.sections import SECTIONS
from triscope.reporting.subject import Subject
from triscope.results import write_file

_ENDINGS = (".html", ".htm")


@dataclass(frozen=True, repr=False)
class Report:
    """A page: `html`, and how many seconds each of its sections took, by title."""

    html: str
    timings: Mapping[str, float]

    @staticmethod
    def require_ending(path: str | os.PathLike[str]) -> None:
        """Raise OptionError where a file of that name would be no page."""
        name = Path(path)
        if name.suffix.lower() not in _ENDINGS:
            raise OptionError(f"A report is one HTML page, saved as {', '.join(_ENDINGS)}, not as {printable(name)}.")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file; returns its path. What was there is replaced. Raises OptionError."""
        self.require_ending(path)
        write_file(Path(path), self.html.encode())
        return Path(path)

    def __repr__(self) -> str:
        seconds = sum(self.timings.values())
        return f"<Report: {len(self.timings) - 1} sections, {len(self.html) / 1e6:.1f} MB, {seconds:.1f} s>"


def report(
    network: Network,
    image: ImageSource,
    *,
    fit: Fit = "crop",
    sections: Sequence[Section] = SECTIONS,
    workers: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """The report on one image and one network, on one page.

    `sections` are what is shown, and `workers` how many of them are made at once; those of a network that draws random
    numbers are made one by one. `progress(title, number, total)` is called as each section begins, by the thread that
    makes it. What a network does not support (guided backprop without ReLUs, classes without a classifier) is noted on
    the page. Raises ImageError, and NetworkError where the network cannot run on the image at all.
    """
    start = time.perf_counter()
    subject = Subject(network, image, fit)
    timings = {"Reading and preparing": time.perf_counter() - start}

    def build(number: int, section: Section) -> tuple[list[Block], float]:
        if progress:
            progress(section.title, number, len(sections))
        begun = time.perf_counter()
        return list(section.blocks(subject)), time.perf_counter() - begun

    with ThreadPoolExecutor(1 if network.random else workers) as pool:
        jobs = [pool.submit(build, number, section) for number, section in enumerate(sections, 1)]
        try:
            made = [job.result() for job in jobs]
        except BaseException:
            subject.stop()
            pool.shutdown(cancel_futures=True)
            raise
    built = []
    for section, (blocks, seconds) in zip(sections, made, strict=True):
        built.append((section.title, section.lead, blocks))
        timings[section.title] = seconds
    return Report(page(subject, built, timings), timings)
