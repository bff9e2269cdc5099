"""Rubanova et al. 2019, tables 4 and 5: stays in intensive care, filled in, continued and judged.

Set A of the PhysioNet challenge 2012: 4,000 stays of 48 hours, 37 variables and 4 descriptors, by
the minute. A latent ODE reads a stay and is asked for rows that were hidden (interpolation), for
the second day after the first (extrapolation), or for the probability of death in hospital. The
scale of the values is that of the training stays, the epoch is chosen on the validation stays, and
each seed draws its own split: the papers do otherwise, as the note of the table says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from isocline.data.physionet import VARIABLES, load_physionet
from isocline.models import Context, Knots, LatentClassifier, LatentODE
from isocline.train import Checkpoint, Settings, train
from isocline.train.checkpoint import write_bytes

from . import physionet_tracks as tracks
from .physionet_baselines import classifiers, simple_means
from .physionet_figure import SHOWN as FIGURE
from .physionet_figure import draw
from .physionet_table import results_of
from .results import answer_of, kept_run, write_results

SPAN = Knots(1.0, 48)  # hourly
DRAWS = 16
SHOWN = 3  # stays of the figure
NO_COST = 2  # the version of the baselines, whose kept results another version does not take


# Chosen on the validation stays of the first seed. Who dies is known by heart after few epochs, so
# there the latent state may hold less.
LEARNING: dict[str, dict[str, float]] = {
    "interpolation": {
        "epochs": 60, "learning_rate": 8e-3, "kl_weight": 0.05, "weight_decay": 1e-3
    },
    "extrapolation": {
        "epochs": 30, "learning_rate": 6e-3, "kl_weight": 0.5, "weight_decay": 1e-3
    },
    "mortality": {"epochs": 20, "learning_rate": 4e-3, "kl_weight": 0.5, "weight_decay": 1e-2},
}  # fmt: skip


@dataclass(frozen=True)
class Protocol:
    """What is run: the defaults are the experiment, smaller values a test of it.

    Attributes:
        learning: of each task, some of `physionet_tracks.TASKS`: epochs, learning rate, the weight
            of the KL term and the decay of the weights.
        encoders: the first in all tasks and with all seeds, the others with the first seed in the
            tasks of `compared`.
        stays: the first so many; None: all.
        rows: of a stay that a training step uses, drawn at random; all of them in the tests.
        label_weight: of a stay's cross entropy beside the negative ELBO of a value.
        average: decay of the running average of the weights.
    """

    learning: dict[str, dict[str, float]] = field(default_factory=lambda: LEARNING)
    encoders: tuple[str, ...] = ("attention", "mtan", "rnn")
    compared: tuple[str, ...] = ("mortality",)
    stays: int | None = None
    seeds: int = 3
    batch: int = 50
    rows: int = 64
    latent_size: int = 32
    hidden_size: int = 64
    label_weight: float = 0.2
    average: float = 0.99


QUICK = Protocol(
    learning={task: own | {"epochs": 2} for task, own in LEARNING.items()},
    encoders=("attention",),
    stays=400,
    seeds=1,
    batch=32,
    rows=32,
    latent_size=8,
    hidden_size=16,
)


class Stage(NamedTuple):
    """The data of one seed: what models see (scaled) and what it is measured against."""

    rows: tracks.Rows
    scaled: tracks.Rows
    parts: dict[str, np.ndarray]
    scale: tracks.Scale
    units: tracks.Units
    hidden: np.ndarray
    seed: int


def stage_of(rows: tracks.Rows, seed: int) -> Stage:
    """Split, scale and hidden rows of a seed."""
    parts = tracks.split(len(rows.times), seed)
    scale = tracks.fit_scale(rows, parts["train"])
    hidden = tracks.hidden_rows(rows, 0.5, seed)
    return Stage(
        rows, tracks.scaled(rows, scale), parts, scale, tracks.paper_units(rows), hidden, seed
    )


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Train for every task with every seed; runs that are done are not repeated."""
    protocol = protocol or (QUICK if quick else Protocol())
    seeds = list(seeds or range(protocol.seeds))
    rows = tracks.rows_of(load_physionet().first(protocol.stays))
    stages: dict[int, Stage] = {}
    runs: list[dict[str, Any]] = []
    results: dict[str, Any] = {}
    before = ""
    for task, encoder, seed in _cases(protocol, seeds):
        if encoder != before:
            # A process that goes on compiling runs out of memory maps.
            jax.clear_caches()
        before = encoder
        stage = stages[seed] if seed in stages else stages.setdefault(seed, stage_of(rows, seed))
        if encoder == protocol.encoders[0]:
            runs += _baselines(out, stage, task)
        runs.append(_one(out, protocol, stage, (task, encoder), progress))
        results = results_of(asdict(protocol), runs, seeds, quick)
        write_results(out, results, results["table"])
    for run in runs:
        if "shown" in run:
            draw(out, run["shown"])
    return answer_of(results, out)


