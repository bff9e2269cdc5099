"""Spirals as training windows, and forecasts of the test curves with their scores."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int
from scipy.special import logsumexp

from isocline.data.spirals import WINDOW, Spirals
from isocline.models import Context, Target
from isocline.train import Problem, growing_horizon

SCALE = 5.0  # values are divided by it: about their standard deviation
DRAWS = 16
NO_SEASON = 0


class Tracks(eqx.Module):
    """Noisy observations of the window and what follows; times in windows since its end."""

    times: Float[Array, "curves points"]
    values: Float[Array, "curves points 2"]


def training_problem(data: Spirals, noise: float, batch: int, growth: float, seed: int) -> Problem:
    """Random cuts of the training curves; validation curves are cut where the window ends."""
    training = _tracks(data, data.train, noise, seed)
    validation = _tracks(data, data.validation, noise, seed)
    return Problem(
        Partial(_sample, batch, training),
        _loss,
        Partial(_validate, validation),
        growing_horizon(growth, longest=1.5),
    )


def continuations(
    data: Spirals, noise: float, seed: int
) -> tuple[Int[np.ndarray, "curves observations"], Float[np.ndarray, "curves observations 2"]]:
    """As many points of what follows as of the window: their positions, and values with noise."""
    random = np.random.default_rng([seed, 1])
    count = data.times.shape[1]
    positions = np.tile(np.arange(WINDOW), (len(data.times), 1))
    chosen = np.sort(random.permuted(positions, axis=1)[:, :count], axis=1)
    later = np.take_along_axis(data.future, chosen[..., None], axis=1)
    return chosen, later + noise * random.standard_normal(later.shape)


def _tracks(data: Spirals, part: np.ndarray, noise: float, seed: int) -> Tracks:
    """The window's observations, then as many of what follows, with the same noise."""
    chosen, later = continuations(data, noise, seed)
    ahead = _windows(data, data.future_times)[chosen]
    times = np.concatenate([_windows(data, data.times), ahead], axis=1)
    values = np.concatenate([data.values, later], axis=1) / SCALE
    return Tracks(jnp.asarray(times[part], jnp.float32), jnp.asarray(values[part], jnp.float32))


def _windows(data: Spirals, times: np.ndarray) -> np.ndarray:
    """Times in windows since the end of the window."""
    step = data.future_times[1] - data.future_times[0]
    return (times - (data.future_times[0] - step)) / (WINDOW * step)


def _sample(batch: int, tracks: Tracks, key: Array) -> tuple[Context, Target]:
    """Random curves, some cut where the window ends, as in the test, and most anywhere near it.

    Cuts after the window matter most: where curves are fast, the window holds few points, and the
    continuation many.
    """
    which, when, whether = jax.random.split(key, 3)
    chosen = jax.random.randint(which, (batch,), 0, len(tracks.times))
    elsewhere = jax.random.bernoulli(whether, 0.6, (batch, 1))
    cut = elsewhere * jax.random.uniform(when, (batch, 1), minval=-0.5, maxval=0.6)
    return _cut(tracks.times[chosen], tracks.values[chosen], cut)


def _cut(times: Array, values: Array, cut: Array) -> tuple[Context, Target]:
    """As many points before the cut as a window has, and all after it; padded at the end."""
    count, points = times.shape[1] // 2, times.shape[1]
    since = times - cut
    before = jnp.sum(since <= 0, axis=1, keepdims=True)

    def rows(index: Array) -> tuple[Array, Array]:
        index = jnp.minimum(index, points - 1)
        found = jnp.take_along_axis(values, index[..., None], axis=1)
        return jnp.take_along_axis(since, index, axis=1), found

    index = jnp.maximum(before - count, 0) + jnp.arange(count)
    known = _both(index < before)
    past, seen = rows(index)
    context = Context(past, seen * known, known, jnp.zeros((len(times), NO_SEASON)))
    # No cut lies before the middle of the window: few curves have more points after it.
    index = before + jnp.arange(count * 5 // 3)
    return context, Target(*rows(index), _both(index < points))


def _both(mask: Array) -> Array:
    return jnp.broadcast_to(mask[..., None], (*mask.shape, 2))


def _loss(model: Any, batch: tuple[Context, Target], key: Array, kl_weight: Array):
    return model.loss(*batch, key, kl_weight)


def _validate(tracks: Tracks, model: Any) -> Array:
    """RMSE against the noisy continuations of the validation curves, in the units of the data."""
    context, target = _cut(tracks.times, tracks.values, jnp.zeros((len(tracks.times), 1)))
    prediction = model.predict(context, target.times, jax.random.key(0), DRAWS)
    missed = jnp.where(target.mask, jnp.mean(prediction.mean, axis=0) - target.values, 0)
    return SCALE * jnp.sqrt(jnp.sum(missed**2) / jnp.sum(target.mask))


class Draws(eqx.Module):
    """Forecasts of the 100 points after the window: mixtures of normals, in the data's units."""

    mean: Float[np.ndarray, "draws curves 100 2"]
    std: Float[np.ndarray, "draws curves 100 2"]
    nfe: float


def forecast(model: Any, data: Spirals, part: np.ndarray) -> Draws:
    """Forecast some curves from the observations of their window."""
    times = jnp.asarray(_windows(data, data.times[part]), jnp.float32)
    values = jnp.asarray(data.values[part] / SCALE, jnp.float32)
    seen = jnp.ones(values.shape, bool)
    context = Context(times, values, seen, jnp.zeros((len(part), NO_SEASON)))
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


def scores(
    draws: Draws, data: Spirals, part: np.ndarray, noise: float, seed: int
) -> dict[str, float]:
    """RMSE against the clean continuations; density and coverage of what would have been observed.

    Returns:
        `rmse`; `median_curve`, the RMSE of the median curve; `nll` in nats a value, and
        `coverage_90`, both against the continuations with the noise of the observations.
    """
    clean = data.future[part]
    observed = clean + noise * np.random.default_rng([seed, 2]).standard_normal(clean.shape)
    mean = draws.mean.mean(axis=0)
    by_curve = np.sqrt(((mean - clean) ** 2).mean(axis=(1, 2)))
    residual = (observed - draws.mean) / draws.std
    density = -0.5 * residual**2 - np.log(draws.std) - 0.5 * np.log(2 * np.pi)
    spread = np.sqrt(draws.mean.var(axis=0) + (draws.std**2).mean(axis=0))
    return {
        "rmse": float(np.sqrt(np.mean(by_curve**2))),
        "median_curve": float(np.median(by_curve)),
        "nll": float(-np.mean(logsumexp(density, axis=0) - np.log(len(draws.mean)))),
        "coverage_90": float(np.mean(np.abs(observed - mean) < 1.6449 * spread)),
    }
