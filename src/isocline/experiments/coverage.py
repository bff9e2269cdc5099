"""How far the coverage of one test part may be off by chance, where the forecast itself is exact.

Series of a known process (Gaussian, and its next value a share of this one and noise) are forecast
by that very process, from the origins and over the horizon of every backtest. So their 90 %
intervals hold 90 % in the long run; one test part is not the long run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from isocline.data import Columns, Series, SeriesTable, TimeAxis
from isocline.estimators.asking import default_horizon
from isocline.evaluation import rolling_origins

from .results import answer_of, command_of, markdown_table, silent, versions, write_results

LEVEL, BAND = 1.6448536269514722, (0.85, 0.95)  # of a normal, and what is called held
NOTE = (
    "Series x' = a x + noise, one row a unit of time, forecast by the process itself over the "
    "default horizon from the default origins of a backtest (the last fifth of the rows). Shares "
    "are of {draws} tables: how often 85 to 95 % of the outcomes of a table lie in the 90 % "
    "intervals, and the coverage that one table in twenty falls below and one exceeds."
)


@dataclass(frozen=True)
class Protocol:
    """What is drawn.

    Attributes:
        series, rows: of a table, whose series are independent.
        memories: the share a of a value that the next one has; 1 is a random walk.
        draws: tables of each kind.
    """

    series: tuple[int, ...] = (1, 5, 20)
    rows: tuple[int, ...] = (150, 300, 1000)
    memories: tuple[float, ...] = (0.5, 0.8, 0.95, 1.0)
    draws: int = 1000


QUICK = Protocol(series=(1, 5), rows=(150,), memories=(0.8, 1.0), draws=20)


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Draw tables and forecast them."""
    protocol, say = protocol or (QUICK if quick else Protocol()), progress or silent
    draw = np.random.default_rng(seeds[0] if seeds else 0)
    summary: list[dict[str, Any]] = []
    for series in protocol.series:
        for rows in protocol.rows:
            say({"stage": f"{series} series of {rows} rows"})
            for memory in protocol.memories:
                found = coverages(series, rows, memory, protocol.draws, draw)
                kind = {"series": series, "rows": rows, "memory": memory}
                summary.append(kind | _summarised(found))
    results = {
        "command": command_of("coverage", seeds, quick),
        "protocol": asdict(protocol),
        "note": NOTE.format(draws=protocol.draws),
        "versions": versions(),
        "summary": summary,
        "table": _table_of(summary),
        "table_file": "table.md",
    }
    write_results(out, results, results["table"])
    return answer_of(results, out)


def _summarised(found: Float[np.ndarray, " draws"]) -> dict[str, float]:
    low, high = np.quantile(found, (0.05, 0.95))
    held = np.mean((found >= BAND[0]) & (found <= BAND[1]))
    return {
        "mean": float(found.mean()),
        "held": float(held),
        "low": float(low),
        "high": float(high),
    }


def _table_of(summary: list[dict[str, Any]]) -> str:
    titles = ["series", "rows each", "a", "mean coverage", "within 85 to 95 %", "one in twenty"]
    cells = [
        (
            *(row[name] for name in ("series", "rows")),
            f"{row['memory']:g}",
            *(f"{100 * row[name]:.0f} %" for name in ("mean", "held")),
            f"below {100 * row['low']:.0f} %, above {100 * row['high']:.0f} %",
        )
        for row in summary
    ]
    return markdown_table(titles, cells)


def coverages(
    series: int, rows: int, memory: float, draws: int, draw: np.random.Generator
) -> Float[np.ndarray, " draws"]:
    """What exact 90 % intervals hold of the outcomes of each of so many tables."""
    walk = np.zeros((draws, series, rows))
    noise = draw.normal(size=walk.shape)
    for k in range(1, rows):
        walk[..., k] = memory * walk[..., k - 1] + noise[..., k]
    table = _table(walk[0])
    horizon = default_horizon(table)
    hits, count = np.zeros(draws), 0
    for origin in rolling_origins(table, horizon).origins:
        last = int(np.floor(origin))
        lead = np.arange(last + 1, min(rows, int(np.floor(origin + horizon)) + 1)) - last
        spread = np.sqrt(np.cumsum(memory ** (2.0 * np.arange(lead[-1]))))[lead - 1]
        missed = walk[..., last + lead] - memory**lead * walk[..., [last]]
        hits += np.sum(np.abs(missed) <= LEVEL * spread, axis=(1, 2))
        count += series * len(lead)
    return hits / count


def _table(values: Float[np.ndarray, "series rows"]) -> SeriesTable:
    times = np.arange(values.shape[1], dtype=float)
    series = tuple(Series(f"{k}", times, row[:, None]) for k, row in enumerate(values))
    return SeriesTable(series, ("x",), TimeAxis("number"), Columns("time", "series", ("x",)))
