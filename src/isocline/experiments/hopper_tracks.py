"""Trajectories of the hopper: what a model reads and is asked in each task, and the errors."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from isocline.models import Context, Prediction, Target
from isocline.models.likelihood import moments
from isocline.train import Problem

PARTS = ("train", "validation", "test")
WINDOW = 100  # points that may be read, and one unit of model time
COUNTS = (10, 20, 30, 50)  # of these that are read, in per cent as well
MOST = max(COUNTS)
NO_SEASON = 0


class Task(NamedTuple):
    """What a task asks, in points since the first that may be read.

    Attributes:
        state: where the latent state lies.
        ahead: the first of the 100 points that are asked.
        places: where a window may begin: at one of the first so many points of a trajectory.
    """

    state: Any
    ahead: Any
    places: Any


POINTS = 2 * WINDOW
TASKS = {
    "interpolation": Task(0, 0, POINTS - WINDOW + 1),
    "extrapolation": Task(WINDOW - 1, WINDOW, 1),
}


class Scale(NamedTuple):
    """Mean and standard deviation of each channel, over the training trajectories."""

    mean: Float[np.ndarray, " channels"]
    std: Float[np.ndarray, " channels"]


class Units(NamedTuple):
    """The least and the largest value of each channel."""

    least: Float[np.ndarray, " channels"]
    largest: Float[np.ndarray, " channels"]


def split(count: int, seed: int) -> dict[str, Int[np.ndarray, " trajectories"]]:
    """Trajectories to train with (72 %), to choose the epoch by (8 %), and to test with (20 %)."""
    order = np.random.default_rng([seed, 2019]).permutation(count)
    ends = count * 72 // 100, count * 80 // 100
    return dict(zip(PARTS, map(np.sort, np.split(order, ends)), strict=True))


def fit_scale(values: Float[np.ndarray, "trajectories points channels"]) -> Scale:
    """Of the trajectories that are given."""
    return Scale(values.mean(axis=(0, 1), dtype=float), values.std(axis=(0, 1), dtype=float))


def units_of(values: Float[np.ndarray, "trajectories points channels"]) -> Units:
    """Of the trajectories that are given. The paper's errors are relative to those of all."""
    return Units(*(np.asarray(end(values, axis=(0, 1)), float) for end in (np.min, np.max)))


class Asking(eqx.Module):
    """Which points of some trajectories are read: the earlier in an order, the sooner.

    Attributes:
        start: the first point of each window.
        draws: the order of its points; who reads more reads the same ones too.
    """

    start: Int[Any, " trajectories"]
    draws: Float[Any, "trajectories window"]


def asking(task: Task, count: int, seed: int) -> Asking:
    """Windows and orders to validate and to test with."""
    random = np.random.default_rng([seed, 1])
    draws = random.random((count, WINDOW)).astype(np.float32)
    return Asking(random.integers(0, task.places, size=count), draws)


def ask(
    task: Task,
    values: Float[Array, "trajectories points channels"],
    asked: Asking,
    counts: Int[Array, " trajectories"],
) -> tuple[Context, Target]:
    """What is read, and what is asked, in windows since the time of the latent state.

    Interpolation: some points of a window of 100 are read, and all of them asked; the state lies at
    the first. Extrapolation: some of the first 100 points are read, and the 100 after them asked;
    the state lies at the last that may be read.
    """
    order = jnp.argsort(asked.draws, axis=1)[:, :MOST]
    place = jnp.where(jnp.arange(MOST) < counts[:, None], order, WINDOW)
    place = jnp.sort(place, axis=1)
    read = place < WINDOW
    place = jnp.minimum(place, WINDOW - 1)
    ahead = jnp.broadcast_to(task.ahead + jnp.arange(WINDOW), (len(place), WINDOW))

    def rows(index: Array) -> tuple[Array, Array]:
        at = (index + asked.start[:, None])[:, :, None]
        return (index - task.state) / WINDOW, jnp.take_along_axis(values, at, axis=1)

    times, found = rows(place)
    mask = jnp.broadcast_to(read[:, :, None], found.shape)
    phase = jnp.zeros((len(times), NO_SEASON))
    context = Context(times, jnp.where(mask, found, 0), mask, phase)
    times, found = rows(ahead)
    return context, Target(times, found, jnp.ones(found.shape, bool))


