"""Rubanova et al. 2019, table 3: the hopper of MuJoCo, filled in and continued.

10,000 trajectories of 200 points with 14 channels (`isocline.data.hopper`). A latent ODE reads 10,
20, 30 or 50 of 100 points and is asked for all of them (interpolation), or for the next 100
(extrapolation). One model does for all four: in each step, trajectories are read in one of these
densities, drawn at random. The scale of the values is that of the training trajectories, and the
epoch is chosen on the validation trajectories: the paper does otherwise, as the note of the table
says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from isocline.data.hopper import CHANNELS, STEP, TRAJECTORIES, load_hopper
from isocline.models import GRUForecaster, Knots, LatentODE
from isocline.models.batch import Context
from isocline.train import Checkpoint, Settings, train
from isocline.train.checkpoint import write_bytes

from . import hopper_tracks as tracks
from .hopper_baselines import simple_means
from .hopper_figure import CURVES, draw
from .hopper_figure import SHOWN as FIGURE
from .hopper_table import results_of
from .results import answer_of, kept_run, write_results

NO_COST = 1  # the version of the baselines, whose kept results another version does not take


@dataclass(frozen=True)
class Protocol:
    """What is run: the defaults are the experiment, smaller values a test of it.

    Attributes:
        trajectories: the first so many.
        encoders: all of them for `few_epochs`, the first for `epochs` as well.
        steps, batch: of an epoch, which so shows each of the training trajectories about once.
        latent_size: 15 principal components of the training windows, the paper's size, leave the
            paper's error for interpolation; 32 leave a fifth of it.
        pieces: of the latent path, which is read off between knots.
        rnn_epochs, rnn_learning_rate: of the GRU, which only continues, as filling in looks ahead.
            Its epochs take more than twice as long, so that both have about the same seconds.
        draws: of the latent state in a prediction.
        average: decay of the running average of the weights that are validated and tested.
    """

    trajectories: int = TRAJECTORIES
    tasks: tuple[str, ...] = tuple(tracks.TASKS)
    encoders: tuple[str, ...] = ("mtan", "attention", "rnn", "ode_rnn", "cde")
    seeds: int = 1
    epochs: int = 45
    few_epochs: int = 4
    rnn_epochs: int = 20
    steps: int = 112
    batch: int = 64
    latent_size: int = 32
    hidden_size: int = 100
    field_depth: int = 2
    decoder_depth: int = 1
    pieces: int = 24
    learning_rate: float = 4e-3
    rnn_learning_rate: float = 4e-3
    kl_weight: float = 0.01
    weight_decay: float = 1e-4
    average: float = 0.995
    draws: int = 8


QUICK = Protocol(
    trajectories=400,
    encoders=("mtan",),
    epochs=4,
    few_epochs=0,
    rnn_epochs=2,
    steps=20,
    batch=32,
    latent_size=8,
    hidden_size=24,
    field_depth=1,
    average=0.9,
    draws=2,
)


class Case(NamedTuple):
    """A training: the task, an encoder or "gru", and for how many epochs."""

    task: str
    model: str
    epochs: int


class Stage(NamedTuple):
    """The data of one seed: what models see (scaled) and what it is measured against."""

    values: np.ndarray
    scaled: np.ndarray
    parts: dict[str, np.ndarray]
    scale: tracks.Scale
    units: tracks.Units
    seed: int


def stage_of(values: np.ndarray, seed: int) -> Stage:
    """Split and scale of a seed."""
    parts = tracks.split(len(values), seed)
    scale = tracks.fit_scale(values[parts["train"]])
    scaled = ((values - scale.mean) / scale.std).astype(np.float32)
    return Stage(values, scaled, parts, scale, tracks.units_of(values), seed)


def cases(protocol: Protocol) -> list[Case]:
    """The paper's table first, then the encoders, with little training, beside one another."""
    first, few = protocol.encoders[0], protocol.few_epochs
    found = [Case(task, first, protocol.epochs) for task in protocol.tasks]
    if "extrapolation" in protocol.tasks:
        found.append(Case("extrapolation", "gru", protocol.rnn_epochs))
    compared = protocol.encoders if few else ()
    return found + [Case(task, name, few) for name in compared for task in protocol.tasks]


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Train for both tasks with every seed; runs that are done are not repeated."""
    protocol = protocol or (QUICK if quick else Protocol())
    seeds = list(seeds or range(protocol.seeds))
    values = load_hopper(protocol.trajectories).values
    runs: list[dict[str, Any]] = []
    results: dict[str, Any] = {}
    before: tuple = ()
    for seed in seeds:
        stage = stage_of(values, seed)
        for task in protocol.tasks:
            runs += _baselines(out, stage, task)
        for case in cases(protocol):
            if case[1:] != before:
                # A process that goes on compiling runs out of memory maps.
                jax.clear_caches()
            before = case[1:]
            runs.append(_one(out, protocol, stage, case, progress))
            results = results_of(asdict(protocol), runs, seeds, quick)
            write_results(out, results, results["table"])
    draw(out, {one["task"]: one["shown"] for one in runs if one.get("shown")})
    return answer_of(results, out)


def _identity(protocol: Protocol, case: Case, seed: int) -> str:
    """What a kept run must have in common with one that is asked for."""
    others = {"tasks", "encoders", "seeds", "epochs", "few_epochs", "rnn_epochs"}
    others |= _LATENT if case.model == "gru" else {"rnn_learning_rate"}
    kept = {key: value for key, value in asdict(protocol).items() if key not in others}
    return json.dumps(kept | case._asdict() | {"seed": seed})


_LATENT = {
    "latent_size", "field_depth", "decoder_depth", "pieces", "learning_rate", "kl_weight", "draws"
}  # fmt: skip


def _one(
    out: Path,
    protocol: Protocol,
    stage: Stage,
    case: Case,
    progress: Callable[..., None] | None,
) -> dict[str, Any]:
    """One run: its scores, from disk if it is done."""
    name = f"{case.task}-{case.model}-{case.epochs}-{stage.seed}"
    identity = _identity(protocol, case, stage.seed)
    path = out / "runs" / f"{name}.json"
    if (done := kept_run(path, identity)) is not None:
        return done
    checkpoint = Checkpoint(out / "checkpoints" / f"{name}.safetensors", identity)
    trained = train(
        _model(protocol, case, stage.seed),
        tracks.problem(
            tracks.TASKS[case.task],
            stage.scaled,
            stage.parts,
            _weights(stage),
            protocol.batch,
            stage.seed,
        ),
        _settings(protocol, case),
        seed=stage.seed,
        checkpoint=checkpoint,
        resume=True,
        progress=None if progress is None else lambda row: progress({"stage": name, **row}),
    )
    found = {
        "identity": identity,
        **case._asdict(),
        "seed": stage.seed,
        "scores": scores(trained.model, stage, case.task, protocol.draws),
        **_course(trained.history),
        "best_epoch": trained.best_epoch,
    }
    if case == cases(protocol)[protocol.tasks.index(case.task)] and not stage.seed:
        found["shown"] = _shown(trained.model, stage, case.task, protocol.draws)
    write_bytes(path, json.dumps(found).encode())
    checkpoint.path.unlink(missing_ok=True)
    return found


def _model(protocol: Protocol, case: Case, seed: int) -> Any:
    key = jax.random.key(seed)
    if case.model == "gru":
        return GRUForecaster(len(CHANNELS), protocol.hidden_size, key=key)
    return LatentODE(
        len(CHANNELS),
        protocol.latent_size,
        protocol.hidden_size,
        case.model,
        key=key,
        noise="constant",
        field_depth=protocol.field_depth,
        decoder_depth=protocol.decoder_depth,
        knots=Knots(1.0, protocol.pieces),
        solver=(("rtol", 1e-3), ("atol", 1e-3), ("max_steps", 128)),
    )


def _settings(protocol: Protocol, case: Case) -> Settings:
    is_latent = case.model != "gru"
    return Settings(
        epochs=case.epochs,
        steps=protocol.steps,
        learning_rate=protocol.learning_rate if is_latent else protocol.rnn_learning_rate,
        weight_decay=protocol.weight_decay,
        patience=None,
        kl_weight=protocol.kl_weight,
        average=protocol.average,
        catch_up=True,
    )


def _weights(stage: Stage) -> np.ndarray:
    """What a square of a scaled value counts in the validation: the test's, without its data."""
    units = tracks.units_of(stage.values[stage.parts["train"]])
    return (stage.scale.std / units.largest) ** 2


