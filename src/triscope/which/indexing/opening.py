"""Open a store to write into: the existing one, if new rows are of its kind, or a new one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from triscope.errors import StoreError
from triscope.images import printable
from triscope.network import Network
from triscope.network.variants.precision import Precision, chosen
from triscope.objectives.base import Need
from triscope.which.checked import check_network
from triscope.which.collection import Collection
from triscope.which.database.about import About, preprocessing, way_to
from triscope.which.database.arrow import Field
from triscope.which.database.location import rows_folder
from triscope.which.database.schema import choose
from triscope.which.database.table import Table
from triscope.which.indexing.answers import answer_fields, label_field, output_column

#: Fields on the collection, which are updated when it moves; and whether the layers were checked.
_FOLLOWED = ("root", "within", "checked")


def open_table(
    folder: Path,
    network: Network,
    collection: Collection,
    *,
    layers: Sequence[str | Need],
    maps: Sequence[str] = (),
    precision: Precision = "float32",
    exact: bool = False,
) -> Table:
    """The table to write into: the existing one, if it holds the same kind of numbers, or a new one.

    With the precision `auto`, an existing one keeps its own. Layers that it does not keep yet are added later, see
    `adding`.
    """
    table = Table.open(rows_folder(folder)) if rows_folder(folder).is_dir() else None
    old = None if table is None else _described(table, network, folder)
    columns = old.columns if old else choose(network, layers, maps)
    root = way_to(collection.root, folder) if collection.root else None
    own = old.precision if old and precision == "auto" else None
    about = About(
        network.name,
        network.source,
        network.sha256,
        preprocessing(network, exact=exact),
        own or str(chosen(precision, network)).removeprefix("torch."),
        columns,
        root,
        tuple(collection.fields),
        collection.kind,
        collection.within,
        collection.digest,
        label_field(collection.fields),
        checked=True,
    )
    if table is None or old is None:
        return Table.create(rows_folder(folder), fields_of(about, collection.fields, network), about.to_json())
    _same(old, about, printable(folder))
    if old.listed != about.listed:
        _relabel(table, collection, old)
        old = About.of(table, whole=True)
    if any(getattr(old, name) != getattr(about, name) for name in _FOLLOWED):
        now = {name: getattr(about, name) for name in _FOLLOWED}
        table.describe(replace(old, **now).to_json())
    return table


def _described(table: Table, network: Network, folder: Path) -> About:
    """The description of a store. Raises StoreError where another network made it."""
    about = About.of(table, whole=True)
    check_network(about, network, printable(folder))
    return about


def _relabel(table: Table, collection: Collection, was: About) -> None:
    """Update the collection's metadata of the images that are stored."""
    gone = [name for name in was.fields if name not in collection.fields]
    if gone:
        table.drop(gone)
    if collection.fields:
        known, keys = dict(collection.metadata()), table.column("key").tolist()
        fields = [Field(name, kind) for name, kind in collection.fields.items()]
        table.put(fields, {name: [known.get(key, {}).get(name) for key in keys] for name in collection.fields})
    table.describe(replace(was, fields=tuple(collection.fields), listed=collection.digest, label="").to_json())


def _same(old: About, new: About, label: str) -> None:
    """Raise StoreError where new rows would be of another kind than the old."""
    for name, is_what in (("preprocess", "preprocessing"), ("precision", "precision")):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            raise StoreError(
                f"{label} was made with the {is_what} {was}, and this is {now}; index into another folder."
            )
    if old.kind != new.kind:
        raise StoreError(
            f"{label} was made from a {old.kind}, and this is a {new.kind}; go on with that, or index into "
            "another folder."
        )


def fields_of(about: About, known: Mapping[str, str], network: Network) -> list[Field]:
    """The columns of a table of that kind; `known` are those of the collection, and their types."""
    texts = [Field(name, kind) for name, kind in known.items()]
    texts += answer_fields(network) if output_column(about.columns, network) else ()
    shared = f"{about.network} {about.sha256} {about.preprocess} {about.precision}"
    vectors = [Field(column.name, column.dtype, column.length, f"{column} of {shared}") for column in about.columns]
    whole = ("key", "stamp", "size", "mtime")
    return [
        *(Field(name, "int64") for name in whole),
        Field("path", "binary"), Field("name", "string"), Field("folder", "string"),
        Field("height", "int32"), Field("width", "int32"), Field("status", "string"), Field("error", "string"),
        Field("thumbnail", "binary"), *texts, *vectors,
    ]  # fmt: skip
