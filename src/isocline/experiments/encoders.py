"""Which encoder the latent ODE should read a history with, and what helps it.

Simulated spirals, a real mechanical system and irregular real series, in one table. But for the
spirals, every entry is `LatentODEForecaster` with one member, no linear rule beside it and default
settings but for what is named, scored by `backtest()` from the same rolling origins as the
baselines, on the last fifth of the rows. The spirals are a cell of `isocline reproduce spirals`,
whose runs are used where they are done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from isocline.data import SeriesTable
from isocline.data.real_series import load_series
from isocline.data.spirals import spirals
from isocline.errors import InputError
from isocline.estimators.asking import default_horizon

from . import spirals_cases
from .encoders_table import SPIRALS, Runs, tables
from .fitness import standardized
from .fitting import fit_and_score
from .results import answer_of, command_of, versions, write_results
from .spirals_cases import Case
from .spirals_run import kept_case, run_case
from .spirals_scores import rmse_of_curves

# Each with its row of the spirals' table.
ENCODERS = {
    "plain_rnn": "latent_ode_plain",
    "rnn": "latent_ode",
    "ode_rnn": "latent_ode_rnn",
    "attention": "latent_ode_attention",
    "mtan": "latent_ode_mtan",
    "cde": "latent_ode_cde",
}
HELPED = "ode_rnn"
HELPS: dict[str, dict[str, Any]] = {
    "four members": {"members": 4},
    "trained without deletion": {"deletion": 0.0},
    "growing horizon": {"growth": 0.4},
    "averaged weights": {"average": 0.99},
}


class Set(NamedTuple):
    """A column of the table: what it is called, in what its horizon is, and settings of its own."""

    title: str
    unit: str
    settings: dict[str, Any]


SETS = {
    "nino": Set("SST of four Niño regions, weekly", "days", {"horizon": 91.0}),
    "delhi_gaps": Set("Delhi's weather, daily", "days", {"horizon": 30.0}),
    "vowels": Set("Japanese vowels", "points", {}),
    "pendulum": Set("double pendulum, on video", "s", {"horizon": 0.2}),
    "sst": Set("SST, monthly", "days", {}),
}
NOTE = (
    "Means over the seeds, ± the standard deviation over them. Spirals: 30 of 100 points, noise "
    "0.1, in the units of the plane; their error is against the 100 points that follow, without "
    "noise. All other sets are in standard deviations of each channel's training rows, and lack a "
    "third of their rows or cells but for the vowels, whose utterances are of unequal length. "
    "Horizons: {horizons}. plain_rnn is not told the times. Seconds are of one fit with one member "
    "(median), on a machine that other work ran on.{missing}"
)


@dataclass(frozen=True)
class Protocol:
    """What is run: the defaults are the experiment, smaller values a test of it.

    Attributes:
        data: keys of `SETS`.
        encoders: keys of `ENCODERS`.
        helps: changes of settings, tried with one encoder on the first set.
        settings: of all fits.
        spirals: the protocol of the spirals; None leaves them out.
    """

    data: tuple[str, ...] = ("nino", "delhi_gaps", "vowels", "pendulum")
    seeds: int = 2
    encoders: tuple[str, ...] = tuple(ENCODERS)
    helps: dict[str, dict[str, Any]] = field(default_factory=lambda: HELPS)
    settings: dict[str, Any] = field(default_factory=lambda: {"members": 1, "linear": False})
    spirals: spirals_cases.Protocol | None = field(default_factory=spirals_cases.Protocol)


QUICK = Protocol(
    data=("sst",),
    seeds=1,
    encoders=("rnn", "attention"),
    helps={},
    settings={"members": 1, "linear": False, "epochs": 2},
    spirals=None,
)


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Fit and score every encoder on every set with every seed; what is done is not repeated."""
    protocol = protocol or (QUICK if quick else Protocol())
    seeds = seeds or range(protocol.seeds)
    runs: Runs = {}
    missing: dict[str, str] = {}
    command = command_of("encoders", seeds, quick)
    for row, data, found in _all_runs(out, protocol, seeds, missing, progress):
        runs.setdefault((row, data), []).append(found)
        results = _results(protocol, runs, missing, command)
        write_results(out, results, results["table"])
    if not runs:
        raise InputError(next(iter(missing.values())))
    # Once more, with the names of sets that were left out after the last that was run.
    results = _results(protocol, runs, missing, command)
    write_results(out, results, results["table"])
    return answer_of(results, out)


