"""Long tables from files: CSV, TSV and Parquet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from isocline.data.cells import Source, is_date, is_number
from isocline.data.frames import read_frame
from isocline.data.table import SeriesTable
from isocline.errors import InputError

if TYPE_CHECKING:
    import polars

_ACCEPTED = "a long table as CSV or TSV (UTF-8 text) or Parquet"
_PARQUET = b"PAR1"
_SIGNATURES = {
    b"PK\x03\x04": "a zip archive or an Excel workbook (.xlsx)",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls)",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"\x28\xb5\x2f\xfd": "a zstandard archive",
    b"\x89HDF": "an HDF5 or NetCDF-4 file",
    b"CDF\x01": "a NetCDF file",
    b"CDF\x02": "a NetCDF file",
    b"SQLite format 3": "an SQLite database",
    b"ARROW1": "an Arrow / Feather file",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}
_TEXT_KINDS = {
    re.compile(rb'\s*(\{\s*["}]|\[\s*[\[{])'): "JSON",
    re.compile(rb"\s*<(!doctype|html|\?xml|!--|table)", re.IGNORECASE): "a page of HTML or XML",
}
_FOREIGN_SEPARATORS = {";": "semicolons", "|": "vertical bars"}


def read_table(
    path: str | Path,
    *,
    time: str | None = None,
    series: str | None = None,
    target: str | Sequence[str] | None = None,
    known: str | Sequence[str] | None = None,
    past: str | Sequence[str] | None = None,
    static: str | Sequence[str] | None = None,
    sort: bool = False,
    duplicates: str = "error",
) -> SeriesTable:
    """The table in a CSV, TSV or Parquet file; see `SeriesTable.from_frame` for the options.

    Raises:
        InputError: names the file, the column and the row as a spreadsheet counts (the header is
            row 1), and says how to mend it.
    """
    path = Path(path)
    return read_frame(
        read_cells(path),
        Source(path.name),
        time=time,
        series=series,
        target=target,
        known=known,
        past=past,
        static=static,
        sort=sort,
        duplicates=duplicates,
    )


def read_cells(path: Path) -> polars.DataFrame:
    """The cells of a file: all of them text, except in Parquet, where columns have types.

    Raises:
        InputError: no such file, not a file, of the wrong kind, or not rectangular.
    """
    content = _content(path)
    if content.startswith(_PARQUET):
        return _read_parquet(content, path.name)
    _refuse_other_kinds(content, path)
    return _read_text(_decoded(content, path.name), path)


def _polars() -> ModuleType:
    try:
        import polars
    except ImportError:
        raise InputError(
            "Reading files needs polars, which is not installed. Run: "
            "pip install 'isocline[tables]'"
        ) from None
    return polars


def _content(path: Path) -> bytes:
    if path.is_dir():
        raise InputError(f"{path} is a folder. Name the file in it: {_ACCEPTED}.")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        there = f" ({path.resolve()})" if not path.is_absolute() else ""
        raise InputError(
            f"There is no file {path}{there}. Check the name and the folder."
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None
    if not content.strip():
        raise InputError(f"{path.name} is empty. Give {_ACCEPTED}, with a header as row 1.")
    return content


def _refuse_other_kinds(content: bytes, path: Path) -> None:
    kinds = [kind for start, kind in _SIGNATURES.items() if content.startswith(start)]
    kinds += ["a binary file"] if b"\x00" in content[:4096] else []
    kinds += [kind for start, kind in _TEXT_KINDS.items() if start.match(content)]
    kind = next(iter(kinds), None)
    if kind is None and path.suffix.lower() in {".parquet", ".pq"}:
        kind = "text, and not like the Parquet file of its name"
    if kind is not None:
        raise InputError(
            f"{path.name} looks like {kind}. Isocline reads {_ACCEPTED}: export or convert it "
            f"first."
        )


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"{name} is not UTF-8 text: row {row} has the byte 0x{content[error.start]:02x}. Save "
            f"it as UTF-8 (in a spreadsheet: 'CSV UTF-8')."
        ) from None


def _read_parquet(content: bytes, name: str) -> polars.DataFrame:
    polars = _polars()
    try:
        return polars.read_parquet(io.BytesIO(content))
    except polars.exceptions.PolarsError as error:
        raise InputError(
            f"{name} is a damaged Parquet file ({str(error).splitlines()[0]}). Write or download "
            f"it again."
        ) from None


def _read_text(text: str, path: Path) -> polars.DataFrame:
    polars = _polars()
    if "\n" not in text:
        # Old programs on the Mac end lines so.
        text = text.replace("\r", "\n")
    first = text.split("\n", 1)[0]
    if not first.strip():
        raise InputError(f"Row 1 of {path.name} is blank. Put the names of the columns there.")
    header, *rows = _rows(text, _separator(first, path), path.name)
    _check_header(header, path.name)
    # All cells stay text here: with types guessed, one bad cell would turn a column into text.
    # A spreadsheet's or pandas' unnamed index is never a series or a target by guess.
    columns = {
        name: [row[place] or None for row in rows] for place, name in enumerate(header) if name
    }
    return polars.DataFrame(columns, schema=dict.fromkeys(columns, polars.String))


def _separator(header: str, path: Path) -> str:
    """What parts the columns: tabs or commas; a name in quotes may hold one of the others."""
    if path.suffix.lower() in {".tsv", ".tab"} and "\t" in header:
        return "\t"
    likely = max((",", "\t", *_FOREIGN_SEPARATORS), key=header.count)
    if likely in _FOREIGN_SEPARATORS:
        raise InputError(
            f"The columns of {path.name} are separated by {_FOREIGN_SEPARATORS[likely]}. Save it "
            f"with commas between columns and points as decimal marks."
        )
    return likely


def _rows(text: str, separator: str, name: str) -> list[list[str]]:
    """All rows with as many cells as the header, which is the first; blank ones as empty cells."""
    reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True, skipinitialspace=True)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if rows and row and len(row) != len(rows[0]):
                raise InputError(_ragged(len(rows) + 1, row, rows[0], name))
            rows.append(row or [""] * len(rows[0]))
    except csv.Error as error:
        raise InputError(
            f"Row {max(reader.line_num, 1)} of {name} cannot be read ({error}). Check the quotes "
            f"and the ends of lines there."
        ) from None
    rows[0] = [cell.strip() for cell in rows[0]]
    return rows


def _check_header(header: list[str], name: str) -> None:
    if not any(header):
        raise InputError(f"Row 1 of {name} is blank. Put the names of the columns there.")
    _refuse_values(header, name)
    twice = [column for column in header if column and header.count(column) > 1]
    if twice:
        raise InputError(
            f"Row 1 of {name} names two columns '{twice[0]}'. Give every column its own name."
        )


def _ragged(number: int, row: list[str], header: list[str], name: str) -> str:
    mend = "Add or remove cells; a cell that contains the separator needs quotes."
    if number == 2 and len(row) > len(header):
        mend = "If row 1 is a title or a comment, delete it: row 1 must name the columns."
    return (
        f"Row {number} of {name} has {len(row)} cells, but the header has {len(header)} columns "
        f"({', '.join(header)}). {mend}"
    )


def _refuse_values(header: list[str], name: str) -> None:
    """Refuses a file without a header, of which the first row would be lost in silence."""
    cells = [cell for cell in header if cell]
    values = [cell for cell in cells if is_date(cell)]
    # Names that count from 0 are those of a data frame that was given none.
    if all(map(is_number, cells)) and cells != [str(place) for place in range(len(cells))]:
        values = cells
    if values:
        raise InputError(
            f"Row 1 of {name} holds the value '{values[0]}', but it must name the columns. Put a "
            f"row with their names above it; if dates are the columns, turn them into rows."
        )
