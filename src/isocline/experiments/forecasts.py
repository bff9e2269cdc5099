"""The forecaster with default settings on the built-in series, beside the baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .fitting import NOTE, TITLES, baseline_rows, fit_and_score, model_row
from .results import answer_of, command_of, markdown_table, save_figure, versions, write_results

SHOWN = {
    "nino12": "Niño 1+2, off Peru (1950 to 2010)",
    "ostia_150W_2N": "Central Pacific, 150° W 2° N (2006 to 2010)",
    "ostia_70E_3S": "Indian Ocean, 70° E 3° S (2006 to 2010)",
}


@dataclass(frozen=True)
class Protocol:
    """What is run: the defaults are the experiment, smaller values a test of it."""

    data: tuple[str, ...] = ("sst",)
    seeds: int = 3
    settings: dict[str, Any] = field(default_factory=dict)


QUICK = Protocol(seeds=1, settings={"epochs": 2, "members": 1})


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Fit and score every series with every seed; runs that are done are not repeated."""
    protocol = protocol or (QUICK if quick else Protocol())
    seeds = seeds or range(protocol.seeds)
    runs: dict[str, list[dict[str, Any]]] = {}
    results: dict[str, Any] = {}
    for data in protocol.data:
        for seed in seeds:
            settings = protocol.settings | {"seed": seed}
            draws = data == "sst" and seed == seeds[0]
            done = fit_and_score(
                out,
                f"{data}-{seed}",
                data,
                settings,
                baselines=True,
                progress=progress,
                look=(lambda model, backtest: _draw(out, model, backtest)) if draws else None,
            )
            runs.setdefault(data, []).append(done)
            results = _results(protocol, runs, quick)
            write_results(out, results, results["table"])
    return answer_of(results, out)


def _draw(out: Path, forecaster: Any, backtest: Any) -> None:
    from isocline.report import forecast_figure

    names = [one.name for one in forecaster.table_.series]
    titles = {name: title for name, title in SHOWN.items() if name in names}
    figure = forecast_figure(
        forecaster.table_, backtest.frame, series=list(titles), titles=titles, unit="°C"
    )
    save_figure(figure, out, "forecast")


def _results(
    protocol: Protocol, runs: dict[str, list[dict[str, Any]]], quick: bool
) -> dict[str, Any]:
    summary = []
    for data, done in runs.items():
        rows = [model_row("latent ODE, pooled", done), *baseline_rows(done)]
        summary += [{"data": data} | row for row in rows]
    seeds = [one["seed"] for one in max(runs.values(), key=len)]
    windows = ", ".join(
        f"{data}: {done[0]['windows']} windows of {done[0]['horizon']:.0f} days"
        for data, done in runs.items()
    )
    return {
        "command": command_of("forecasts", seeds, quick),
        "protocol": asdict(protocol),
        "note": f"{windows}. {NOTE}",
        "versions": versions("equinox", "optax"),
        "summary": summary,
        "runs": [one for done in runs.values() for one in done],
        "table": markdown_table(
            ["data", *TITLES.values()], [tuple(row.values()) for row in summary]
        ),
        "table_file": "table.md",
    }