def _all_runs(
    out: Path,
    protocol: Protocol,
    seeds: Sequence[int],
    missing: dict[str, str],
    progress: Callable[[dict[str, Any]], None] | None,
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Row, set and scores of each run; `missing` is told which sets can not be had, and why."""
    for seed in seeds:
        for data in protocol.data:
            for row, settings in _rows_of(protocol, data):
                try:
                    yield row, data, _fit(out, protocol, (row, data, seed), settings, progress)
                except InputError as error:
                    missing[data] = str(error)
                    break
        # As many seeds as the other experiment has of all encoders: so its runs are enough.
        told = protocol.spirals
        if told is not None and seed in seeds[: told.other_seeds]:
            for row, found in _spirals(out, protocol.encoders, told, seed, progress):
                yield row, SPIRALS, found


def _rows_of(protocol: Protocol, data: str) -> list[tuple[str, dict[str, Any]]]:
    """The encoders, and on the first set what helps; with the settings of each."""
    rows = [(name, {"encoder": name}) for name in protocol.encoders]
    if data == protocol.data[0]:
        helps = protocol.helps.items()
        rows += [(f"{HELPED}, {name}", {"encoder": HELPED} | more) for name, more in helps]
    return rows


def _fit(
    out: Path,
    protocol: Protocol,
    place: tuple[str, str, int],
    settings: dict[str, Any],
    progress: Callable[[dict[str, Any]], None] | None,
) -> dict[str, Any]:
    row, data, seed = place
    name = f"{data}-{row.replace(', ', '-').replace(' ', '_')}-{seed}"
    settings = SETS[data].settings | protocol.settings | settings | {"seed": seed}
    # The GRU depends on the seed and not on the encoder: one a seed is enough.
    first = row == protocol.encoders[0]

    def load(data: str) -> SeriesTable:
        table = load_series(data)
        return standardized(table, settings.get("horizon") or default_horizon(table))

    return fit_and_score(
        out,
        name,
        data,
        settings,
        baselines=first,
        progress=progress,
        load=load,
        delete=bool(protocol.helps) and data == protocol.data[0],  # where the table says its cost
    )


def _spirals(
    out: Path,
    encoders: Sequence[str],
    told: spirals_cases.Protocol,
    seed: int,
    progress: Callable[[dict[str, Any]], None] | None,
) -> list[tuple[str, dict[str, Any]]]:
    """The spirals with every encoder, and their baselines; runs of the other experiment count."""
    found = []
    rows = {name: ENCODERS[name] for name in encoders} | {"gru": "gru"}
    for name, kind in rows.items():
        case = Case(kind, told.noise, min(told.observations))
        done = kept_case(out.parent / "spirals", told, case, seed)
        done = done or run_case(out, told, case, seed, progress)
        found.append((name, {key: done[key] for key in ("seed", "rmse", "seconds")}))
    data = spirals(told.curves, told.noise, min(told.observations), seed)
    by_curve = rmse_of_curves(data.values[data.test, -1:], data.future[data.test])
    still = {"seed": seed, "rmse": float(np.sqrt(np.mean(by_curve**2)))}
    return [*found, ("persistence", still)]


def _results(
    protocol: Protocol, runs: Runs, missing: dict[str, str], command: str
) -> dict[str, Any]:
    titles = {name: SETS[name].title for name in protocol.data} | {SPIRALS: "spirals"}
    horizons = {data: found[0]["horizon"] for (_, data), found in runs.items() if data != SPIRALS}
    told = ", ".join(
        f"{titles[data]} {horizon:g} {SETS[data].unit}" for data, horizon in horizons.items()
    )
    summary, table = tables(runs, titles, protocol.encoders, (HELPED, tuple(protocol.helps)))
    return {
        "command": command,
        "protocol": asdict(protocol),
        "note": NOTE.format(
            horizons=told,
            missing="".join(f" Left out: {text}" for text in missing.values()),
        ),
        "versions": versions("equinox", "optax"),
        "summary": summary,
        "runs": [
            {"row": row, "data": data, **one}
            for (row, data), found in runs.items()
            for one in found
        ],
        "table": table,
        "table_file": "table.md",
    }
