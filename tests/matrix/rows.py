"""The networks of the matrix, by name, in the order of the table."""

from collections.abc import Callable, Mapping

from tests.matrix import rows_others, rows_timm, rows_torchvision, rows_transformers, rows_written
from tests.matrix.columns import Known

ROWS: Mapping[str, Callable[[], Known]] = {
    **{f"written: {name}": make for name, make in rows_written.ROWS.items()},
    **rows_torchvision.ROWS,
    **rows_timm.ROWS,
    **rows_transformers.ROWS,
    **rows_others.ROWS,
}
