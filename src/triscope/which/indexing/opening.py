"""Opening a store to write into: the one that is there, where new rows are of its kind, or a new one."""

from collections.abc import Sequence
from pathlib import Path

from triscope.errors import StoreError
from triscope.images import printable
from triscope.network import Network
from triscope.network.variants.precision import Precision, chosen
from triscope.objectives.base import Need
from triscope.which.collection import Collection
from triscope.which.database.arrow import Field
from triscope.which.database.schema import choose
from triscope.which.database.table import Table
from triscope.which.store import About, Store, preprocessing, table_folder, way_to

_RESERVED = (
    "key",
    "stamp",
    "path",
    "name",
    "folder",
    "size",
    "mtime",
    "height",
    "width",
    "status",
    "error",
    "thumbnail",
    "row",
)


def open_table(
    folder: Path,
    network: Network,
    collection: Collection | None,
    *,
    layers: Sequence[str | Need],
    maps: Sequence[str] = (),
    precision: Precision = "float32",
    exact: bool = False,
) -> Table:
    """The table to write into: the one that is there, if it holds the same kind of numbers, or a new one.

    With the precision `auto`, one that is there is gone on with in its own. Layers that it does not keep yet are added
    later, see `adding`.
    """
    there = table_folder(folder).is_dir()
    old = Store.open(folder, network) if there else None
    columns = old.columns if old else choose(network, layers, maps)
    fields = tuple(name for name in collection.fields if name not in _RESERVED) if collection else ()
    root = way_to(collection.root, folder) if collection and collection.root else None
    own = old.about.precision if old and precision == "auto" else None
    about = About(
        network.name,
        network.source,
        network.sha256,
        preprocessing(network, exact=exact),
        own or str(chosen(precision, network.device)).removeprefix("torch."),
        columns,
        root,
        fields,
    )
    if old is None:
        return Table.create(table_folder(folder), fields_of(about), about.to_json())
    _same(old, about)
    return old.table


def _same(old: Store, new: About) -> None:
    """Raise StoreError where new rows would be of another kind than the old."""
    where = printable(old.path)
    for name, is_what in (("preprocess", "preprocessing"), ("precision", "precision"), ("fields", "metadata")):
        was, now = getattr(old.about, name), getattr(new, name)
        if was != now:
            raise StoreError(
                f"{where} was made with the {is_what} {was}, and this is {now}; index into another folder."
            )
    if (old.about.root is None) != (new.root is None):
        raise StoreError(
            f"{where} was made from {'a folder' if old.about.root else 'a list'}; go on with that, or index into "
            "another folder."
        )


def fields_of(about: About) -> list[Field]:
    """The columns of a table of that kind."""
    texts = [Field(name, "string") for name in about.fields]
    shared = f"{about.network} {about.sha256} {about.preprocess} {about.precision}"
    vectors = [Field(column.name, column.dtype, column.length, f"{column} of {shared}") for column in about.columns]
    whole = ("key", "stamp", "size", "mtime")
    return [
        *(Field(name, "int64") for name in whole),
        Field("path", "binary"), Field("name", "string"), Field("folder", "string"),
        Field("height", "int32"), Field("width", "int32"), Field("status", "string"), Field("error", "string"),
        Field("thumbnail", "binary"), *texts, *vectors,
    ]  # fmt: skip
