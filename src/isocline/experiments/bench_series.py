"""Many series: memory and time of a fit and of forecasts as the number of series grows.

Each size has a process of its own, so that the peaks of memory do not mix.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isocline.data.real_series import simulated_series
from isocline.train.checkpoint import write_bytes

from .results import (
    answer_of,
    kept_run,
    markdown_table,
    save_figure,
    silent,
    versions,
    write_results,
)

TITLES = {
    "series": "series",
    "rows": "rows",
    "epoch": "epoch, s",
    "fit": "fit without its epochs, s",
    "fit_each": "the same a series, ms",
    "predict": "predict, s",
    "predict_each": "the same a series, ms",
    "peak": "peak memory, MB",
    "grown": "above that of importing, MB",
}
NOTE = (
    "Simulated irregular series of {fewest} to {most} points and one channel, one member, "
    "{epochs} epochs of 50 steps of 64 windows; the fastest epoch. What is around the epochs: "
    "scaling, windows, compiling, and the forecasts that intervals are calibrated by. predict: its "
    "second call, the default grid over the horizon. Seconds depend on what else ran beside."
)


@dataclass(frozen=True)
class Protocol:
    """What is measured: the defaults are the benchmark, smaller values a test of it."""

    sizes: tuple[int, ...] = (10, 30, 100, 300, 1000)
    fewest: int = 50
    most: int = 500
    epochs: int = 3


QUICK = Protocol(sizes=(3, 30), most=60, epochs=1)


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,  # noqa: ARG001 - all experiments are called alike
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Fit and forecast tables of growing size."""
    protocol = protocol or (QUICK if quick else Protocol())
    say = progress or silent
    rows = []
    for size in protocol.sizes:
        say({"stage": f"{size} series"})
        # All settings: a run of before other defaults is another run.
        identity = json.dumps([size, asdict(protocol), _forecaster(protocol.epochs).settings()])
        path = out / "runs" / f"series-{size}.json"
        row = kept_run(path, identity) or {"identity": identity, **_in_child(size, protocol)}
        write_bytes(path, json.dumps(row).encode())
        rows.append(row)
    table = markdown_table(list(TITLES.values()), [[_cell(row[k]) for k in TITLES] for row in rows])
    limits = {"fewest": protocol.fewest, "most": protocol.most, "epochs": protocol.epochs}
    results = {
        "command": "isocline bench series" + " --quick" * quick,
        "protocol": asdict(protocol),
        "note": NOTE.format(**limits),
        "versions": versions("jaxlib", "equinox"),
        "summary": [{name: row[name] for name in TITLES} for row in rows],
        "table": table,
        "table_file": "table.md",
    }
    write_results(out, results, table)
    _draw(out, rows)
    return answer_of(results, out)


def _cell(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _in_child(size: int, protocol: Protocol) -> dict[str, Any]:
    arguments = size, protocol.fewest, protocol.most, protocol.epochs
    code = f"from {__name__} import child; child{arguments}"
    ended = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(ended.stdout.splitlines()[-1])


def child(size: int, fewest: int, most: int, epochs: int) -> None:
    """Fit and forecast once; print what it took as JSON."""
    forecaster = _forecaster(epochs)
    imported = _peak()
    table = simulated_series(size, (fewest, most), 1)
    started = time.perf_counter()
    forecaster.fit(table)
    fitted = time.perf_counter() - started
    seconds = [row["seconds"] for row in forecaster.history_]
    forecaster.predict()
    started = time.perf_counter()
    forecaster.predict()
    predicted = time.perf_counter() - started
    around = fitted - float(np.sum(seconds))
    row = {
        "series": size,
        "rows": sum(len(one) for one in table.series),
        "epoch": min(seconds),
        "fit": around,
        "fit_each": 1e3 * around / size,
        "predict": predicted,
        "predict_each": 1e3 * predicted / size,
        "peak": _peak(),
        "grown": _peak() - imported,
    }
    print(json.dumps(row))


def _forecaster(epochs: int) -> Any:
    from isocline.estimators import LatentODEForecaster

    return LatentODEForecaster(members=1, epochs=epochs)


def _peak() -> float:
    """The most memory that this process has held, in MB."""
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage, which on Linux counts what the parent held when this process began.
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) / 1e3
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1e6 if sys.platform == "darwin" else 1e3)


def _draw(out: Path, rows: list[dict[str, Any]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    sizes = [row["series"] for row in rows]
    shown = (
        ("memory above importing, MB", {"grown": "fit and predict"}),
        ("seconds an epoch", {"epoch": "an epoch"}),
        ("milliseconds a series", {"fit_each": "around the epochs", "predict_each": "predict"}),
    )
    for axis, (title, lines) in zip(figure.subplots(1, 3), shown, strict=True):
        for (name, label), colour in zip(lines.items(), ("#0072B2", "#E69F00"), strict=False):
            axis.plot(sizes, [row[name] for row in rows], "o-", color=colour, label=label)
        axis.set(xscale="log", xlabel="series", title=title)
        axis.set_yscale("log" if len(lines) > 1 else "linear")
        if len(lines) == 1:
            axis.set_ylim(0, 1.15 * max(row[next(iter(lines))] for row in rows))
        else:
            axis.legend(frameon=False, fontsize=8)
    save_figure(figure, out, "series")
