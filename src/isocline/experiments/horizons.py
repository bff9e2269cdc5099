"""Long horizons by a growing horizon and by multiple shooting; and a latent SDE where noise drives.

Three questions, each with a table. Predators and prey, noisy and irregular, are forecast from one
context over 1, 2, 4 and 8 of them: by the same model, windows, batches and steps, trained on the
whole horizon at once, on one that grows, and by multiple shooting. Where noise drives the dynamics
(a particle between two wells; the anomalies of the Pacific), a latent SDE stands beside the latent
ODE. And the forecaster has all of it as settings, on the built-in temperatures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from isocline.errors import InputError
from isocline.models import LatentODE, LatentSDE
from isocline.train import Checkpoint, Settings, train
from isocline.train.checkpoint import write_bytes

from .fitting import fit_and_score
from .horizons_figure import draw
from .horizons_table import DYNAMICS, TRAININGS, Found, summary_of
from .horizons_tracks import (
    Parts,
    Windows,
    double_well,
    pacific,
    predators,
    scores,
    training_problem,
)
from .results import answer_of, command_of, kept_run, run_name, silent, versions, write_results

FORECASTERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "growing horizon": {"growth": 0.4},
    "multiple shooting": {"shooting": 4},
    "latent SDE": {"dynamics": "sde"},
}
EXAMPLES = 3  # windows of each that are kept for the figure


@dataclass(frozen=True)
class Protocol:
    """What is run: the defaults are the experiment, smaller values a test of it.

    Attributes:
        series, density, noise: of the simulated sets: how many, observations of each a context,
            and their standard deviation.
        horizons: of predators and prey, in contexts. The noise-driven sets have one of 1.
        segment: of multiple shooting, in contexts.
        tie, growth, learning_rate, kl_weight, noise_kl_weight, sde_kl_weight: chosen on the
            validation windows; the last two on the noise-driven sets, each for its model.
        epochs, noise_epochs: of predators and prey, and of the noise-driven sets.
        draws: of a forecast that is scored.
        fitted: of the forecaster, on the built-in temperatures; none: it is left out.
        settings: of it, beside those.
    """

    series: int = 120
    density: int = 16
    noise: float = 0.1
    horizons: tuple[int, ...] = (1, 2, 4, 8)
    segment: float = 0.5
    tie: float = 0.1
    growth: float = 0.5
    driven: tuple[str, ...] = ("well", "pacific")
    seeds: int = 2
    epochs: int = 20
    noise_epochs: int = 24
    steps: int = 50
    batch: int = 32
    latent_size: int = 4
    hidden_size: int = 32
    learning_rate: float = 6e-3
    kl_weight: float = 0.01
    noise_kl_weight: float = 0.1
    sde_kl_weight: float = 1.0
    average: float = 0.98
    draws: int = 64
    fitted: dict[str, dict[str, Any]] = field(default_factory=lambda: FORECASTERS)
    settings: dict[str, Any] = field(default_factory=lambda: {"members": 1, "linear": False})


QUICK = Protocol(
    series=24,
    horizons=(2,),
    driven=("well",),
    seeds=1,
    epochs=2,
    noise_epochs=2,
    steps=10,
    batch=8,
    latent_size=2,
    hidden_size=8,
    average=0.9,
    draws=16,
    fitted={},
)


class Case(NamedTuple):
    """One model that is trained: on a set, over a horizon, how or of what kind."""

    data: str
    horizon: int
    kind: str


def cases(protocol: Protocol) -> list[Case]:
    """The three trainings at each horizon; the two dynamics on each set that noise drives."""
    long = [Case("predators", h, kind) for h in protocol.horizons for kind in TRAININGS]
    return long + [Case(data, 1, kind) for data in protocol.driven for kind in DYNAMICS]


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Train every case with every seed; runs that are done are not repeated."""
    protocol = protocol or (QUICK if quick else Protocol())
    seeds, say = seeds or range(protocol.seeds), progress or silent
    found, results = Found([], {}, {}), {}
    for job in _jobs(out, protocol, found, say):
        # A process that goes on compiling runs out of memory maps. But a job compiles only once.
        jax.clear_caches()
        for seed in seeds:
            job(seed)
            results = _results(protocol, found, list(seeds), quick)
            write_results(out, results, results["table"])
    draw(out, found.runs)
    return answer_of(results, out)


def _jobs(
    out: Path, protocol: Protocol, found: Found, say: Callable[[dict[str, Any]], None]
) -> list[Callable[[int], None]]:
    """All that is run with each seed; what is found is put to the rest."""

    def train_one(case: Case, seed: int) -> None:
        try:
            found.runs.append(_one(out, protocol, case, seed, say))
        except InputError as error:
            # A set whose file is not there is left out, and said to be.
            found.missing[case.data] = str(error)

    def fit_one(name: str, changed: dict[str, Any], seed: int) -> None:
        settings = protocol.settings | changed | {"seed": seed}
        file = run_name("sst", name, seed)
        done = fit_and_score(out, file, "sst", settings, baselines=False, progress=say)
        found.fits.setdefault(name, []).append(done)

    trained = [partial(train_one, case) for case in cases(protocol)]
    return trained + [partial(fit_one, *fit) for fit in protocol.fitted.items()]


