"""Chen et al. 2018, section 5.1, table 2 and figures 8 and 9: irregularly observed spirals.

The paper gives neither the noise nor the curves, so the protocol is ours (`isocline.data.spirals`):
1,000 curves (800 to train, 100 to validate, 100 to test), each with a start and a turn of its own,
noise 0.1. A model reads n of 100 points of a window, and forecasts the next 100; a latent ODE tells
the 100 before as well. The RNN is the paper's (25 tanh units); a GRU that is as large as the latent
ODE's networks stands beside it. Training curves go on as noisily and as sparsely after their window
as within it; the 100 points that the RMSE is taken at are without noise. All models have the same
windows, batches and steps; the epoch is chosen on the validation curves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from isocline.data.spirals import spirals

from .results import answer_of, command_of, markdown_table, versions, write_results
from .spirals_cases import KINDS, MAIN, QUICK, Case, Protocol, all_cases, plan
from .spirals_figure import draw, draw_both_ways
from .spirals_run import kept_case, load_kept, run_case
from .spirals_walk import draw_walk, walk

PAPER = {
    "rnn": {30: 0.3937, 50: 0.3202, 100: 0.1813},
    "latent_ode": {30: 0.1642, 50: 0.1502, 100: 0.1346},
}
SCORES = ("rmse", "median_curve", "nll", "coverage_90")
TITLES = {
    "model": "model",
    "noise": "noise",
    "observations": "observations",
    "rmse": "RMSE",
    "spread": "spread",
    "paper": "the paper's",
    "median_curve": "median curve",
    "nll": "NLL",
    "coverage_90": "cover 90 %",
    "rmse_backwards": "RMSE backwards",
    "seconds": "seconds",
    "seeds": "seeds",
}
NOTE = (
    "RMSE of x and y against the 100 noise-free points after the window, over the 100 test curves; "
    "spread is its standard deviation over the seeds, each with curves of its own. Median curve: "
    "the RMSE of the median test curve. NLL (nats a value) and coverage are of the points with "
    "noise. Backwards: the RMSE of the 100 noise-free points before the window, from a solve back "
    "in time (of the seeds that were asked it). Seconds to train, on a machine that other work ran "
    "on. All runs that are done are in the table, some with fewer seeds than others. The paper's "
    "noise and curves are not public: its figures stand beside for orientation."
)


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Train every model of every case; runs that are done are not repeated.

    With seeds, every cell of the table has them all, which takes hours: stop it when you like, for
    what matters most comes first. Without, it has those that the protocol says.
    """
    protocol = protocol or (QUICK if quick else Protocol())
    shown = Case("latent_ode", protocol.noise, min(protocol.observations))
    results: dict[str, Any] = {}
    for stage in plan(protocol, seeds):
        for case, seed in stage:
            keep = case == shown and seed == 0
            run_case(out, protocol, case, seed, progress, keep=keep)
            results = _results(out, protocol, seeds, quick)
            write_results(out, results, results["table"])
        results["walk"] = _draw(out, protocol, shown)
        write_results(out, results, results["table"])
    return answer_of(results, out)


def _draw(out: Path, protocol: Protocol, shown: Case) -> list[dict[str, Any]]:
    """The figures of the first seed, as far as its runs are done; and where the walk leads."""
    data = spirals(protocol.curves, shown.noise, shown.observations, 0)
    kept = {kind: kept_case(out, protocol, shown._replace(kind=kind), 0) for kind in KINDS}
    found = {kind: one for kind, one in kept.items() if one is not None}
    ahead = {kind: np.array(found[kind]["examples"]) for kind in MAIN if kind in found}
    if ahead:
        draw(out, data, ahead, shown.observations)
    both = {
        kind: (np.array(found[kind]["examples_backwards"]), np.array(found[kind]["examples"]))
        for kind in ("latent_ode", "latent_ode_both")
        if "examples_backwards" in found.get(kind, ())
    }
    if both:
        draw_both_ways(out, data, both, shown.observations)
    model = load_kept(out, protocol, shown, 0)
    if model is None:
        return []
    walked = walk(model, data)
    draw_walk(out, walked)
    return walked.rows()


def _results(
    out: Path, protocol: Protocol, seeds: Sequence[int] | None, quick: bool
) -> dict[str, Any]:
    done = {case: _done(out, protocol, case) for case in all_cases(protocol)}
    summary = [_row(case, runs, protocol) for case, runs in done.items() if runs]
    return {
        "command": command_of("spirals", seeds, quick),
        "protocol": asdict(protocol),
        "note": NOTE,
        "versions": versions("equinox", "optax"),
        "summary": summary,
        "runs": [
            {key: value for key, value in one.items() if not key.startswith("examples")}
            for runs in done.values()
            for one in runs
        ],
        "table": markdown_table(list(TITLES.values()), [tuple(row.values()) for row in summary]),
        "table_file": "table.md",
    }


def _done(out: Path, protocol: Protocol, case: Case) -> list[dict[str, Any]]:
    """All runs of a case that are on disk, whoever asked for them, by their seeds."""
    names = (out / "runs").glob(case.run_name("*") + ".json")
    seeds = sorted(int(path.stem.rsplit("-", 1)[1]) for path in names)
    found = (kept_case(out, protocol, case, seed) for seed in seeds)
    return [one for one in found if one is not None]


def _row(case: Case, done: list[dict[str, Any]], protocol: Protocol) -> dict[str, Any]:
    """Means over the seeds."""
    means = {name: float(np.mean([run[name] for run in done])) for name in SCORES}
    published = PAPER.get(case.kind, {}) if case.noise == protocol.noise else {}
    behind = [run["rmse_backwards"] for run in done if "rmse_backwards" in run]
    return {
        "model": KINDS[case.kind].title,
        "noise": f"{case.noise:g}",
        "observations": case.observations,
        "rmse": means["rmse"],
        "spread": float(np.std([run["rmse"] for run in done])),
        "paper": published.get(case.observations),
        "median_curve": means["median_curve"],
        "nll": means["nll"],
        "coverage_90": means["coverage_90"],
        "rmse_backwards": float(np.mean(behind)) if behind else None,
        "seconds": round(float(np.median([run["seconds"] for run in done]))),
        "seeds": len(done),
    }
