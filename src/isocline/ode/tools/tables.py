"""Plain text tables and numbers, as the reports of the tools print them."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of one width each; the first is flush left, the others flush right."""
    lines = [titles, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join((first, *others)).rstrip()

    return "\n".join(map(line, lines))


def seconds(value: float | None) -> str:
    """A duration with a unit of its size."""
    if value is None:
        return "-"
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= unit or name == "us":
            return f"{value / unit:.3g} {name}"
    raise AssertionError


def size(count: int | None) -> str:
    """Bytes with a unit of their size."""
    if count is None:
        return "-"
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")):
        if count >= unit or name == "B":
            return f"{count / unit:.3g} {name}"
    raise AssertionError
