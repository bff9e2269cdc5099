"""Spirals as training windows, and what models make of the test curves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int

from isocline.data.spirals import WINDOW, Spirals
from isocline.models import Context, Target
from isocline.train import Problem, growing_horizon

SCALE = 5.0  # values are divided by it: about their standard deviation
DRAWS = 16
NO_SEASON = 0


class Tracks(eqx.Module):
    """Noisy observations of the window and of what is beyond; times in windows since its end."""

    times: Float[Array, "curves points"]
    values: Float[Array, "curves points 2"]
    observations: int = eqx.field(static=True)


def _loss(model: Any, batch: tuple[Context, Target], key: Array, kl_weight: Array):
    return model.loss(*batch, key, kl_weight)


def training_problem(
    data: Spirals,
    noise: float,
    batch: int,
    growth: float,
    seed: int,
    *,
    both_ways: bool = False,
    loss: Callable[..., Any] = _loss,
) -> Problem:
    """Random cuts of the training curves; validation curves are cut where the window ends.

    Args:
        data, noise, seed: the curves, and how they are observed after their window.
        batch: windows in a batch.
        growth: the horizon grows over this fraction of the training.
        both_ways: curves are observed before their window as well, and all that lies before the cut
            is asked too: what was read, and what came before that.
        loss: as in `Problem`; of one way.
    """
    training, validation = (
        _tracks(data, part, noise, seed, both_ways) for part in (data.train, data.validation)
    )
    if both_ways:
        sample = Partial(_sample, _cut_both, batch, training)
        return Problem(sample, _loss_both, Partial(_validate_both, validation))
    return Problem(
        Partial(_sample, _cut, batch, training),
        loss,
        Partial(_validate, validation),
        growing_horizon(growth, longest=1.5),
    )


def continuations(
    data: Spirals, noise: float, seed: int
) -> tuple[Int[np.ndarray, "curves observations"], Float[np.ndarray, "curves observations 2"]]:
    """As many points of what follows as of the window: their positions, and values with noise."""
    return _observed(data.future, data, noise, np.random.default_rng([seed, 1]))


def _observed(
    clean: np.ndarray, data: Spirals, noise: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    count = data.times.shape[1]
    positions = np.tile(np.arange(WINDOW), (len(data.times), 1))
    chosen = np.sort(random.permuted(positions, axis=1)[:, :count], axis=1)
    found = np.take_along_axis(clean, chosen[..., None], axis=1)
    return chosen, found + noise * random.standard_normal(found.shape)


def _tracks(data: Spirals, part: np.ndarray, noise: float, seed: int, both_ways: bool) -> Tracks:
    """The window's observations, then as many of what follows, with the same noise.

    Both ways, as many of what precedes come first.
    """
    chosen, later = continuations(data, noise, seed)
    times = [_windows(data, data.times), _windows(data, data.future_times)[chosen]]
    values = [data.values, later]
    if both_ways:
        chosen, before = _observed(data.past, data, noise, np.random.default_rng([seed, 3]))
        times.insert(0, _windows(data, data.past_times)[chosen])
        values.insert(0, before)
    return Tracks(
        jnp.asarray(np.concatenate(times, axis=1)[part], jnp.float32),
        jnp.asarray((np.concatenate(values, axis=1) / SCALE)[part], jnp.float32),
        data.times.shape[1],
    )


def _windows(data: Spirals, times: np.ndarray) -> np.ndarray:
    """Times in windows since the end of the window."""
    step = data.future_times[1] - data.future_times[0]
    return (times - (data.future_times[0] - step)) / (WINDOW * step)


def _sample(cut_tracks: Any, batch: int, tracks: Tracks, key: Array) -> tuple:
    """Random curves, some cut where the window ends, as in the test, and most anywhere near it.

    Cuts after the window matter most: where curves are fast, the window holds few points, and the
    continuation many.
    """
    which, when, whether = jax.random.split(key, 3)
    chosen = jax.random.randint(which, (batch,), 0, len(tracks.times))
    elsewhere = jax.random.bernoulli(whether, 0.6, (batch, 1))
    cut = elsewhere * jax.random.uniform(when, (batch, 1), minval=-0.5, maxval=0.6)
    return cut_tracks(Tracks(tracks.times[chosen], tracks.values[chosen], tracks.observations), cut)


def _cut(tracks: Tracks, cut: Array) -> tuple[Context, Target]:
    """As many points before the cut as a window has, and all after it; padded at the end."""
    since, before, count = _since(tracks, cut)
    index = jnp.maximum(before - count, 0) + jnp.arange(count)
    known = _both(index < before)
    past, seen = _rows(tracks, since, index)
    context = Context(past, seen * known, known, jnp.zeros((len(since), NO_SEASON)))
    # No cut lies before the middle of the window: few curves have more points after it.
    index = before + jnp.arange(count * 5 // 3)
    return context, Target(*_rows(tracks, since, index), _both(index < since.shape[1]))


def _cut_both(tracks: Tracks, cut: Array) -> tuple[Context, Target, Target]:
    """The same, and all before the cut from the last to the first, as far as two windows have."""
    since, before, count = _since(tracks, cut)
    index = before - 1 - jnp.arange(2 * count)
    return *_cut(tracks, cut), Target(*_rows(tracks, since, index), _both(index >= 0))


def _since(tracks: Tracks, cut: Array) -> tuple[Array, Array, int]:
    """Times since the cut, how many points lie before it, and how many a window has."""
    since = tracks.times - cut
    return since, jnp.sum(since <= 0, axis=1, keepdims=True), tracks.observations


def _rows(tracks: Tracks, since: Array, index: Array) -> tuple[Array, Array]:
    """Times and values at positions, the nearest there is for those beyond the ends."""
    index = jnp.clip(index, 0, since.shape[1] - 1)
    found = jnp.take_along_axis(tracks.values, index[..., None], axis=1)
    return jnp.take_along_axis(since, index, axis=1), found


def _both(mask: Array) -> Array:
    return jnp.broadcast_to(mask[..., None], (*mask.shape, 2))


def _loss_both(model: Any, batch: tuple[Context, Target, Target], key: Array, kl_weight: Array):
    """The mean of the bounds of what follows and of what precedes, from the same draw."""
    context, ahead, behind = batch
    mean, std = model.encode(context)
    z0 = mean + std * jax.random.normal(key, mean.shape, mean.dtype)
    bounds = [model.bound((mean, std), z0, context, one, kl_weight) for one in (ahead, behind)]
    return jax.tree.map(lambda *both: sum(both) / 2, *bounds)


def _validate(tracks: Tracks, model: Any) -> Array:
    """RMSE against the noisy continuations of the validation curves, in the units of the data."""
    context, target = _cut(tracks, jnp.zeros((len(tracks.times), 1)))
    return SCALE * jnp.sqrt(_missed(model, context, target))


def _validate_both(tracks: Tracks, model: Any) -> Array:
    """The same in both directions."""
    context, *targets = _cut_both(tracks, jnp.zeros((len(tracks.times), 1)))
    return SCALE * jnp.sqrt(sum(_missed(model, context, target) for target in targets) / 2)


def _missed(model: Any, context: Context, target: Target) -> Array:
    """The mean square of what was missed."""
    prediction = model.predict(context, target.times, jax.random.key(0), DRAWS)
    missed = jnp.where(target.mask, jnp.mean(prediction.mean, axis=0) - target.values, 0)
    return jnp.sum(missed**2) / jnp.sum(target.mask)


class Draws(eqx.Module):
    """Predictions at points of each curve: mixtures of normals, in the data's units."""

    mean: Float[np.ndarray, "draws curves points 2"]
    std: Float[np.ndarray, "draws curves points 2"]
    nfe: float


