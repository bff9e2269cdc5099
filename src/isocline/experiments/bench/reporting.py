"""What `isocline bench solvers` leaves for people: tables and the work-precision figure."""

from __future__ import annotations

from typing import Any

from ..results import markdown_table
from .measuring import FLOOR, Row

TITLES = (
    "solver", "tolerance", "error", "steps", "NFE", "forward ms", "(quartiles)", "gradient ms",
    "(quartiles)", "first call s", "temp MB", "forward / floor", "gradient / floor",
    "error of gradient",
)  # fmt: skip


def best(rows: list[Row], library: str, what: str) -> Row | None:
    """The row of a library that is fastest at something."""
    rows = [row for row in rows if row["library"] == library and what in row]
    return min(rows, key=lambda row: row[what]["median"], default=None)


def summary_rows(measured: Row) -> list[Row]:
    """Our best against the best of each peer and the floor; forward and gradient by themselves."""
    rows = measured["rows"]
    libraries = dict.fromkeys(row["library"] for row in rows)
    return [
        _versus(measured["case"], rows, library)
        for library in libraries
        if library not in ("isocline", FLOOR) or len(libraries) == 1
    ] or [_versus(measured["case"], rows, FLOOR)]


def _versus(case: str, rows: list[Row], library: str) -> Row:
    row: Row = {"case": case, "peer": library}
    floor = best(rows, FLOOR, "forward") or {}
    for what in ("forward", "gradient"):
        ours, theirs = best(rows, "isocline", what), best(rows, library, what)
        if ours is None:
            continue
        row[what] = ours[what]["median"]
        row[f"{what}_setting"] = ours["setting"]
        if theirs is not None:
            row[f"{what}_ratio"] = theirs[what]["median"] / ours[what]["median"]
            row[f"{what}_peer_setting"] = theirs["setting"]
        if what in floor:
            row[f"{what}_floor"] = over_floor(ours, floor, what)
    ours, theirs = _first_call(rows, "isocline"), _first_call(rows, library)
    if ours and theirs:
        row["first_call_ratio"] = theirs / ours
    return row


def brief(row: Row) -> Row:
    """A row of the summary in words: our times, the peer's over ours, ours over the floor."""
    cells = {title: words(row.get(key)) for title, (key, words) in COLUMNS.items()}
    return {"case": row["case"], "peer": row["peer"]} | cells


def _first_call(rows: list[Row], library: str) -> float | None:
    row = best(rows, library, "gradient")
    return sum(row["first_call"].values()) if row and row.get("first_call") else None


def over_floor(row: Row, floor: Row, what: str) -> float | None:
    """Seconds over those of as many bare evaluations as the row's own accepted steps needed."""
    if what not in row or not row.get("needed"):
        return None
    bare = floor[what]["median"] * row["needed"] / floor["needed"]
    return row[what]["median"] / bare


def tables(measured: list[Row]) -> str:
    """All of it in Markdown."""
    parts = ["## Summary", summary_table(measured)]
    for one in measured:
        parts += [
            f"## {one['case']}: {one['summary']}",
            f"Everybody at a relative error of at most {one['target']:g}, {one['dtype']}.",
            markdown_table(TITLES, _cells(one["rows"])),
            *(f"- {note}" for note in one["notes"]),
        ]
    return "\n\n".join(parts)


def summary_table(measured: list[Row]) -> str:
    """Our best row against each peer's, and which settings these are for the gradient."""
    rows = [row for one in measured for row in summary_rows(one)]
    settings = ("gradient_setting", "gradient_peer_setting")
    cells = [(*brief(row).values(), *map(row.get, settings)) for row in rows]
    return markdown_table(("case", "peer", *COLUMNS, "our setting", "the peer's"), cells)


def _cells(rows: list[Row]) -> list[tuple[Any, ...]]:
    floor = next((row for row in rows if row["library"] == FLOOR), None)
    cells = []
    for row in rows:
        first, bytes_ = row.get("first_call"), row.get("temp_bytes")
        ratios = [
            over_floor(row, floor, what) if floor else None for what in ("forward", "gradient")
        ]
        cells.append(
            (
                f"{row['library']} {row['setting']}",
                _short(row.get("tolerance")),
                _short(row.get("error")),
                _steps(row),
                (row.get("evaluations") or {}).get("forward"),
                _ms(row.get("forward", {}).get("median")),
                _spread(row.get("forward")),
                _ms(row.get("gradient", {}).get("median")),
                _spread(row.get("gradient")),
                _short(sum(first.values()) if first else None),
                _short(None if bytes_ is None else bytes_ / 1e6),
                *map(_short, ratios),
                _short(row.get("gradient_error")),
            )
        )
    return cells


def _steps(row: Row) -> str | None:
    if "accepted" not in row:
        return None
    return f"{row['accepted']:.0f} + {row['attempts'] - row['accepted']:.0f}"


def _ms(seconds: float | None) -> str | None:
    return None if seconds is None else f"{1e3 * seconds:.3g}"


def _spread(timing: Row | None) -> str | None:
    return None if timing is None else f"{_ms(timing['low'])}-{_ms(timing['high'])}"


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"


COLUMNS = {
    "forward ms": ("forward", _ms),
    "gradient ms": ("gradient", _ms),
    "forward: peer/ours": ("forward_ratio", _short),
    "gradient: peer/ours": ("gradient_ratio", _short),
    "first call: peer/ours": ("first_call_ratio", _short),
    "forward/floor": ("forward_floor", _short),
    "gradient/floor": ("gradient_floor", _short),
}
