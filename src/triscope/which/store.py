"""The store: a network's activations for every image of a collection, on disk, searched without the network.

    folder/rows.lance           a row for every image: where it is, its state, a thumbnail, its vectors
    folder/pca-*.safetensors    the projections of its vectors
    folder/cache/               copies made for searching; they may be deleted
    folder/lock                 held by the process that writes

A store gives activations as a forward pass does, as a mapping, so the same objective runs on both. It knows which
network made it - weights, preprocessing, precision - and nothing of another network is ever mixed in.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from triscope.cluster.settings import Cluster
from triscope.errors import ImageError, LayerNotKept, StoreError, nearest
from triscope.images import printable, read_image
from triscope.methods import LayerInput, StoreInput
from triscope.network import Network
from triscope.network.loading.recorded import UNSAID, Said, load_recorded
from triscope.network.preprocess import Preprocess
from triscope.network.variants.precision import Precision
from triscope.objectives.base import Activations, Need
from triscope.objectives.pooling import pooled
from triscope.objectives.units import OUTPUT
from triscope.results import NetworkNote
from triscope.which.checked import check_network, warn_if_unsure
from triscope.which.collection import Collection
from triscope.which.conditions import as_lance, explained
from triscope.which.database.about import About
from triscope.which.database.arrow import Rows
from triscope.which.database.durable import damaged, locked
from triscope.which.database.location import DEFAULT_NAME, existing_store, is_remote, rows_folder, store_for
from triscope.which.database.projections import Projection
from triscope.which.database.schema import Column, Kind
from triscope.which.database.stored_projections import load_projection, projected_name
from triscope.which.database.table import Table
from triscope.which.indexing.index import Pace, index
from triscope.which.places.named import place_of
from triscope.which.places.place import Place
from triscope.which.places.remote import canonical, is_url

GOOD = "status = 'ok'"
_FIELDS = ("name", "folder", "width", "height", "size", "answer", "certainty", "correct")
_BATCH_BYTES = 32 << 20


class Store:
    """A network's activations for the images of a collection. Made by `build`, opened by `open`."""

    def __init__(self, path: Path, table: Table, network: Network | None = None, images: str | None = None) -> None:
        self.path = path
        self._images = images
        self.about = About.of(table, whole=True)
        self.table = table
        self._network = network
        #: The network for new images, made with the first one.
        self.embedder: Any = None
        #: What was made for searching, by column and version.
        self.spaces: dict[tuple[str, int], Any] = {}
        if network is not None:
            check_network(self.about, network, printable(self.path))
        elif not self.about.checked:
            warn_if_unsure(self.about.network, self.about.source, printable(path))

    @classmethod
    def build(
        cls,
        network: Network,
        collection: Collection | str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        path: str | os.PathLike[str] | None = None,
        *,
        layers: Sequence[str | Need] = (),
        maps: Sequence[str] = (),
        precision: Precision = "auto",
        exact_preprocess: bool = False,
        shard: tuple[int, int] = (1, 1),
        batch: int = 64,
        workers: int | str | Cluster | None = None,
    ) -> "Store":
        """Pass every image of `collection` through `network`, and store the activations of `layers`.

        What is stored already is not computed again: new and changed files are added, deleted ones taken out. An
        interrupted call can be resumed. An image that cannot be read is a row with the reason. Raises StoreError where
        the folder cannot be written, or holds numbers of another network.

        path        the store's folder; `.triscope` in the collection's folder if left out
        layers      the layers kept: maps as their mean and maximum, vectors whole; if left out those stored before,
                    or in a new store a few from the first to the last hidden one
        maps        layers of which whole maps are kept too
        precision   auto (bfloat16 where the processor computes in it), float32 or bfloat16
        exact_preprocess    torchvision's published transform to the bit, instead of the fast one
        shard       (i, n): only the i-th of n parts of the collection, so that n processes can share the work
        batch       how many images pass through the network at once
        workers     how many threads decode; or "ray", "ray://host:10001" or a `Cluster`, whose actors compute
        """
        collection = collection if isinstance(collection, Collection) else Collection(collection)
        pace = Pace(batch, Cluster.read(workers) or (workers if isinstance(workers, int) else None))
        for _ in index(
            network, collection, path, layers=layers, maps=maps, precision=precision,
            exact_preprocess=exact_preprocess, shard=shard, pace=pace,
        ):  # fmt: skip
            pass
        at = collection.root if isinstance(collection.root, str) else None
        return cls.open(store_for(collection, path), network, images=at)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], network: Network | None = None, *, images: str | None = None
    ) -> "Store":
        """The store at `path`, or in the folder of images at `path`. Raises StoreError where there is none.

        `network` is the one that made it; if left out, it is loaded by the name in the store when it is first needed.
        `images` is the address of its images, or one above it, where they are at one and may be fetched.
        """
        folder = existing_store(path)
        return cls(folder, Table.open(rows_folder(folder)), network, images)

    @property
    def network(self) -> Network:
        """The network that made the store. Raises UnconfirmedNetwork where only the user may name it, and StoreError
        where it has other weights.
        """
        if self._network is None:
            self.ask(UNSAID)
            assert self._network is not None
        return self._network

    def ask(self, said: Said) -> None:
        """Load the network that made the store, as the user says, or as the store does where that is safe.

        Raises what `network` does.
        """
        network = load_recorded(self.about.source, self.about.network, printable(self.path), said)
        check_network(self.about, network, printable(self.path))
        self._network, self.embedder = network, None

    @property
    def note(self) -> NetworkNote:
        """The network that made the store, for recipes."""
        return NetworkNote(self.about.network, self.about.source, lambda: self.about.sha256)

    @property
    def precision(self) -> str:
        """The precision in which the network ran."""
        return self.about.precision

    @property
    def root(self) -> Path | None:
        """The folder that names are relative to: that which was indexed, or that of the CSV file; None for a list, and
        for images at an address.
        """
        if not self.about.root or self.address:
            return None
        if is_remote(self.path):
            return Path(self.about.root)
        own = self.path.absolute()
        if (
            own.name == DEFAULT_NAME and own.parent.is_dir() and self.about.kind == "folder"
        ):  # it moves with the images it stands among
            return own.parent
        return Path(os.path.normpath(own / self.about.root))  # a way from the store; version 0.1 wrote a whole path

    @property
    def address(self) -> str | None:
        """The address that was indexed, where it was one: s3://bucket/prefix."""
        return self.about.root if self.about.root and is_url(self.about.root) else None

    @property
    def columns(self) -> tuple[Column, ...]:
        """The vectors that are kept of each image."""
        return self.about.columns

    @property
    def preprocess(self) -> Preprocess:
        """How images were fitted to the network."""
        known = self.about.preprocess
        return Preprocess(tuple(known["size"]), known["resize"], known["interpolation"])

    @property
    def channels(self) -> int:
        """How many channels the network reads."""
        return next(column.shape[0] for column in self.columns if column.pool == "pixels")

    def __len__(self) -> int:
        """How many images have vectors."""
        return self.table.count(GOOD)

    def __repr__(self) -> str:
        return f"<Store {printable(self.path)}: {len(self)} images by {self.about.network}>"

    def errors(self) -> list[tuple[str, str]]:
        """The images that could not be used: (name, reason)."""
        return [
            (_told(name), _told(error))
            for rows in self.table.stream(["name", "error"], "status = 'error'")
            for name, error in zip(rows["name"], rows["error"], strict=True)
        ]

    def names(self, rows: Sequence[int] | NDArray[Any]) -> tuple[str, ...]:
        """The names of some rows, printable."""
        return tuple(map(_told, self.table.take(rows, ["name"])["name"]))

    def thumbnails(self, rows: Sequence[int] | NDArray[Any]) -> tuple[Tensor, ...]:
        """Small copies of some rows' images, each (3, h, w) in [0, 1]."""
        try:
            return tuple(read_image(data)[0] for data in self.table.take(rows, ["thumbnail"])["thumbnail"])
        except ImageError as error:
            raise damaged(self.path, "a small image in it cannot be read") from error

    def files(self, rows: Sequence[int] | NDArray[Any]) -> list[Path]:
        """The files of some rows."""
        root = self.root
        found = [Path(os.fsdecode(path)) for path in self.table.take(rows, ["path"])["path"]]
        return [root / path if root else path for path in found]

    def place(self, row: int) -> Place:
        """Where the image of a row is: in a file, in a tar file or a table, or at an address.

        Nothing is fetched because a store says so: an address has to be named, by `images=` of `Store.open` or in the
        environment as TRISCOPE_IMAGES. Raises ImageError where it is not, or the image is not there any more.
        """
        if self.address is None:
            return place_of(str(self.files([row])[0]))
        said = self._images or os.environ.get("TRISCOPE_IMAGES", "")
        if not is_url(said) or not f"{self.address}/".startswith(f"{canonical(said)}/"):
            at = printable(self.address)
            raise ImageError(
                f"The images of {printable(self.path)} are at {at}, and nothing is fetched because a store says so: "
                f"name it with TRISCOPE_IMAGES={at}, or with images= of Store.open."
            )
        return place_of(f"{self.address}/{os.fsdecode(self.table.take([row], ['path'])['path'][0])}")

    def row(self, name: str) -> int:
        """The row of an image by its name, or by the end of its name where that is one. Raises StoreError."""
        quoted = name.replace("'", "''")
        rows = self.table.rows_where(f"name = '{quoted}'")
        if len(rows) != 1:
            raise StoreError(f"{name!r} is not an image of this store.{nearest(name, self.table.column('name'))}")
        return int(rows[0])

    def find(self, layer: str, pool: Kind = "mean") -> Column:
        """The column that stands for a layer: its vector, or its maps pooled so. Raises StoreError where it is not
        kept.
        """
        if layer == "input":
            pool = "pixels"
        if (need := Need.read(layer)).pool == "class" and layer in {column.label for column in self.columns}:
            layer, pool = need.layer, "class"
        kept = [column for column in self.columns if column.layer == layer and column.pool != "place"]
        for wanted in (pool, "none", "mean", "max", "class") if pool != "class" else ("class",):
            for column in kept:
                if column.pool == wanted and (wanted == pool or len(column.shape) == 1):
                    return column
        raise self.missing(layer)

    def answers(
        self, needs: Iterable[Need], where: str | None = None
    ) -> Iterator[tuple[NDArray[np.int64], Activations]]:
        """The stored activations for needs, a batch of images at a time: their row numbers, and a mapping as of a
        forward pass.

        Raises StoreError where a need is not stored, or `where` is no condition.
        """
        sources = {need: self._source(need) for need in needs}
        names = list(dict.fromkeys(column.name for column in sources.values()))
        longest = max(sum(column.length * 4 for column in sources.values()), 1)
        batch = max(1, min(8192, _BATCH_BYTES // longest))
        for rows in self.table.stream(names, self.condition(where), batch):
            if len(rows["row"]):
                yield rows["row"], {need: _pooled(rows, column, need) for need, column in sources.items()}

    @property
    def fields(self) -> dict[str, str]:
        """The metadata of each image that conditions can use, and the types, as Arrow names them."""
        known = (*_FIELDS, *self.about.fields)
        return {name: str(self.table.schema.field(name).type) for name in known if name in self.table.names}

    def condition(self, where: str | None) -> str:
        """The SQL for the rows that have vectors, and meet `where`. Raises StoreError where that is no condition."""
        if not where:
            return GOOD
        found = f"{GOOD} AND ({as_lance(where, self.fields)})"
        with explained(where, self.fields):
            self.table.count(found)
        return found

    def vectors(self, column: Column, rows: Sequence[int] | NDArray[Any]) -> Tensor:
        """The stored vectors of some rows, float32 (N, D)."""
        values = self.table.take(rows, [column.name])[column.name]
        return torch.from_numpy(np.array(values)).float().reshape(len(rows), column.length)

    def projection(self, column: Column) -> Projection | None:
        """The projection of a column, or None where it is small enough to be searched as it is."""
        name = projected_name(column)
        if name not in self.table.names:
            return None
        found = load_projection(self.path, self.table.about_field(name))
        if found.directions.shape != (self.table.kinds[name][1], column.length):
            raise damaged(self.path, f"the projection of {column.layer} is of another shape")
        return found

    def add_index(self, layer: str) -> None:
        """Build an index that makes cosine neighbours in `layer` quick among millions of images.

        Below about a million the search is quick without, and misses less. Images added later are found too. Raises
        StoreError where the layer is not kept or has no projection.
        """
        column = self.find(layer)
        if projected_name(column) not in self.table.names:
            raise StoreError(f"{column.layer} has no projection that could be indexed; small collections need none.")
        with locked(self.path):
            self.table.refresh()
            self.table.build_index(projected_name(column))

    def _source(self, need: Need) -> Column:
        for column in self.columns:
            if column.answers(need):
                return column
        name = f"{need.layer}@class" if need.pool == "class" else need.layer
        raise self.missing(name, whole=need.pool in ("none", "gram") and need != OUTPUT)

    def missing(self, layer: str, *, whole: bool = False) -> LayerNotKept:
        """The error that says that a layer, or its whole maps, are not kept."""
        known = dict.fromkeys(column.label for column in self.columns)
        what = f"the whole maps of {layer}" if whole else layer
        near = "" if layer in known else nearest(layer, known)
        said = f"{printable(self.path)} does not keep {what}.{near} It keeps {', '.join(known)}."
        return LayerNotKept(said, self, layer, whole=whole)


StoreArg: TypeAlias = Annotated[Store, StoreInput()]
StoredLayerArg: TypeAlias = Annotated[str, LayerInput(of="store")]


def _told(text: object) -> str:
    """A text of a row as one printable line."""
    return printable(str(text or ""))


def _pooled(rows: Rows, column: Column, need: Need) -> Tensor:
    values: Tensor = torch.from_numpy(np.array(rows[column.name], np.float32)).reshape(-1, *column.shape)
    return pooled(values, need.pool)
