"""Stays as padded arrays: what a model reads and is asked in each task, and the scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int

from isocline.data.physionet import DESCRIPTORS, VARIABLES, Stays
from isocline.models import Context, Target
from isocline.models.latent_classifier import LatentClassifier
from isocline.train import Problem

MINUTES = 48 * 60  # one unit of model time
HALF = 0.5
CHANNELS = len(VARIABLES)
FURTHEST = 6.0  # scaled values beyond are faults, or count as this
MOST_HIDDEN = 0.7  # of a stay's rows, in training
_TAILS = (0.005, 0.995)
_IS_SERIES = np.arange(CHANNELS) >= len(DESCRIPTORS)
TASKS = ("interpolation", "extrapolation", "mortality")
PARTS = ("train", "validation", "test")


class Rows(eqx.Module):
    """Stays by the minute, padded: row 0 is that of the admission, with the descriptors.

    Arrays of NumPy in the challenge's units, of JAX once they are scaled.
    """

    times: Float[Any, "stays rows"]
    values: Float[Any, "stays rows channels"]
    mask: Bool[Any, "stays rows channels"]
    died: Int[Any, " stays"]

    def take(self, chosen: Int[Any, " chosen"]) -> Rows:
        """Some of the stays."""
        return jax.tree.map(lambda leaf: leaf[chosen], self)


class Scale(NamedTuple):
    """Mean and standard deviation of each channel, over the training stays."""

    mean: Float[np.ndarray, " channels"]
    std: Float[np.ndarray, " channels"]


def rows_of(stays: Stays) -> Rows:
    """Arrays of NumPy in the challenge's units: a variable's mean where a minute has several."""
    stay = np.repeat(np.arange(len(stays.records)), np.diff(stays.start))
    minute = stay * (MINUTES + 1) + stays.minutes
    minutes, row = np.unique(minute, return_inverse=True)
    of_row = minutes // (MINUTES + 1)
    first = np.searchsorted(of_row, np.arange(len(stays.records)))
    place = np.arange(len(minutes)) - first[of_row]
    shape = len(stays.records), int(place.max()) + 1, CHANNELS
    sums, counts = np.zeros(shape, np.float32), np.zeros(shape, np.int32)
    where = stay, place[row], stays.variable
    np.add.at(sums, where, stays.values)
    np.add.at(counts, where, 1)
    times = np.zeros(shape[:2], np.float32)
    times[of_row, place] = (minutes % (MINUTES + 1)) / MINUTES
    return Rows(times, sums / np.maximum(counts, 1), counts > 0, stays.died.astype(np.int32))


def split(count: int, seed: int) -> dict[str, Int[np.ndarray, " stays"]]:
    """Stays to train with (64 %), to choose the epoch by (16 %), and to test with (20 %)."""
    order = np.random.default_rng([seed, 2012]).permutation(count)
    ends = count * 64 // 100, count * 80 // 100
    return dict(zip(PARTS, map(np.sort, np.split(order, ends)), strict=True))


def fit_scale(rows: Rows, training: Int[np.ndarray, " stays"]) -> Scale:
    """Of the training stays alone; the furthest half percent at either end counts as the rest."""
    mean, std = np.zeros(CHANNELS), np.ones(CHANNELS)
    for channel in range(CHANNELS):
        seen = rows.values[training, :, channel][rows.mask[training, :, channel]]
        if len(seen):
            inside = np.clip(seen, *np.quantile(seen, _TAILS))
            mean[channel], std[channel] = inside.mean(), max(inside.std(), 1e-3)
    return Scale(mean, std)


def scaled(rows: Rows, scale: Scale) -> Rows:
    """The same in standard deviations from the mean, with zeros where nothing was observed."""
    values = np.clip((rows.values - scale.mean) / scale.std, -FURTHEST, FURTHEST)
    values = np.where(rows.mask, values, 0).astype(np.float32)
    return jax.tree.map(jnp.asarray, Rows(rows.times, values, rows.mask, rows.died))


def hidden_rows(rows: Rows, share: float, seed: int) -> Bool[np.ndarray, "stays rows"]:
    """A random share of each stay's rows after the first, to be asked and not read."""
    there = np.asarray(rows.mask).any(axis=2) & (np.arange(rows.times.shape[1]) > 0)
    draws = np.where(there, np.random.default_rng([seed, 1]).random(there.shape), np.inf)
    rank = draws.argsort(axis=1).argsort(axis=1)
    return rank < np.round(share * there.sum(axis=1, keepdims=True))