def _course(history: list[dict[str, float]]) -> dict[str, Any]:
    """What a training tells of itself."""
    return {
        "validation": min(row["validation"] for row in history),
        "nfe": history[-1]["nfe"],
        # The first epoch compiles.
        "seconds_an_epoch": float(np.median([row["seconds"] for row in history[1:] or history])),
        "seconds": sum(row["seconds"] for row in history),
        "history": [{key: round(value, 6) for key, value in row.items()} for row in history],
    }


def asked_of(
    values: np.ndarray, stage: Stage, task: str, count: int
) -> tuple[Context, tracks.Target]:
    """What is read of the test trajectories, and what is asked."""
    test, own = stage.parts["test"], tracks.TASKS[task]
    asked = jax.tree.map(jnp.asarray, tracks.asking(own, len(test), stage.seed))
    return tracks.ask(own, jnp.asarray(values[test]), asked, jnp.full(len(test), count))


def scores(model: Any, stage: Stage, task: str, draws: int) -> dict[str, dict[str, float]]:
    """Of the test trajectories, for each number of points that are read."""
    found = {}
    for count in tracks.COUNTS:
        context, target = asked_of(stage.scaled, stage, task, count)
        mean, std = tracks.predict(model, context, target.times, draws)
        miss = np.abs(mean - np.asarray(target.values))
        _, truth = asked_of(stage.values, stage, task, count)
        mean = mean * stage.scale.std + stage.scale.mean
        found[str(count)] = tracks.squares(mean, np.asarray(truth.values), stage.units) | {
            "coverage_90": float(np.mean(miss < 1.6449 * std))
        }
    return found


