"""Chen et al. 2018, section 5.1 and table 2: forecasts of spirals from 30, 50 or 100 irregular observations.

The paper gives neither the noise nor the curves, so the protocol is ours (`isocline.data.spirals`): 1,000
curves (800 to train, 100 to validate, 100 to test), each with a start and a turn of its own, noise 0.1. A
model reads n of 100 points of a window, and forecasts the next 100. Training curves go on as noisily and as
sparsely after their window as within it; the 100 points that a test curve is scored on are without noise.
All models have the same windows, batches, steps and early stopping.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float

from isocline.data.spirals import WINDOW, Spirals, spirals
from isocline.models import Context, GRUForecaster, LatentODE, Target
from isocline.train import Checkpoint, Settings, train
from isocline.train.checkpoint import write_bytes
from isocline.train.loop import Problem

from .results import markdown_table, versions, write_results
from .spirals_figure import draw

PAPER = {"rnn": {30: 0.3937, 50: 0.3202, 100: 0.1813}, "latent_ode": {30: 0.1642, 50: 0.1502, 100: 0.1346}}
TITLES = {"rnn": "RNN", "rnn_gaps": "RNN with time differences", "latent_ode": "latent ODE"}
SCALE = 5.0  # values are divided by it: about their standard deviation
DRAWS = 16


@dataclass(frozen=True)
class Protocol:
    """What is run: the defaults are the experiment, smaller values a test of it."""

    curves: int = 1000
    noise: float = 0.1
    observations: tuple[int, ...] = (30, 50, 100)
    seeds: int = 3
    epochs: int = 200
    steps: int = 50
    batch: int = 100
    hidden_size: int = 64
    latent_size: int = 8
    learning_rate: float = 4e-3
    kl_weight: float = 0.01


QUICK = Protocol(curves=200, observations=(30,), seeds=1, epochs=4, batch=32, hidden_size=32)


class Tracks(eqx.Module):
    """Noisy observations of the window and of what follows, in time order; times in windows since its end."""

    times: Float[Array, "curves points"]
    values: Float[Array, "curves points 2"]


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: int | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Train every model for every number of observations and seed; runs that are done are not repeated."""
    protocol = protocol or (QUICK if quick else Protocol())
    seeds = seeds or protocol.seeds
    runs = []
    for seed in range(seeds):
        for observations in protocol.observations:
            for kind in TITLES:
                runs.append(_one(out, protocol, kind, observations, seed, progress))
                results = _results(protocol, runs, quick)
                write_results(out, results, results["table"])
    draw(out, spirals(protocol.curves, protocol.noise, protocol.observations[0], 0), runs, protocol.observations[0])
    return {name: results[name] for name in ("summary", "note", "table_file")} | {"out": str(out)}


def _one(out: Path, protocol: Protocol, kind: str, observations: int, seed: int, progress: Any) -> dict[str, Any]:
    """One run: its scores, from disk if it is done."""
    name = f"{kind}-{observations}-{seed}"
    identity = json.dumps(asdict(protocol) | {"observations": observations, "seeds": seed, "kind": kind})
    path = out / "runs" / f"{name}.json"
    if path.is_file() and (done := json.loads(path.read_text()))["identity"] == identity:
        return done
    data = spirals(protocol.curves, protocol.noise, observations, seed)
    settings = Settings(
        epochs=protocol.epochs,
        steps=protocol.steps,
        learning_rate=protocol.learning_rate,
        patience=None,
        kl_weight=protocol.kl_weight,
    )
    report = None if progress is None else lambda row: progress({"stage": name, **row})
    checkpoint = Checkpoint(out / "checkpoints" / f"{name}.safetensors", identity)
    problem = _problem(data, protocol, seed)
    trained = train(
        _model(kind, protocol, seed), problem, settings, seed=seed, checkpoint=checkpoint, resume=True, progress=report
    )
    mean, std, nfe = _forecast(trained.model, data, data.test)
    truth = data.future[data.test]
    scores = {
        "identity": identity,
        "kind": kind,
        "observations": observations,
        "seed": seed,
        "rmse": float(np.sqrt(np.mean((mean - truth) ** 2))),
        "coverage_90": float(np.mean(np.abs(mean - truth) < 1.6449 * std)),
        "validation": min(row["validation"] for row in trained.history),
        "best_epoch": trained.best_epoch,
        "seconds": sum(row["seconds"] for row in trained.history),
        "nfe": nfe,
        "examples": np.round(mean[:8], 3).tolist() if seed == 0 else None,
    }
    write_bytes(path, json.dumps(scores).encode())
    checkpoint.path.unlink(missing_ok=True)
    return scores


def _model(kind: str, protocol: Protocol, seed: int) -> Any:
    key = jax.random.key(seed)
    if kind == "latent_ode":
        return LatentODE(
            2, protocol.latent_size, protocol.hidden_size, "rnn", key=key, noise="constant", field_depth=2
        )
    return GRUForecaster(2, protocol.hidden_size, key=key, gaps=kind == "rnn_gaps")


def _tracks(data: Spirals, part: np.ndarray, noise: float, seed: int) -> Tracks:
    """The window's observations, then as many of what follows, with the same noise."""
    random = np.random.default_rng([seed, 1])
    count = data.times.shape[1]
    chosen = np.sort(random.permuted(np.tile(np.arange(WINDOW), (len(data.times), 1)), axis=1)[:, :count], axis=1)
    later = np.take_along_axis(data.future, chosen[..., None], axis=1)
    later = later + noise * random.standard_normal(later.shape)
    times = np.concatenate([_windows(data, data.times), _windows(data, data.future_times)[chosen]], axis=1)
    values = np.concatenate([data.values, later], axis=1) / SCALE
    return Tracks(jnp.asarray(times[part], jnp.float32), jnp.asarray(values[part], jnp.float32))