def problem(
    task: str, rows: Rows, parts: dict[str, Array], sizes: tuple[int, int], seed: int
) -> Problem:
    """Random stays with random rows to train with; all of the validation stays.

    Args:
        task: of `TASKS`.
        rows: scaled.
        parts: of `split`.
        sizes: stays of a batch, and rows of a stay that are used at once: of longer ones these are
            drawn anew each time.
        seed: of the rows that are hidden in the validation.
    """
    held = rows.take(parts["validation"])
    hidden = jnp.asarray(hidden_rows(held, 0.5, seed))
    training = rows.take(parts["train"])
    return Problem(
        Partial(_sample, task, sizes, training), _loss, Partial(_validate, task, held, hidden)
    )


def _sample(
    task: str, sizes: tuple[int, int], rows: Rows, key: Array
) -> tuple[Context, Target, Array]:
    batch, most = sizes
    which, when, shares, hide = jax.random.split(key, 4)
    some = rows.take(jax.random.randint(which, (batch,), 0, len(rows.times)))
    there = jnp.any(some.mask, axis=2)
    rank = jax.random.uniform(when, there.shape).at[:, 0].set(0.0)
    order = jnp.argsort(jnp.where(there, rank, jnp.inf), axis=1)[:, :most]
    kept = jnp.sort(order, axis=1)

    def pick(leaf: Array) -> Array:
        return jax.vmap(lambda one, rows: one[rows])(leaf, kept)

    chosen = Rows(pick(some.times), pick(some.values), pick(some.mask), some.died)
    share = jax.random.uniform(shares, (batch, 1), maxval=MOST_HIDDEN)
    hidden = jax.random.uniform(hide, chosen.times.shape) < share
    # Rows that are hidden keep a model from knowing the few patients who died by heart.
    of = "interpolation" if task == "mortality" else task
    context, target, _ = ask(of, chosen, hidden.at[:, 0].set(False))
    return context, target, chosen.died


def ask(
    task: str, rows: Rows, hidden: Bool[Array, "stays rows"]
) -> tuple[Context, Target, Bool[Array, "stays rows"]]:
    """What is read in a task, what is asked, and which rows of that are scored.

    Interpolation: the hidden rows are not read, and scored. Extrapolation: the first 24 hours are
    read, the others scored. Mortality: all is read and scored. All rows are asked in training.
    """
    read = {
        "interpolation": ~hidden,
        "extrapolation": rows.times <= HALF,
        "mortality": jnp.ones_like(hidden),
    }[task]
    mask = rows.mask & read[:, :, None]
    context = Context(
        rows.times, jnp.where(mask, rows.values, 0), mask, jnp.zeros((len(rows.times), 0))
    )
    scored = hidden if task == "interpolation" else rows.times > HALF
    if task == "mortality":
        scored = jnp.ones_like(hidden)
    # Descriptors are read and not asked.
    return context, Target(rows.times, rows.values, rows.mask & _IS_SERIES), scored


def _loss(model: Any, batch: tuple[Context, Target, Array], key: Array, kl_weight: Array):
    if isinstance(model, LatentClassifier):
        return model.loss(*batch, key, kl_weight)
    context, target, _ = batch
    return model.loss(context, target, key, kl_weight)


