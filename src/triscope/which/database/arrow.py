"""Convert the values of a table to and from Arrow, the format of Lance."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
#: The rows of a table by column: lists of Python values, or arrays whose first axis is the rows.
Rows: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """One column of a table: `type` is string, binary, bool, date32, timestamp (to the microsecond) or a number type;
    with `length`, a vector of these.

    `about` is kept beside it, as text.
    """

    name: str
    type: str
    length: int | None = None
    about: str = ""


def arrow_field(field: Field) -> Any:
    """A column of a table as Arrow describes it."""
    import pyarrow as pa

    types = {"string": pa.string(), "binary": pa.binary(), "bool": pa.bool_(), "date32": pa.date32()}
    types |= {"timestamp": pa.timestamp("us")}
    plain = types[field.type] if field.type in types else pa.from_numpy_dtype(np.dtype(field.type))
    kind = plain if field.length is None else pa.list_(plain, field.length)
    return pa.field(field.name, kind, metadata={"triscope": field.about} if field.about else None)


def to_arrow(values: Any, kind: Any, valid: NDArray[np.bool_]) -> Any:
    """The values of one column as an Arrow array of the type `kind`; vectors count only where `valid`."""
    import pyarrow as pa

    if not pa.types.is_fixed_size_list(kind):
        return pa.array(values, type=kind)
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), type=kind.value_type)
    return pa.FixedSizeListArray.from_arrays(flat, kind.list_size, mask=pa.array(~valid))


def to_numpy(array: Any) -> Any:
    """An Arrow array as numpy numbers or vectors, or as a list; numbers are a list where some are missing."""
    import pyarrow as pa

    kind = array.type
    if pa.types.is_fixed_size_list(kind):
        length = kind.list_size
        inner = array.values[array.offset * length : (array.offset + len(array)) * length]
        return inner.to_numpy(zero_copy_only=False).reshape(len(array), length)
    if (pa.types.is_integer(kind) or pa.types.is_floating(kind)) and not array.null_count:
        return array.to_numpy(zero_copy_only=False)
    return array.to_pylist()


def kind_of(field: Any) -> tuple[str, int | None]:
    """A column's type by numpy's name, and the length of its vectors, where it has some."""
    import pyarrow as pa

    kind, length = field.type, None
    if pa.types.is_fixed_size_list(kind):
        kind, length = kind.value_type, kind.list_size
    return {"halffloat": "float16", "float": "float32", "double": "float64"}.get(str(kind), str(kind)), length
