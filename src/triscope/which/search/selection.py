"""What some images of a collection have in common: their mean image, the units that tell them from the rest, and
the images that are most like them.

For every unit the stored vectors hold, with mean m1 and variance s1^2 over the n1 images selected and m0, s0^2 over
the n0 others:

    g = J (m1 - m0) / s,    s^2 = ((n1 - 1) s1^2 + (n0 - 1) s0^2) / (n1 + n0 - 2),    J = 1 - 3 / (4 (n1 + n0) - 9)
    95 % interval: g +- z sqrt((n1 + n0) / (n1 n0) + g^2 / (2 (n1 + n0)))

The standardised difference of the means. z is the normal quantile for all U units at once (0.05 / U, Bonferroni), so
that with a chance of 95 % every interval is right.

**When it misleads.** A selection on a map of these very vectors differs by construction: a large difference says that
the selection is a cluster, not why. A unit may follow the light or the background that the images share. A mean image
shows what lies at the same place in all of them, and mostly that is colour and composition. Images of one burst are not
independent, and their intervals are too narrow.

**References.** J. Cohen, "Statistical Power Analysis for the Behavioral Sciences", 2nd edition, 1988. L. Hedges, I.
Olkin, "Statistical Methods for Meta-Analysis", 1985 (chapter 5: the factor J and the interval).
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triscope import render
from triscope.errors import OptionError, StoreError
from triscope.methods import Range, method
from triscope.objectives.base import Need
from triscope.results import Drawn
from triscope.which.database.schema import Column
from triscope.which.indexing.answers import class_names
from triscope.which.search.gallery import Gallery
from triscope.which.search.neighbors import gallery
from triscope.which.search.vector_index import space
from triscope.which.store import GOOD, Store, StoreArg, StoredLayerArg

_MEAN_SIDE = 128  # pixels of the mean image
_MEAN_OF = 2000  # how many images it is the mean of at most


@dataclass(frozen=True)
class UnitDifference:
    """A unit, its name where it is a class, and by how many standard deviations its mean differs: [low, high] is the
    interval, `inside` and `outside` are the means.
    """

    unit: str
    name: str
    difference: float
    low: float
    high: float
    inside: float
    outside: float


@dataclass(frozen=True, eq=False)
class Selected(Drawn):
    """`rows` (N,) of a store, their mean image, the units that tell them from the rest, and their neighbours.

    `values` (U,) are the standardised differences of `units`, the largest magnitude first; `mean` (3, S, S) is the mean
    image in [0, 1]. Saved as an image, .csv (the units) or .json.
    """

    rows: tuple[int, ...]
    mean: Tensor
    units: tuple[UnitDifference, ...]
    neighbors: Gallery

    kind: ClassVar[str] = "selection"
    endings: ClassVar[tuple[str, ...]] = (*Drawn.endings, ".csv", ".json")

    def __getitem__(self, index: int) -> Self:
        """Raises OptionError: a selection is one result. `units` and `neighbors` can be taken apart."""
        raise OptionError("A selection is one result, and no batch; units and neighbors can be taken apart.")

    def summary(self) -> dict[str, Any]:
        """The units, and what is near."""
        units = [asdict(one) for one in self.units]
        return {"pictures": len(self.rows), "units": units, "near": self.neighbors.entries(), **super().summary()}

    @property
    def details(self) -> tuple[str, ...]:
        """How many images, and the first unit."""
        told = f"; {self.units[0].unit} differs by {self.units[0].difference:.2f}" if self.units else ""
        return (f"{len(self.rows)} images{told}",)

    def text(self) -> str:
        """A line for each unit, then what is near."""
        return str(self)

    def draw(self) -> Tensor:
        """The mean image, and beside it what is near: (3, H, W)."""
        return self.neighbors.draw() if self.neighbors.pictures else self.mean

    def __str__(self) -> str:
        lines = [
            f"{one.difference:+8.2f} [{one.low:+.2f}, {one.high:+.2f}]  {one.unit}{f'  {one.name}' if one.name else ''}"
            for one in self.units
        ]
        return "\n".join([*lines, *(["", str(self.neighbors)] if self.neighbors.rows else [])])

    @property
    def forms(self) -> Mapping[str, Callable[[], bytes]]:
        """An image, the raw values, the units as a table, or everything with the recipe."""
        return {**super().forms, ".csv": self._csv, ".json": self._json}

    def _csv(self) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(UnitDifference.__annotations__))
        writer.writeheader()
        writer.writerows(asdict(one) for one in self.units)
        return text.getvalue().encode()

    def _json(self) -> bytes:
        return json.dumps({**self.summary(), "recipe": json.loads(self.recipe.to_json())}, indent=1).encode()


@method("which")
def selection(
    store: StoreArg,
    layer: StoredLayerArg | None = None,
    *,
    rows: Sequence[int] | None = None,
    where: str | None = None,
    units: Annotated[int, Range(0, 10_000)] = 12,
    k: Annotated[int, Range(1, 10_000)] = 9,
) -> Selected:
    """What some images of a store have in common: their mean image, the units that distinguish them from the rest, and
    their nearest neighbours among the others.

    Values (U,): standardised differences of means (Hedges' g), the largest magnitude first. Without a layer, the units
    of all layers that the store keeps are compared, and neighbours are searched in the first. Without rows or where,
    all images are selected: then there is a mean image but nothing to compare it with. Raises StoreError if nothing is
    selected, and OptionError if both `rows` and `where` are given.

    rows     select images by their row numbers in the store
    where    select images by an SQL condition: folder = 'cats', name LIKE '%2019%', width > 500
    units    number of units to list
    k        number of neighbours to list
    """
    chosen = _chosen(store, rows, where)
    columns = [store.find(layer)] if layer else _columns(store)
    if any(column.pool == "pixels" for column in columns):
        raise OptionError("Pixels are not units: name a layer of the network that the store keeps.")
    found = _units(store, columns, chosen)[:units] if units else []
    mean, shown = _mean_picture(store, chosen)
    notes = [] if shown == len(chosen) else [f"The mean image is that of {shown:,} of the {len(chosen):,} images."]
    notes += [] if found or not units else ["No unit tells them from the rest: that takes two images on either side."]
    near = _near(store, store.find(layer or store.columns[0].layer), chosen, k, mean)
    return Selected(
        torch.tensor([one.difference for one in found]),
        rows=tuple(chosen.tolist()),
        mean=mean,
        units=tuple(found),
        neighbors=near,
        notes=(*notes, *near.notes),
    )


def standardised_difference(
    counts: tuple[int, int], sums: tuple[Tensor, Tensor], squares: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Hedges' g of U units and half the width of its 95 % interval for all of them at once: (U,) each.

    `counts` are the images selected and the others, `sums` (U,) and `squares` (U,) those of their values, float64. A
    unit that never varies differs by 0. Two images on each side are needed.
    """
    one, other = counts
    total = one + other
    means = [values / count for values, count in zip(sums, counts, strict=True)]
    within = sum(square - values * mean for square, values, mean in zip(squares, sums, means, strict=True))
    spread = torch.as_tensor(within).clamp_min(0).div(total - 2).sqrt()
    still = spread <= 1e-9 * torch.stack(means).abs().amax(0)
    raw = ((means[0] - means[1]) / spread.masked_fill(still, 1)).masked_fill(still, 0)
    found = (1 - 3 / (4 * total - 9)) * raw
    quantile = torch.special.ndtri(torch.tensor(1 - 0.025 / len(found), dtype=torch.float64))
    return found, quantile * (total / (one * other) + found.square() / (2 * total)).sqrt()


def _chosen(store: Store, rows: Sequence[int] | None, where: str | None) -> NDArray[np.int64]:
    """The rows that are selected, in their order."""
    if rows is not None and where is not None:
        raise OptionError("Images are selected by their rows, or by a condition: give one of the two (rows, where).")
    good = store.table.rows_where(store.condition(where) if where else GOOD)
    if rows is None:
        if not len(good):
            raise StoreError(f"No image of the store meets {where}." if where else "The store has no image.")
        return np.sort(good)
    wanted = np.unique(np.asarray(rows, np.int64))
    unknown = wanted[~np.isin(wanted, good)]
    if len(unknown):
        raise StoreError(
            f"Row {unknown[0]} has no vector; this store has rows 0 to {store.table.count() - 1}, and `errors()` "
            "lists those without."
        )
    return wanted


def _columns(store: Store) -> list[Column]:
    """A column for each layer that is kept: its vectors, or the means of its maps."""
    kept = [column for column in store.columns if column.pool in ("none", "mean") and len(column.shape) == 1]
    return list({column.layer: column for column in reversed(kept)}.values())[::-1]


def _units(store: Store, columns: Sequence[Column], chosen: NDArray[np.int64]) -> list[UnitDifference]:
    """Every unit that varies, the largest difference first; none where a side has fewer than two images."""
    needs = [Need(column.layer, "mean" if column.pool == "mean" else "none") for column in columns]
    lengths = [column.length for column in columns]
    sums, squares = (torch.zeros(2, sum(lengths), dtype=torch.float64) for _ in range(2))
    counts = [0, 0]
    for rows, answers in store.answers(needs):
        values = torch.cat([answers[need].double().flatten(1) for need in needs], 1)
        inside = torch.from_numpy(np.isin(rows, chosen))
        for side, mask in enumerate((inside, ~inside)):
            counts[side] += int(mask.sum())
            sums[side] += values[mask].sum(0)
            squares[side] += values[mask].square().sum(0)
    if min(counts) < 2:
        return []
    found, half = standardised_difference((counts[0], counts[1]), (sums[0], sums[1]), (squares[0], squares[1]))
    names = class_names(store.table)
    told = [(column.label, channel) for column in columns for channel in range(column.length)]
    means = (sums / torch.tensor(counts)[:, None]).T.tolist()
    order = found.abs().argsort(descending=True, stable=True).tolist()
    return [
        UnitDifference(
            f"{told[place][0]}:{told[place][1]}",
            names[told[place][1]] if told[place][0] == "output" and told[place][1] < len(names) else "",
            float(found[place]),
            float(found[place] - half[place]),
            float(found[place] + half[place]),
            *means[place],
        )
        for place in order
        if found[place]
    ]


def _mean_picture(store: Store, chosen: NDArray[np.int64]) -> tuple[Tensor, int]:
    """The mean of the middle squares (3, S, S), and of how many images: spread evenly, if there are very many."""
    some = chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), _MEAN_OF)).round().astype(np.int64)]
    total = torch.zeros(3, _MEAN_SIDE, _MEAN_SIDE)
    for start in range(0, len(some), 256):
        for picture in store.thumbnails(some[start : start + 256]):
            total += render.square(picture, _MEAN_SIDE)
    return total / len(some), len(some)


def _near(store: Store, column: Column, chosen: NDArray[np.int64], k: int, mean: Tensor) -> Gallery:
    """What is nearest to the mean vector of the selection, and not in it."""
    centre = torch.zeros(column.length)
    for start in range(0, len(chosen), 1024):
        centre += store.vectors(column, chosen[start : start + 1024]).sum(0)
    hits = space(store, column).search(centre / len(chosen), k, "cosine", without=chosen)
    return gallery(store, hits, f"cosine in {column} to the mean of the selection", mean)