def _validate(task: str, rows: Rows, hidden: Array, model: Any) -> tuple[Array, dict[str, Array]]:
    """Mean square error of what is scored, or the log loss, of the validation stays."""
    context, target, scored = ask(task, rows, hidden)
    if task == "mortality":
        chance = model.predict_proba(context, jax.random.key(0), 8)[:, 1]
        right = jnp.where(rows.died == 1, chance, 1 - chance)
        return -jnp.mean(jnp.log(jnp.maximum(right, 1e-6))), {"auc": auc(chance, rows.died)}
    error = _errors(predict_mean(model, context, target.times, 2), target, scored)
    square = jnp.sum(error**2) / jnp.maximum(jnp.sum(target.mask & scored[:, :, None]), 1)
    return square, {}


def _errors(mean: Array, target: Target, scored: Array) -> Array:
    return jnp.where(target.mask & scored[:, :, None], mean - target.values, 0)


def predict_mean(
    model: Any, context: Context, times: Float[Array, "stays rows"], draws: int
) -> Float[Array, "stays rows channels"]:
    """The mean of so many draws, one after the other: all of them would fill the memory."""
    latent = model.latent if isinstance(model, LatentClassifier) else model

    def add(total: Array, key: Array) -> tuple[Array, None]:
        return total + latent.predict(context, times, key, 1).mean[0], None

    start = jnp.zeros((*times.shape, CHANNELS), times.dtype)
    keys = jax.random.split(jax.random.key(1), draws)
    return jax.lax.scan(add, start, keys)[0] / draws


def auc(chance: Float[Array, " stays"], died: Int[Array, " stays"]) -> Float[Array, ""]:
    """The share of pairs, one who died and one who did not, that are in the right order."""
    gap = chance[:, None] - chance
    pairs = (died[:, None] == 1) & (died == 0)
    right = (gap > 0) + 0.5 * (gap == 0)
    return jnp.sum(jnp.where(pairs, right, 0)) / jnp.maximum(jnp.sum(pairs), 1)


class Units(NamedTuple):
    """The least and the largest value of each channel: the papers scale by them."""

    least: Float[np.ndarray, " channels"]
    largest: Float[np.ndarray, " channels"]


def paper_units(rows: Rows) -> Units:
    """Over all stays, as in the papers' code. Only errors are expressed in them, after the fact."""
    least = np.where(rows.mask, rows.values, np.inf).min(axis=(0, 1))
    largest = np.where(rows.mask, rows.values, -np.inf).max(axis=(0, 1))
    seen = np.isfinite(least)
    return Units(np.where(seen, least, 0), np.where(seen & (largest != 0), largest, 1))


def squares(
    mean: np.ndarray, rows: Rows, scored: np.ndarray, scale: Scale, units: Units
) -> dict[str, float]:
    """Mean square errors of predictions, against observations in the challenge's units.

    The descriptors are left out.

    Returns:
        `mse`: of values from 0 (the least) to 1 (the largest), over all that was observed.
        `mse_paper`: as the code of Rubanova et al. (2019) has it: values are divided
        by the largest, squares are averaged for each stay and channel, and of these the mean is
        taken over all 41 channels, where those that were not observed count as 0. `rmse`: in
        standard deviations of the training stays, without what is beyond `FURTHEST` of them.
    """
    seen = np.asarray(rows.mask) & scored[:, :, None] & _IS_SERIES
    miss = np.where(seen, mean * scale.std + scale.mean - rows.values, 0).astype(np.float64)
    width = np.where(units.largest > units.least, units.largest - units.least, 1)
    by_channel = ((miss / units.largest) ** 2).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    plain = seen & (np.abs(rows.values - scale.mean) < FURTHEST * scale.std)
    return {
        "mse": float(((miss / width) ** 2).sum() / seen.sum()),
        "mse_paper": float(by_channel.mean()),
        "rmse": float(np.sqrt(((miss / scale.std) ** 2)[plain].mean())),
    }


def in_parts(
    predict: Callable[[Context, Array], Array], context: Context, times: Array, most: int = 100
) -> Float[np.ndarray, "stays rows channels"]:
    """Predictions of many stays, some at a time."""

    def part(at: int) -> np.ndarray:
        some, asked = jax.tree.map(lambda leaf: leaf[at : at + most], (context, times))
        return np.asarray(predict(some, asked))

    return np.concatenate([part(at) for at in range(0, len(times), most)])