def problem(
    task: Task,
    values: Float[np.ndarray, "trajectories points channels"],
    parts: dict[str, Int[np.ndarray, " trajectories"]],
    weights: Float[np.ndarray, " channels"],
    batch: int,
    seed: int,
) -> Problem:
    """Random windows of the training trajectories, of which random points are read.

    Args:
        values: scaled.
        weights: of each channel's mean square in the validation error.
        batch: trajectories of a step; how many points are read of each is drawn from `COUNTS`.
        seed: of what is read in the validation, where the counts take turns.
    """
    held = parts["validation"]
    # As arrays: what is compiled for one task does for the other.
    task, asked = jax.tree.map(jnp.asarray, (task, asking(task, len(held), seed)))
    training, held = jnp.asarray(values[parts["train"]]), jnp.asarray(values[held])
    return Problem(
        Partial(_sample, batch, task, training),
        _loss,
        Partial(_validate, task, held, asked, jnp.asarray(weights, jnp.float32)),
    )


def _sample(batch: int, task: Task, values: Array, key: Array) -> tuple[Context, Target]:
    which, when, where, many = jax.random.split(key, 4)
    chosen = jax.random.randint(which, (batch,), 0, len(values))
    start = jax.random.randint(when, (batch,), 0, task.places)
    counts = jax.random.choice(many, jnp.asarray(COUNTS), (batch,))
    asked = Asking(start, jax.random.uniform(where, (batch, WINDOW)))
    return ask(task, values[chosen], asked, counts)


def _loss(model: Any, batch: tuple[Context, Target], key: Array, kl_weight: Array):
    return model.loss(*batch, key, kl_weight)


def _validate(task: Task, values: Array, asked: Asking, weights: Array, model: Any) -> Array:
    """Mean square error of the validation trajectories, as the test has it."""
    turns = jnp.resize(jnp.asarray(COUNTS), (len(values),))
    context, target = ask(task, values, asked, turns)
    mean = jnp.mean(model.predict(context, target.times, jax.random.key(0), 2).mean, axis=0)
    return jnp.mean(weights * (mean - target.values) ** 2)


@eqx.filter_jit
def _predict(model: Any, context: Context, times: Array, draws: int) -> tuple[Array, Array]:
    prediction: Prediction = model.predict(context, times, jax.random.key(1), draws)
    return moments(prediction)


def predict(
    model: Any, context: Context, times: Array, draws: int, most: int = 200
) -> tuple[Float[np.ndarray, "trajectories window channels"], ...]:
    """Mean and standard deviation of so many draws, still scaled; some trajectories at a time."""

    def part(at: int) -> tuple[Array, Array]:
        some, asked = jax.tree.map(lambda leaf: leaf[at : at + most], (context, times))
        return jax.tree.map(np.asarray, _predict(model, some, asked, draws))

    parts = [part(at) for at in range(0, len(times), most)]
    mean, std = (np.concatenate(each) for each in zip(*parts, strict=True))
    return mean, std


def squares(
    mean: Float[np.ndarray, "trajectories window channels"],
    truth: Float[np.ndarray, "trajectories window channels"],
    units: Units,
) -> dict[str, float]:
    """Mean square errors over all points and channels, in the simulation's units.

    Returns:
        `mse`: of values from 0 (the least) to 1 (the largest). `mse_paper`: as the code of Rubanova
        et al. (2019) has it, which subtracts the least value and divides by the largest.
    """
    by_channel = ((mean - truth.astype(float)) ** 2).mean(axis=(0, 1))
    width = units.largest - units.least
    return {
        "mse": float((by_channel / width**2).mean()),
        "mse_paper": float((by_channel / units.largest**2).mean()),
    }