def _windows(data: Spirals, times: np.ndarray) -> np.ndarray:
    """Times in windows since the end of the window."""
    step = data.future_times[1] - data.future_times[0]
    return (times - (data.future_times[0] - step)) / (WINDOW * step)


def _problem(data: Spirals, protocol: Protocol, seed: int) -> Problem:
    training = _tracks(data, data.train, protocol.noise, seed)
    validation = _tracks(data, data.validation, protocol.noise, seed)
    return Problem(Partial(partial(_sample, protocol.batch), training), _loss, Partial(_validate, validation))


def _sample(batch: int, tracks: Tracks, key: Array) -> tuple[Context, Target]:
    """Random curves, cut at random moments of the second half of the window."""
    which, when = jax.random.split(key)
    chosen = jax.random.randint(which, (batch,), 0, len(tracks.times))
    cut = jax.random.uniform(when, (batch, 1), minval=-0.5, maxval=0.0)
    return _cut(tracks.times[chosen], tracks.values[chosen], cut)


def _cut(times: Array, values: Array, cut: Array) -> tuple[Context, Target]:
    """All that lies before the cut, and all that lies after it; padded at the end."""
    count = times.shape[1] // 2
    since = times - cut
    known = since[:, :count] <= 0
    context = Context(since[:, :count], values[:, :count] * known[..., None], _both(known), jnp.zeros((len(times), 0)))
    # The cut lies in the second half of the window: few curves have more points after it.
    index = jnp.sum(since <= 0, axis=1, keepdims=True) + jnp.arange(count * 5 // 3)
    inside = jnp.minimum(index, times.shape[1] - 1)
    ahead = jnp.take_along_axis(since, inside, axis=1)
    target_values = jnp.take_along_axis(values, inside[..., None], axis=1)
    return context, Target(ahead, target_values, _both(index < times.shape[1]))


def _both(mask: Array) -> Array:
    return jnp.broadcast_to(mask[..., None], (*mask.shape, 2))


def _loss(model: Any, batch: tuple[Context, Target], key: Array, kl_weight: Array):
    return model.loss(*batch, key, kl_weight)


def _validate(tracks: Tracks, model: Any) -> Array:
    context, target = _cut(tracks.times, tracks.values, jnp.zeros((len(tracks.times), 1)))
    prediction = model.predict(context, target.times, jax.random.key(0), DRAWS)
    missed = jnp.where(target.mask, jnp.mean(prediction.mean, axis=0) - target.values, 0)
    return SCALE * jnp.sqrt(jnp.sum(missed**2) / jnp.sum(target.mask))


def _forecast(model: Any, data: Spirals, part: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and standard deviation at the 100 points after the window, from the window's observations."""
    times = jnp.asarray(_windows(data, data.times[part]), jnp.float32)
    values = jnp.asarray(data.values[part] / SCALE, jnp.float32)
    context = Context(times, values, jnp.ones(values.shape, bool), jnp.zeros((len(part), 0)))
    # Asked about as sparsely as in training, in interleaved parts: an RNN that was trained on steps of three
    # points can not be rolled in steps of one. To a latent ODE it is all the same.
    stride = WINDOW // data.times.shape[1]
    predict = eqx.filter_jit(model.predict)
    mean, std, nfe = np.empty((len(part), WINDOW, 2)), np.empty((len(part), WINDOW, 2)), []
    for first in range(stride):
        ahead = jnp.asarray(_windows(data, data.future_times[first::stride]), jnp.float32)
        asked = jnp.broadcast_to(ahead, (len(part), len(ahead)))
        prediction = predict(context, asked, jax.random.key(1), DRAWS)
        draws = np.asarray(prediction.mean)
        mean[:, first::stride] = draws.mean(axis=0)
        noise = np.mean(np.asarray(prediction.std) ** 2, axis=0)
        std[:, first::stride] = np.sqrt(np.var(draws, axis=0) + noise)
        nfe.append(np.mean(np.asarray(prediction.nfe)))
    return SCALE * mean, SCALE * std, float(np.mean(nfe))


def _results(protocol: Protocol, runs: list[dict[str, Any]], quick: bool) -> dict[str, Any]:
    summary = []
    for kind, title in TITLES.items():
        for count in protocol.observations:
            scores = [run["rmse"] for run in runs if (run["kind"], run["observations"]) == (kind, count)]
            if scores:
                row = {"model": title, "observations": count, "rmse": float(np.mean(scores))}
                row |= {"spread": float(np.std(scores)), "seeds": len(scores)}
                summary.append(row | {"paper": PAPER.get(kind, {}).get(count)})
    titles = ("model", "observations", "RMSE", "spread", "seeds", "the paper's")
    table = markdown_table(titles, [tuple(row.values()) for row in summary])
    return {
        "command": f"isocline reproduce spirals --seeds {len({run['seed'] for run in runs})}" + (" --quick" if quick else ""),
        "protocol": asdict(protocol),
        "note": "RMSE of x and y against the 100 noise-free points after the window, on the 100 test curves. The "
        "paper's noise and curves are not public: its figures stand beside for orientation.",
        "versions": versions("equinox", "optax"),
        "summary": summary,
        "runs": [{key: value for key, value in run.items() if key != "examples"} for run in runs],
        "table": table,
        "table_file": "table.md",
    }