def _baselines(out: Path, stage: Stage, task: str) -> list[dict[str, Any]]:
    """What costs nothing, in one task."""
    identity = json.dumps([task, stage.seed, len(stage.values), NO_COST])
    path = out / "runs" / f"{task}-baselines-{stage.seed}.json"
    if (done := kept_run(path, identity)) is not None:
        return done["runs"]
    training = stage.values[stage.parts["train"]]
    mean = training.mean(axis=(0, 1)) if task == "interpolation" else training.mean(axis=0)[-100:]
    found: dict[str, dict[str, Any]] = {}
    for count in tracks.COUNTS:
        context, target = asked_of(stage.values, stage, task, count)
        times, truth = np.asarray(target.times, float), np.asarray(target.values)
        for name, own in simple_means(task, context, times, mean, tracks.WINDOW * STEP).items():
            found.setdefault(name, {})[str(count)] = tracks.squares(own, truth, stage.units)
    runs = [
        {"model": name, "task": task, "epochs": None, "seed": stage.seed, "scores": one}
        for name, one in found.items()
    ]
    write_bytes(path, json.dumps({"identity": identity, "runs": runs}).encode())
    return runs


def _shown(model: Any, stage: Stage, task: str, draws: int) -> dict[str, Any]:
    """Some test trajectories, and what the model makes of the fewest points, in their units."""
    context, target = asked_of(stage.scaled, stage, task, min(tracks.COUNTS))
    context, target = jax.tree.map(lambda leaf: leaf[:CURVES], (context, target))
    mean, std = tracks.predict(model, context, target.times, draws)
    channels = [CHANNELS.index(name) for name in FIGURE]
    shift, scale = stage.scale.mean[channels], stage.scale.std[channels]

    def own(scaled: Any) -> np.ndarray:
        return np.asarray(scaled)[..., channels] * scale + shift

    tables = {
        "times": context.times, "values": own(context.values),
        "mask": context.mask[..., 0], "asked": target.times, "truth": own(target.values),
        "mean": own(mean), "spread": 1.6449 * std[..., channels] * scale,
    }  # fmt: skip
    return {name: np.round(np.asarray(table, float), 4).tolist() for name, table in tables.items()}
