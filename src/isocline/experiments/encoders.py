"""Which encoder the latent ODE should read a history with, by a backtest, and what helps it.

Every row is `LatentODEForecaster` with default settings but for what the row names, fitted to the
built-in sea-surface temperatures and scored by `backtest()`: the same rolling origins as the
baselines, on the last fifth of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .fitting import NOTE, TITLES, baseline_rows, fit_and_score, model_row
from .results import answer_of, command_of, markdown_table, versions, write_results

ENCODERS = {name: {"encoder": name} for name in ("rnn", "ode_rnn", "attention", "mtan", "cde")}
HELPS = {
    "ode_rnn, one member": {"encoder": "ode_rnn", "members": 1},
    "ode_rnn, trained without deletion": {"encoder": "ode_rnn", "deletion": 0.0},
    "ode_rnn, growing horizon": {"encoder": "ode_rnn", "growth": 0.4},
    "ode_rnn, averaged weights": {"encoder": "ode_rnn", "average": 0.99},
}


@dataclass(frozen=True)
class Protocol:
    """What is run: the defaults are the experiment, smaller values a test of it."""

    data: str = "sst"
    seeds: int = 3
    models: dict[str, dict[str, Any]] = field(default_factory=lambda: ENCODERS)
    helps: dict[str, dict[str, Any]] = field(default_factory=lambda: HELPS)
    settings: dict[str, Any] = field(default_factory=dict)


QUICK = Protocol(seeds=1, helps={}, settings={"epochs": 2, "members": 1})


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Fit and score every model with every seed; runs that are done are not repeated."""
    protocol = protocol or (QUICK if quick else Protocol())
    seeds = seeds or range(protocol.seeds)
    runs: dict[str, list[dict[str, Any]]] = {}
    results: dict[str, Any] = {}
    # The comparison first, every seed of it; then what helps.
    for models in (protocol.models, protocol.helps):
        for seed in seeds:
            for model, changed in models.items():
                name = f"{model.replace(', ', '-').replace(' ', '_')}-{seed}"
                settings = protocol.settings | changed | {"seed": seed}
                # The GRU depends on the seed and not on the encoder: one a seed is enough.
                first = model == next(iter(protocol.models))
                done = fit_and_score(
                    out, name, protocol.data, settings, baselines=first, progress=progress
                )
                runs.setdefault(model, []).append(done)
                results = _results(protocol, runs, quick)
                write_results(out, results, results["table"])
    return answer_of(results, out)


def _results(
    protocol: Protocol, runs: dict[str, list[dict[str, Any]]], quick: bool
) -> dict[str, Any]:
    first = next(iter(runs.values()))
    summary = [model_row(model, done) for model, done in runs.items()] + baseline_rows(first)
    return {
        "command": command_of("encoders", [one["seed"] for one in first], quick),
        "protocol": asdict(protocol),
        "note": f"{first[0]['windows']} windows of {first[0]['horizon']:.0f} days. {NOTE}",
        "versions": versions("equinox", "optax"),
        "summary": summary,
        "runs": [one for done in runs.values() for one in done],
        "table": markdown_table(list(TITLES.values()), [tuple(row.values()) for row in summary]),
        "table_file": "table.md",
    }