def context_of(data: Spirals, part: np.ndarray) -> Context:
    """What is observed of the windows of some curves."""
    times = jnp.asarray(_windows(data, data.times[part]), jnp.float32)
    values = jnp.asarray(data.values[part] / SCALE, jnp.float32)
    seen = jnp.ones(values.shape, bool)
    return Context(times, values, seen, jnp.zeros((len(part), NO_SEASON)))


def forecast(model: Any, data: Spirals, part: np.ndarray) -> Draws:
    """Forecast the 100 points after the window of some curves from what is observed of it."""
    context = context_of(data, part)
    # Asked about as sparsely as in training, in interleaved parts: an RNN that was trained on steps
    # of three points can not be rolled in steps of one. To a latent ODE it is all the same.
    stride = WINDOW // data.times.shape[1]
    predict = eqx.filter_jit(model.predict)
    parts = []
    for first in range(stride):
        ahead = jnp.asarray(_windows(data, data.future_times[first::stride]), jnp.float32)
        asked = jnp.broadcast_to(ahead, (len(part), len(ahead)))
        parts.append(predict(context, asked, jax.random.key(1), DRAWS))
    draws = len(parts[0].mean)
    mean, std = (np.empty((draws, len(part), WINDOW, 2)) for _ in range(2))
    for first, prediction in enumerate(parts):
        mean[:, :, first::stride] = SCALE * np.asarray(prediction.mean)
        std[:, :, first::stride] = SCALE * np.asarray(prediction.std)
    return Draws(mean, std, float(np.mean([np.mean(one.nfe) for one in parts])))


def backcast(model: Any, data: Spirals, part: np.ndarray) -> Draws:
    """The 100 points before the window and the 100 of it, by a solve back in time from its end."""
    step = data.future_times[1] - data.future_times[0]
    behind = np.concatenate([data.past_times, step * np.arange(WINDOW)])[::-1]
    asked = jnp.asarray(_windows(data, behind), jnp.float32)
    asked = jnp.broadcast_to(asked, (len(part), len(asked)))
    predict = eqx.filter_jit(model.predict)
    found = predict(context_of(data, part), asked, jax.random.key(1), DRAWS)
    mean, std = (SCALE * np.asarray(one)[:, :, ::-1] for one in (found.mean, found.std))
    return Draws(mean, std, float(np.mean(found.nfe)))