def _results(protocol: Protocol, found: Found, seeds: list[int], quick: bool) -> dict[str, Any]:
    return {
        "command": command_of("horizons", seeds, quick),
        "protocol": asdict(protocol),
        "versions": versions("equinox", "optax", "diffrax"),
        **summary_of(cases(protocol), found),
        "table_file": "table.md",
    }


def parts_of(protocol: Protocol, data: str, seed: int) -> Parts:
    """A set of series; each seed has its own, or of a real set its own deletions."""
    if data == "pacific":
        return pacific(seed)
    make = {"predators": predators, "well": double_well}[data]
    # A context before the first origin, and half as much again as the longest horizon after it.
    length = 1.0 + (1.5 * max(protocol.horizons) if data == "predators" else 4.0)
    return make(protocol.series, length, protocol.density, protocol.noise, seed)


def windows_of(protocol: Protocol, case: Case) -> Windows:
    """Room for three standard deviations more than the mean, and origins of each series."""
    density = 12 if case.data == "pacific" else protocol.density
    known, asked = (int(n * density + 3 * (n * density) ** 0.5) for n in (1, case.horizon))
    origins = {"predators": 1, "well": 4, "pacific": 12}[case.data]
    return Windows(float(case.horizon), known, asked, origins)


def model_of(protocol: Protocol, case: Case, seed: int) -> Any:
    """The same latent ODE for all trainings; a latent SDE is made of one."""
    key = jax.random.key(seed)
    segments = round(case.horizon / protocol.segment) if case.kind == "shooting" else 0
    driven = case.kind in DYNAMICS
    ode = LatentODE(
        2 if case.data == "predators" else 1,
        protocol.latent_size,
        protocol.hidden_size,
        "attention",
        key=key,
        noise="state" if driven else "constant",
        shooting=segments,
        tie=protocol.tie,
        solver=(("rtol", 1e-3), ("atol", 1e-4), ("max_steps", 1024)),
    )
    return LatentSDE(ode, key=jax.random.fold_in(key, 1)) if case.kind == "sde" else ode


def settings_of(protocol: Protocol, case: Case) -> Settings:
    """All trainings alike; the weight of the divergence is each dynamics' own."""
    weights = {"ode": protocol.noise_kl_weight, "sde": protocol.sde_kl_weight}
    return Settings(
        epochs=protocol.noise_epochs if case.kind in DYNAMICS else protocol.epochs,
        steps=protocol.steps,
        learning_rate=protocol.learning_rate,
        patience=None,
        kl_weight=weights.get(case.kind, protocol.kl_weight),
        average=protocol.average,
        catch_up=True,
    )


def _one(
    out: Path,
    protocol: Protocol,
    case: Case,
    seed: int,
    say: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """One run: its scores, from disk if it is done."""
    name = f"{case.data}-{case.horizon}-{case.kind}-{seed}"
    shared = {key: value for key, value in asdict(protocol).items() if key not in _GRID}
    if case.data == "predators":
        shared["length"] = max(protocol.horizons)
    identity = json.dumps(shared | case._asdict() | {"seed": seed})
    path = out / "runs" / f"{name}.json"
    if (done := kept_run(path, identity)) is not None:
        return done
    parts, windows = parts_of(protocol, case.data, seed), windows_of(protocol, case)
    growth = protocol.growth if case.kind == "growing" else 0.0
    score = "crps" if case.kind in DYNAMICS else "rmse"
    checkpoint = Checkpoint(out / "checkpoints" / f"{name}.safetensors", identity)
    trained = train(
        model_of(protocol, case, seed),
        training_problem(parts, windows, protocol.batch, growth, score),
        settings_of(protocol, case),
        seed=seed,
        checkpoint=checkpoint,
        resume=True,
        progress=lambda row: say({"stage": name, **row}),
    )
    found, arrays = scores(trained.model, parts.test, windows, protocol.draws, seed)
    spent = [row["seconds"] for row in trained.history]
    done = {
        "identity": identity,
        "case": list(case),
        "seed": seed,
        **found,
        "validation": min(row["validation"] for row in trained.history),
        "best_epoch": trained.best_epoch,
        "seconds": sum(spent),
        "seconds_an_epoch": float(np.median(spent)),
        "examples": None if seed else _examples(arrays),
    }
    write_bytes(path, json.dumps(done).encode())
    checkpoint.path.unlink(missing_ok=True)
    return done


def _examples(arrays: dict[str, np.ndarray]) -> dict[str, list[Any]]:
    """What the figure shows of the first test windows."""
    return {key: np.round(array[:EXAMPLES], 3).tolist() for key, array in arrays.items()}


# What says which cases there are, and nothing about a single one.
_GRID = ("horizons", "driven", "seeds", "fitted", "settings")
