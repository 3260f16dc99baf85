"""Workbooks: the first sheet of an Excel file, its cells as a CSV file would have them. Read by openpyxl."""

import zipfile
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

from triscope.errors import StoreError
from triscope.images import printable

WORKBOOKS = (".xlsx", ".xlsm")
_BROKEN = (ValueError, SyntaxError, TypeError, AttributeError)  # what openpyxl raises on files that are none


def rows_of(path: Path) -> Iterator[list[str]]:
    """The rows of the first sheet, as texts. Raises StoreError where it cannot be read, or openpyxl is missing."""
    label = printable(path.name)
    try:
        import openpyxl
    except ImportError as error:
        raise StoreError(
            f"{label} is a workbook, which needs openpyxl: pip install 'triscope[spreadsheets]'; or save it as CSV."
        ) from error
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        rows = book.worksheets[0].iter_rows(values_only=True)
        yield from ([_text(cell) for cell in row] for row in rows)
        book.close()
    except (OSError, zipfile.BadZipFile, LookupError, *_BROKEN) as error:
        raise StoreError(f"{label} cannot be read as a workbook; save it as CSV.") from error


def _text(cell: Any) -> str:
    """A cell as CSV has it."""
    match cell:
        case None:
            return ""
        case bool():
            return str(cell).lower()
        case datetime():
            return cell.date().isoformat() if cell.time() == datetime.min.time() else cell.isoformat(" ")
        case date():
            return cell.isoformat()
        case float() if cell.is_integer():
            return str(int(cell))
    return str(cell)