def _cases(protocol: Protocol, seeds: Sequence[int]) -> list[tuple[str, str, int]]:
    """Task, encoder and seed of every run."""
    first, *others = protocol.encoders
    cases = [(task, first, seed) for seed in seeds for task in protocol.learning]
    return cases + [(task, name, seeds[0]) for name in others for task in protocol.compared]


def _identity(protocol: Protocol, task: str, seed: int, encoder: str | None) -> str:
    """What a kept run must have in common with one that is asked for."""
    others = ("learning", "encoders", "compared", "seeds")
    kept = {key: value for key, value in asdict(protocol).items() if key not in others}
    own = {"task": task, "seed": seed, "encoder": encoder, **protocol.learning[task]}
    return json.dumps(kept | own)


def _one(
    out: Path,
    protocol: Protocol,
    stage: Stage,
    case: tuple[str, str],
    progress: Callable[..., None] | None,
) -> dict[str, Any]:
    """One run: its scores, from disk if it is done."""
    task, encoder = case
    name = f"{task}-{encoder}-{stage.seed}"
    identity = _identity(protocol, task, stage.seed, encoder)
    path = out / "runs" / f"{name}.json"
    if (done := kept_run(path, identity)) is not None:
        return done
    checkpoint = Checkpoint(out / "checkpoints" / f"{name}.safetensors", identity)
    parts = {part: jnp.asarray(chosen) for part, chosen in stage.parts.items()}
    trained = train(
        _model(task, encoder, protocol, stage.seed),
        tracks.problem(task, stage.scaled, parts, (protocol.batch, protocol.rows), stage.seed),
        _settings(protocol, task, len(stage.parts["train"])),
        seed=stage.seed,
        checkpoint=checkpoint,
        resume=True,
        progress=None if progress is None else lambda row: progress({"stage": name, **row}),
    )
    found = {
        "identity": identity,
        "model": f"latent ODE, {encoder} encoder",
        "task": task,
        "seed": stage.seed,
        "scores": scores(trained.model, stage, task),
        **_course(trained.history),
        "best_epoch": trained.best_epoch,
    }
    if task == "interpolation" and encoder == protocol.encoders[0] and stage.seed == 0:
        found["shown"] = _shown(trained.model, stage)
    write_bytes(path, json.dumps(found).encode())
    checkpoint.path.unlink(missing_ok=True)
    return found


