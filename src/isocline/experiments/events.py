"""Chen et al. 2018, section 5.1, on real events: when blood is drawn in intensive care.

The paper shows its Poisson process on a toy alone. Here the events of a stay (PhysioNet 2012, set
A) are the minutes within 48 hours at which a laboratory value was taken. Models are compared by the
log density of the times of stays that they were not fitted to. What they are compared with is what
such counts are modelled by: a rate that is the same for all, one of each stay (gamma distributed,
so that its density is closed), and both times the course over the stay that all have in common.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from isocline.data.physionet import VARIABLES, Stays, load_physionet
from isocline.estimators import EventIntensity
from isocline.evaluation.point_processes import event_baselines
from isocline.train.checkpoint import write_bytes

from .events_figure import draw
from .results import (
    answer_of,
    command_of,
    kept_run,
    markdown_table,
    silent,
    versions,
    write_results,
)

HOURS = 48.0
LABORATORY = (
    "ALP", "ALT", "AST", "Albumin", "BUN", "Bilirubin", "Cholesterol", "Creatinine", "Glucose",
    "HCO3", "HCT", "K", "Lactate", "Mg", "Na", "PaCO2", "PaO2", "Platelets", "SaO2", "TroponinI",
    "TroponinT", "WBC", "pH",
)  # fmt: skip
CELLS = 96  # of the common course: half an hour each
PROCESSES = {"constant": "constant", "course": "course", "own": "stay", "own_course": "stay_course"}
SHOWN = 4  # stays of the figure
TITLES = {
    "constant": "one rate for all",
    "course": "one rate for all, and the common course",
    "stay": "a rate for each stay",
    "stay_course": "a rate for each stay, and the common course",
    "latent_ode": "latent ODE, its rate driven by the state",
}
NOTE = (
    "Log density of the times (in hours) of a stay's blood samples, mean over the test stays, in "
    "nats; higher is better. Mean and standard deviation over seeds, each with a split of its own "
    "(60 % to fit, 20 % to choose the epoch, 20 % to test). The latent ODE's is a lower bound (of "
    "64 draws), the others are exact; these are fitted to both of its first parts."
)


@dataclass(frozen=True)
class Protocol:
    """What is run: the defaults are the experiment, smaller values a test of it.

    Attributes:
        stays: so many of the first; all if None.
        epochs: of the latent ODE; all else is as `EventIntensity` has it.
        draws: of the bound of a test stay.
    """

    stays: int | None = None
    epochs: int = 60
    draws: int = 64
    seeds: tuple[int, ...] = (0, 1, 2)


QUICK = Protocol(stays=150, epochs=2, draws=4, seeds=(0,))


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Fit all models with every seed; runs that are done are not repeated."""
    protocol = protocol or (QUICK if quick else Protocol())
    stays = samples_of(load_physionet().first(protocol.stays))
    chosen = protocol.seeds if seeds is None else tuple(seeds)
    runs = [_run(out, protocol, stays, seed, progress or silent) for seed in chosen]
    summary = [_row(name, runs) for name in TITLES]
    titles = ["model", "log density", "spread", "above one rate for all, per sample"]
    cells = [tuple(row.values()) for row in summary]
    results = {
        "command": command_of("events", seeds, quick),
        "protocol": asdict(protocol),
        "note": NOTE,
        "versions": versions("equinox", "optax"),
        "summary": summary,
        "runs": [{key: one[key] for key in one if key != "shown"} for one in runs],
        "table": markdown_table(titles, cells),
        "table_file": "table.md",
    }
    draw(out, runs[0]["shown"])
    write_results(out, results, results["table"])
    return answer_of(results, out)


def samples_of(stays: Stays) -> list[Float[np.ndarray, " samples"]]:
    """When blood was drawn in each stay, in hours since admission."""
    wanted = np.isin(stays.variable, [VARIABLES.index(name) for name in LABORATORY])
    spans = zip(stays.start[:-1], stays.start[1:], strict=True)
    return [np.unique(stays.minutes[begin:end][wanted[begin:end]]) / 60.0 for begin, end in spans]


def _run(
    out: Path,
    protocol: Protocol,
    stays: list[Float[np.ndarray, " samples"]],
    seed: int,
    say: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    model = EventIntensity(epochs=protocol.epochs, validation=0.25, seed=seed)
    # All settings: a run of before other defaults is another run.
    of_all = {"seed": seed, "seeds": None, "settings": model.get_params()}
    identity = json.dumps(asdict(protocol) | of_all)
    path = out / "runs" / f"{seed}.json"
    done = kept_run(path, identity)
    if done is not None:
        return done
    jax.clear_caches()
    order = np.random.default_rng(seed).permutation(len(stays))
    fitted = round(0.8 * len(order))
    known, test = ([stays[i] for i in part] for part in (order[:fitted], order[fitted:]))
    model.fit(known, HOURS, progress=lambda row: say({"stage": f"seed {seed}", **row}))
    scores = baselines(known, test) | {"latent_ode": model.score(test, protocol.draws)}
    hours = np.linspace(0, HOURS, 97)
    shown = sorted(test, key=len)[len(test) // (2 * SHOWN) :: len(test) // SHOWN][:SHOWN]
    done = {
        "identity": identity,
        "seed": seed,
        "scores": scores,
        "validation": min(row["validation"] for row in model.history_),
        "samples": float(np.mean([len(stay) for stay in test])),
        "seconds": sum(row["seconds"] for row in model.history_),
        "shown": {
            "hours": hours.tolist(),
            "unknown": model.rate(hours).tolist(),
            "mean": np.histogram(np.concatenate(test), 24, (0, HOURS))[0].tolist(),
            "stays": len(test),
            "samples": [stay.tolist() for stay in shown],
            "rates": [model.rate(hours, stay).tolist() for stay in shown],
        },
    }
    write_bytes(path, json.dumps(done).encode())
    return done


def baselines(
    known: list[Float[np.ndarray, " samples"]], test: list[Float[np.ndarray, " samples"]]
) -> dict[str, float]:
    """Mean log densities of the test stays by the Poisson processes that all are compared with."""
    found = event_baselines(known, test, HOURS, CELLS)
    return {PROCESSES[name]: float(values.mean()) for name, values in found.items()}


def _row(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    found = np.array([one["scores"][name] for one in runs])
    gains = [(one["scores"][name] - one["scores"]["constant"]) / one["samples"] for one in runs]
    return {
        "model": TITLES[name],
        "log_density": float(found.mean()),
        "spread": float(found.std()),
        "gain": float(np.mean(gains)),
    }
