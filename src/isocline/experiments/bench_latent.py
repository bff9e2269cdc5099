"""Training a latent ODE on spirals: two public codes and ours, in one run on the same curves.

The curves and the score are those of `isocline reproduce spirals` (30 of 100 points observed, noise
0.1; the next 100 points without noise are the targets). Every code reads the same observations of
the window, and learns from the same observations of what follows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from isocline.data.spirals import WINDOW, Spirals, spirals
from isocline.models import LatentODE
from isocline.models.latent_ode import SOLVER
from isocline.train import Settings, train

from .bench.torch_latent import EXAMPLE, RUBANOVA, Grid, Recipe, make_trainer
from .results import answer_of, markdown_table, silent, versions, write_results
from .spirals_tracks import SCALE, continuations, forecast, training_problem

PEERS = {"torchdiffeq's example": EXAMPLE, "latent_ode (Rubanova et al.)": RUBANOVA}
NOTE = (
    "{train} training curves, {n} of 100 points of the window and of what follows, noise {noise}. "
    "An epoch is one pass over {train} curves; its seconds are the median, compiling apart. RMSE "
    "against the noise-free continuations of {test} test curves, with the weights of the epoch "
    "that was best on the validation curves. The public codes were written anew for these curves "
    "and trained for {seconds:g} s each. The example and the first of ours have a plain RNN for an "
    "encoder and take one step an epoch, it with all curves, ours with as many drawn at random; "
    "the others have gated units and take a step for each 50. Ours count the validation as well."
)


class Own(NamedTuple):
    """A model of ours, and its training.

    Attributes:
        latent, hidden: sizes.
        batch: curves a step (None: as many as there are to learn from).
        turns, steps: tried on the validation curves so often, each time after so many steps.
        encoder, method: of the model, and of its solver.
    """

    latent: int
    hidden: int
    batch: int | None
    turns: int
    steps: int
    encoder: str = "rnn"
    method: str = "tsit5"


OURS = {
    "isocline, a step an epoch": Own(4, 20, None, 150, 20, "tanh_rnn", "bosh3"),
    "isocline": Own(8, 64, 50, 100, 50),
}


@dataclass(frozen=True)
class Protocol:
    """What is run.

    Attributes:
        seconds: of training that each public code is given.
        looks: how often within that time it is tried on the validation curves.
        ours: our models by name.
    """

    curves: int = 1000
    observations: int = 30
    noise: float = 0.1
    seconds: float = 300.0
    looks: int = 20
    ours: dict[str, Own] = field(default_factory=lambda: OURS)


QUICK = Protocol(
    curves=40,
    seconds=1.0,
    looks=1,
    ours={name: own._replace(hidden=8, turns=2, steps=4) for name, own in OURS.items()},
)


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Train the public codes for so long, then ours."""
    protocol, seed = protocol or (QUICK if quick else Protocol()), (seeds or [0])[0]
    data = spirals(protocol.curves, protocol.noise, protocol.observations, seed)
    say, rows = progress or silent, []
    for name, recipe in PEERS.items() if find_spec("torchdiffeq") is not None else ():
        rows.append({"name": name, **_theirs(name, recipe, protocol, data, seed, say)})
    for name, own in protocol.ours.items():
        rows.append({"name": name, **_ours(name, own, data, seed, protocol.noise, say)})
    table = _table(rows, list(protocol.ours))
    results = {
        "command": "isocline bench latent" + " --quick" * quick,
        "protocol": asdict(protocol),
        "note": NOTE.format(
            train=len(data.train),
            test=len(data.test),
            n=protocol.observations,
            noise=protocol.noise,
            seconds=protocol.seconds,
        ),
        "versions": versions("jaxlib", "equinox", "torch", "torchdiffeq"),
        "summary": [{k: v for k, v in row.items() if k != "course"} for row in rows],
        "runs": rows,
        "table": table,
        "table_file": "table.md",
    }
    write_results(out, results, table)
    return answer_of(results, out)