def _settings(protocol: Protocol, task: str, stays: int) -> Settings:
    own = protocol.learning[task]
    return Settings(
        epochs=int(own["epochs"]),
        steps=max(stays // protocol.batch, 1),
        learning_rate=own["learning_rate"],
        weight_decay=own["weight_decay"],
        patience=None,
        kl_weight=own["kl_weight"],
        average=protocol.average,
        catch_up=True,
    )


def _course(history: list[dict[str, float]]) -> dict[str, Any]:
    """What a training tells of itself."""
    return {
        "validation": min(row["validation"] for row in history),
        "nfe": history[-1]["nfe"],
        # The first epoch compiles.
        "seconds_an_epoch": float(np.median([row["seconds"] for row in history[1:] or history])),
        "seconds": sum(row["seconds"] for row in history),
        "history": [{key: round(value, 5) for key, value in row.items()} for row in history],
    }


def _model(task: str, encoder: str, protocol: Protocol, seed: int) -> Any:
    key = jax.random.key(seed)
    sizes = protocol.latent_size, protocol.hidden_size
    latent = LatentODE(
        tracks.CHANNELS,
        *sizes,
        encoder,
        key=key,
        noise="constant",
        knots=SPAN,
        solver=(("rtol", 1e-3), ("atol", 1e-3), ("max_steps", 128)),
    )
    if task != "mortality":
        return latent
    return LatentClassifier(latent, key=jax.random.fold_in(key, 5), weight=protocol.label_weight)


@eqx.filter_jit
def _chance(model: LatentClassifier, context: Context) -> Array:
    return model.predict_proba(context, jax.random.key(1), DRAWS)[:, 1]


@eqx.filter_jit
def _predict(model: Any, context: Context, times: Array) -> Array:
    return tracks.predict_mean(model, context, times, DRAWS)


def scores(model: Any, stage: Stage, task: str) -> dict[str, float]:
    """Of the test stays."""
    chosen = stage.parts["test"]
    scaled = stage.scaled.take(chosen)
    context, target, scored = tracks.ask(task, scaled, jnp.asarray(stage.hidden[chosen]))
    found: dict[str, float] = {}
    if task == "mortality":
        chance = _chance(model, context)
        found["auc"] = float(tracks.auc(chance, scaled.died))
    predict = partial(_predict, model)
    mean = tracks.in_parts(predict, context, target.times)
    found |= _squares(mean, stage, np.asarray(scored))
    if task == "interpolation":
        context, target, scored = tracks.ask("mortality", scaled, jnp.zeros_like(scored))
        mean = tracks.in_parts(predict, context, target.times)
        found |= _reconstruction(_squares(mean, stage, np.asarray(scored)))
    return found


def _reconstruction(found: dict[str, float]) -> dict[str, float]:
    """Scores of rows that were all read, as the paper's code has it."""
    return {"mse_reconstruction": found["mse_paper"], "rmse_reconstruction": found["rmse"]}


def _squares(mean: np.ndarray, stage: Stage, scored: np.ndarray) -> dict[str, float]:
    truth = stage.rows.take(stage.parts["test"])
    return tracks.squares(mean, truth, scored, stage.scale, stage.units)


def _baselines(out: Path, stage: Stage, task: str) -> list[dict[str, Any]]:
    """What costs nothing, in one task."""
    identity = json.dumps([task, stage.seed, len(stage.rows.times), NO_COST])
    path = out / "runs" / f"{task}-baselines-{stage.seed}.json"
    if (done := kept_run(path, identity)) is not None:
        return done["runs"]
    if task == "mortality":
        found = {
            name: {"auc": score}
            for name, score in classifiers(stage.rows, stage.parts, stage.seed).items()
        }
    else:
        chosen = stage.parts["test"]
        hidden = jnp.asarray(stage.hidden[chosen])
        context, target, scored = tracks.ask(task, stage.scaled.take(chosen), hidden)
        means = simple_means(context, np.asarray(target.times))
        if task == "extrapolation":
            del means["straight line"]  # after the last observation it is the last value
        found = {name: _squares(mean, stage, np.asarray(scored)) for name, mean in means.items()}
        if task == "interpolation":
            context, target, scored = tracks.ask("mortality", stage.scaled.take(chosen), hidden)
            means = simple_means(context, np.asarray(target.times))
            for name, mean in means.items():
                found[name] |= _reconstruction(_squares(mean, stage, np.asarray(scored)))
    runs = [
        {"model": name, "task": task, "seed": stage.seed, "scores": one}
        for name, one in found.items()
    ]
    write_bytes(path, json.dumps({"identity": identity, "runs": runs}).encode())
    return runs


def _shown(model: Any, stage: Stage) -> dict[str, Any]:
    """Some test stays with their rows, and what the model makes of the half that it read."""
    chosen = stage.parts["test"][:SHOWN]
    scaled, rows = stage.scaled.take(chosen), stage.rows.take(chosen)
    hidden = stage.hidden[chosen]
    context, _, _ = tracks.ask("interpolation", scaled, jnp.asarray(hidden))
    asked = jnp.broadcast_to(jnp.linspace(0, 1, 97, dtype=jnp.float32), (len(chosen), 97))
    drawn = np.asarray(model.predict(context, asked, jax.random.key(1), DRAWS).mean)
    drawn = drawn * stage.scale.std + stage.scale.mean
    channels = [VARIABLES.index(name) for name in FIGURE]
    drawn = drawn[..., channels]
    tables = {
        "times": rows.times, "values": rows.values[..., channels],
        "mask": rows.mask[..., channels].astype(int),
        "hidden": hidden.astype(int), "asked": asked, "mean": drawn.mean(axis=0),
        "low": np.quantile(drawn, 0.05, axis=0), "high": np.quantile(drawn, 0.95, axis=0),
    }  # fmt: skip
    return {name: np.round(np.asarray(table, float), 3).tolist() for name, table in tables.items()}
