"""The tables and figures of papers, and our benchmarks: each is one file, run by name.

`names(kind)` and `run(name, ...)` are all that the command line needs; a new experiment is one more
row.
"""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

from isocline.errors import InputError


class Entry(NamedTuple):
    """An experiment: what asks for it, its module here, and one line about it."""

    kind: Literal["reproduce", "bench"]
    module: str
    summary: str


EXPERIMENTS = {
    "spirals": Entry(
        "reproduce", "spirals", "Chen et al. 2018, table 2: RNN and latent ODE on irregular spirals"
    ),
    "forecasts": Entry(
        "reproduce", "forecasts", "The forecaster against the baselines on the built-in real series"
    ),
    "coverage": Entry(
        "reproduce", "coverage", "How far the coverage of one test part is off by chance alone"
    ),
    "fitness": Entry(
        "reproduce", "fitness", "What series the forecaster is good for: defaults on 21 sets"
    ),
    "physionet": Entry(
        "reproduce",
        "physionet",
        "Rubanova et al. 2019, tables 4 and 5: stays in intensive care, and who dies",
    ),
    "events": Entry(
        "reproduce",
        "events",
        "Chen et al. 2018, section 5.1: when blood is drawn, as point processes",
    ),
    "hopper": Entry(
        "reproduce",
        "hopper",
        "Rubanova et al. 2019, table 3: MuJoCo's hopper, filled in and continued",
    ),
    "encoders": Entry(
        "reproduce", "encoders", "Encoders of the latent ODE by the backtest on real series"
    ),
    "horizons": Entry(
        "reproduce",
        "horizons",
        "Long horizons: plain, growing, multiple shooting; a latent SDE where noise drives",
    ),
    "mnist": Entry(
        "reproduce", "mnist", "Chen et al. 2018, table 1: ODE-Net, ResNets and others on MNIST"
    ),
    "fashion": Entry("reproduce", "fashion", "The same networks on Fashion-MNIST"),
    "digits": Entry("reproduce", "digits", "The same networks on 1,437 small digits"),
    "depth": Entry(
        "reproduce", "depth", "Memory against depth, and evaluations backward against forward"
    ),
    "flows": Entry(
        "reproduce",
        "flows",
        "Chen et al. 2018, figures 4 and 5: planar flows of K layers and CNFs of M units",
    ),
    "densities": Entry(
        "reproduce",
        "densities",
        "Flows on densities of the plane: how far above the entropy floor, NFE, and time",
    ),
    "regularizers": Entry(
        "reproduce",
        "regularizers",
        "What makes a flow straight: RNODE, OT-Flow, and pairs from optimal transport",
    ),
    "tabular": Entry(
        "reproduce", "tabular", "Densities of real tables: flows beside Gaussians and mixtures"
    ),
    "anomalies": Entry(
        "reproduce", "anomalies", "Anomalies by their log-density, beside scikit-learn's detectors"
    ),
    "logdet": Entry(
        "reproduce", "logdet", "Cost of a log-determinant against the size, and errors of densities"
    ),
    "solvers": Entry(
        "bench",
        "bench_solvers",
        "Forward and gradient of one solve: us and the peers, side by side",
    ),
    "odenet": Entry(
        "bench", "bench_odenet", "A training step of an ODE-Net on MNIST: ours and torchdiffeq's"
    ),
    "cnf": Entry(
        "bench", "bench_cnf", "Training a CNF on two circles: ours and torchdiffeq's example"
    ),
    "ffjord": Entry(
        "bench", "bench_ffjord", "Training a CNF on circles and a table: ours and FFJORD's recipe"
    ),
    "series": Entry(
        "bench", "bench_series", "Memory and time of the forecaster from 10 to 1,000 series"
    ),
    "latent": Entry(
        "bench", "bench_latent", "Training a latent ODE on spirals: ours and two public codes"
    ),
    "detest": Entry(
        "bench", "bench_detest", "DETEST: evaluations for equal error, ours and SciPy's"
    ),
}


def names(kind: str) -> dict[str, str]:
    """The experiments of a kind ("reproduce" or "bench"), and a line about each."""
    return {name: entry.summary for name, entry in EXPERIMENTS.items() if entry.kind == kind}


def run(
    name: str,
    *,
    out: str | Path | None = None,
    quick: bool = False,
    seeds: int | None = None,
    seed: int | None = None,
    resume: bool = True,
    cases: Sequence[str] = (),
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Run an experiment, and write its numbers and figures.

    Args:
        name: a key of `EXPERIMENTS`.
        out: folder for results.json, table.md and figures; `results/NAME` if not given.
        quick: a small version, to see that it runs.
        seeds: how many seeds, where the experiment has any; its own number if neither this nor
            `seed` is given.
        seed: the first of them; the only one, if `seeds` is not given.
        resume: keep what an earlier run has done, and go on where it stopped.
        cases: only these, where it has any; what `out` holds of others stays.
        progress: called with a row of numbers now and then.

    Raises:
        InputError: there is no such experiment, or it has no such cases.
    """
    if name not in EXPERIMENTS:
        raise InputError(f"There is no experiment {name!r}; there are: {', '.join(EXPERIMENTS)}.")
    module = import_module(f".{EXPERIMENTS[name].module}", __name__)
    some = {"cases": cases} if cases else {}
    if some.keys() - inspect.signature(module.run).parameters.keys():
        raise InputError(f"The experiment {name!r} has no cases to choose from.")
    folder = Path("results", f"{name}-quick" if quick else name) if out is None else Path(out)
    if not resume:
        for kept in ("runs", "checkpoints"):
            shutil.rmtree(folder / kept, ignore_errors=True)
    return module.run(folder, quick=quick, seeds=_seeds(seed, seeds), progress=progress, **some)


def _seeds(first: int | None, count: int | None) -> range | None:
    """Which seeds that asks for; None for the experiment's own."""
    if first is count is None:
        return None
    first = first or 0
    return range(first, first + (count or 1))