def _table(rows: list[dict[str, Any]], ours: list[str]) -> str:
    """What each cost, and how many epochs of each of ours one epoch of it takes."""
    beside = [f"over {name}" for name in ours]
    own = {row["name"]: row["epoch_seconds"] for row in rows}
    titles = ["", "test RMSE", "epochs", "s to train", "s an epoch", *beside, "compile, s"]
    cells = [
        (
            row["name"],
            f"{row['rmse']:.3f}",
            f"{row['epochs']:.0f}",
            f"{row['seconds']:.0f}",
            f"{row['epoch_seconds']:.2f}",
            *(f"{row['epoch_seconds'] / own[name]:.1f}" for name in ours),
            None if row["compile"] is None else f"{row['compile']:.0f}",
        )
        for row in rows
    ]
    return markdown_table(titles, cells)


def grid_of(data: Spirals, part: np.ndarray, noise: float, seed: int) -> Grid:
    """The window's observations, and those that training curves have after it, on one grid."""
    step = data.future_times[1] - data.future_times[0]
    chosen, later = continuations(data, noise, seed)
    curves = np.arange(len(data.times))[:, None]
    values = np.zeros((len(data.times), 2 * WINDOW, 2), np.float32)
    mask = np.zeros(values.shape[:2], bool)
    for places, found in (
        (np.rint(data.times / step).astype(int), data.values),
        (WINDOW + chosen, later),
    ):
        values[curves, places], mask[curves, places] = found / SCALE, True
    times = np.arange(2 * WINDOW, dtype=np.float32) / WINDOW
    return Grid(times, values[part], mask[part], WINDOW)


def _theirs(
    name: str,
    recipe: Recipe,
    protocol: Protocol,
    data: Spirals,
    seed: int,
    say: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Train until the time is over; the test counts where the validation curves were met best."""
    parts = [
        grid_of(data, part, protocol.noise, seed)
        for part in (data.train, data.validation, data.test)
    ]
    epoch, predict = make_trainer(recipe, parts[0], seed)
    seconds: list[float] = []
    course: list[tuple[float, float, float]] = []

    def look() -> None:
        found = [SCALE * predict(part)[:, WINDOW:] for part in parts[1:]]
        truth = SCALE * parts[1].values[:, WINDOW:]
        seen = parts[1].mask[:, WINDOW:]
        validation = np.sqrt(np.mean((found[0] - truth)[seen] ** 2))
        test = np.sqrt(np.mean((found[1] - data.future[data.test]) ** 2))
        course.append((float(sum(seconds)), float(validation), float(test)))
        say({"stage": name, "epoch": len(seconds), "validation": course[-1][1]})

    while sum(seconds) < protocol.seconds:
        began = time.perf_counter()
        epoch()
        seconds.append(time.perf_counter() - began)
        if sum(seconds) >= (len(course) + 1) * protocol.seconds / protocol.looks:
            look()
    look()
    return {
        "rmse": min(course, key=lambda row: row[1])[2],
        "epochs": len(seconds),
        "seconds": sum(seconds),
        "epoch_seconds": float(np.median(seconds)),
        "compile": None,
        "course": course,
    }


def _ours(
    name: str,
    own: Own,
    data: Spirals,
    seed: int,
    noise: float,
    say: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """As in `isocline reproduce spirals`."""
    model = LatentODE(
        2,
        own.latent,
        own.hidden,
        own.encoder,
        key=jax.random.key(seed),
        noise="constant",
        field_depth=2,
        solver=(("method", own.method), *SOLVER),
    )
    batch = own.batch or len(data.train)
    trained = train(
        model,
        training_problem(data, noise, batch, 0.0, seed),
        Settings(
            epochs=own.turns,
            steps=own.steps,
            learning_rate=8e-3,
            patience=None,
            kl_weight=0.01,
            average=0.99,
        ),
        seed=seed,
        progress=lambda row: say({"stage": name, **row}),
    )
    seconds = [row["seconds"] for row in trained.history]
    usual = float(np.median(seconds[1:]))
    passes = own.steps * batch / len(data.train)
    mean = forecast(trained.model, data, data.test).mean.mean(axis=0)
    return {
        "rmse": float(np.sqrt(np.mean((mean - data.future[data.test]) ** 2))),
        "epochs": len(seconds) * passes,
        "seconds": usual * len(seconds),
        "epoch_seconds": usual / passes,
        "compile": max(seconds[0] - usual, 0.0),
        "course": [row["validation"] for row in trained.history],
    }
