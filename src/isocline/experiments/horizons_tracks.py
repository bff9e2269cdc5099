"""Series for `horizons`, their windows as batches, and the scores of forecasts.

Time is counted in contexts: a window knows the observations of one unit before its origin.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float
from scipy.special import logsumexp

from isocline.data.real_series import load_series
from isocline.evaluation.scores import coverage, crps_samples
from isocline.evaluation.windows import rolling_origins
from isocline.models import Context, Target
from isocline.models.likelihood import gaussian_crps
from isocline.train import Problem, growing_horizon

PACE = 5.0  # units of time of predators and prey in a context: about 3/4 of a period
RUNGE_KUTTA = 8  # their steps between two observations
WELL_RATE, WELL_NOISE = 8.0, 0.7  # of the double well, a context: some jump in it, some do not
SUBSTEPS = 400  # of the double well, a context
MONTHS = 12  # of the Pacific in a context: a horizon is as long
DELETED = 1 / 3  # of its months, at random
LEVELS = np.array([0.1, 0.25, 0.5, 0.75, 0.9, 0.95])  # of the central intervals
VALIDATION_DRAWS = 8


class Tracks(eqx.Module):
    """Irregular series, padded at the end; what is asked lies between two times of each.

    Attributes:
        times: in contexts, rising.
        values, mask: with noise, scaled; what is there.
        clean: without noise, where that is known; otherwise the values.
        first, last: origins lie from here on, and nothing after the end is asked.
    """

    times: Float[Array, "series rows"]
    values: Float[Array, "series rows channels"]
    mask: Array
    clean: Float[Array, "series rows channels"]
    first: Float[Array, " series"]
    last: Float[Array, " series"]


class Parts(NamedTuple):
    """Series, or spans of them, to learn from, to choose an epoch by, and to report."""

    train: Tracks
    validation: Tracks
    test: Tracks


@dataclass(frozen=True)
class Windows:
    """How windows are cut.

    Attributes:
        horizon: in contexts.
        known, asked: room for so many observations before and after the origin.
        origins: of each series that is validated or tested, evenly spaced.
    """

    horizon: float
    known: int
    asked: int
    origins: int = 1


def _tracks(times: Any, values: Any, clean: Any, spans: Any) -> Tracks:
    mask = np.isfinite(values)
    values, clean = (jnp.asarray(np.where(mask, a, 0), jnp.float32) for a in (values, clean))
    first, last = np.broadcast_to(np.asarray(spans, float), (len(times), 2)).T
    times, first, last = (jnp.asarray(a, jnp.float32) for a in (times, first, last))
    return Tracks(times, values, jnp.asarray(mask), clean, first, last)


def _irregular(random: Any, series: int, length: float, density: int) -> np.ndarray:
    """Rising random times in [0, length]."""
    return np.sort(random.uniform(0, length, (series, round(length * density))), axis=1)


def _simulated(times: np.ndarray, clean: np.ndarray, noise: float, random: Any) -> Parts:
    """Half of the series to learn from, a sixth to validate, a third to test."""
    values = clean + noise * random.standard_normal(clean.shape)
    length = times.max()
    bounds = [0, len(times) // 2, len(times) // 2 + len(times) // 6, len(times)]
    cut = [slice(*pair) for pair in pairwise(bounds)]
    return Parts(*(_tracks(times[s], values[s], clean[s], (1.0, length)) for s in cut))


def predators(series: int, length: float, density: int, noise: float, seed: int) -> Parts:
    """Predators and prey (Lotka & Volterra), logarithms of both: orbits of many sizes and periods.

    `du/dt = 1 - exp(v)`, `dv/dt = exp(u) - 1`; the larger an orbit, the slower.
    """
    random = np.random.default_rng([seed, 3])
    times = _irregular(random, series, length, density)
    angle, size = random.uniform(0, 2 * np.pi, series), random.uniform(0.4, 1.4, series)
    state = np.stack([size * np.cos(angle), size * np.sin(angle)])
    before, path = np.zeros(series), np.empty((*times.shape, 2))
    for k in range(times.shape[1]):
        for _ in range(RUNGE_KUTTA):
            state = _moved(state, (times[:, k] - before) / RUNGE_KUTTA * PACE)
        before, path[:, k] = times[:, k], state.T
    return _simulated(times, path, noise, random)


def _moved(y: np.ndarray, h: np.ndarray) -> np.ndarray:
    """One step of the classical Runge-Kutta method."""

    def slope(y: np.ndarray) -> np.ndarray:
        return np.stack([1 - np.exp(y[1]), np.exp(y[0]) - 1])

    first = slope(y)
    second = slope(y + h / 2 * first)
    third = slope(y + h / 2 * second)
    return y + h / 6 * (first + 2 * second + 2 * third + slope(y + h * third))


def double_well(series: int, length: float, density: int, noise: float, seed: int) -> Parts:
    """A particle that noise drives over the hill between two wells: `dx = (x - x^3) dt + s dW`."""
    random = np.random.default_rng([seed, 4])
    times = _irregular(random, series, length, density)
    step, count = WELL_RATE / SUBSTEPS, round(length * SUBSTEPS)
    x, path = random.choice([-1.0, 1.0], series), np.empty((count + 1, series))
    for k in range(count + 1):
        path[k] = x
        x = x + step * (x - x**3) + WELL_NOISE * np.sqrt(step) * random.standard_normal(series)
    place = np.round(times * SUBSTEPS).astype(int)
    clean = np.take_along_axis(path, place.T, axis=0).T[..., None]
    return _simulated(times, clean, noise, random)


def pacific(seed: int) -> Parts:
    """Monthly anomalies of 15 boxes of the Pacific, a third deleted; parts follow in time.

    Raises:
        InputError: the file is not in the folder that ISOCLINE_DATA names.
    """
    table = load_series("pacific").thin(DELETED, seed=seed)
    year = 365.25 * MONTHS / 12
    split = rolling_origins(table, year)
    start = min(one.times[0] for one in table.series)
    rows = max(len(one) for one in table.series)
    times, values = (np.full((len(table.series), rows, *more), np.nan) for more in ((), (1,)))
    for k, one in enumerate(table.series):
        known = one.values[one.times <= split.train_end]
        times[k, : len(one)] = (one.times - start) / year
        values[k, : len(one)] = (one.values - np.nanmean(known)) / np.nanstd(known)
    times = np.where(np.isnan(times), np.nanmax(times) + 1, times)
    ends = [(end - start) / year for end in (split.train_end, split.validation_end)]
    last = max(one.times[-1] for one in table.series)
    spans = (1.0, ends[0]), (ends[0], ends[1]), (ends[1], (last - start) / year)
    return Parts(*(_tracks(times, values, values, span) for span in spans))


def windows_at(
    tracks: Tracks, which: Array, origin: Array, windows: Windows
) -> tuple[Context, Target, Float[Array, "batch asked channels"]]:
    """Windows of some series from their origins, and what is asked without noise."""

    def one(index: Array, origin: Array) -> tuple[Array, ...]:
        times, values = tracks.times[index], tracks.values[index]
        mask, clean = tracks.mask[index], tracks.clean[index]
        start = jnp.searchsorted(times, origin, side="right")
        back = jnp.maximum(start - 1 - jnp.arange(windows.known), 0)
        since = times[back] - origin
        seen = (start - 1 - jnp.arange(windows.known) >= 0) & (since >= -1)
        ahead = jnp.minimum(start + jnp.arange(windows.asked), len(times) - 1)
        until = times[ahead] - origin
        inside = (start + jnp.arange(windows.asked) < len(times)) & (until <= windows.horizon)
        inside &= times[ahead] <= tracks.last[index]
        until = jnp.where(inside, until, jnp.max(jnp.where(inside, until, 0)))
        known, asked = mask[back] & seen[:, None], mask[ahead] & inside[:, None]
        return since, values[back] * known, known, until, values[ahead], asked, clean[ahead]

    since, seen, known, until, values, asked, clean = jax.vmap(one)(which, origin)
    context = Context(since, seen, known, jnp.zeros((len(which), 0)))
    return context, Target(until, values, asked), clean


def _sample(batch: int, windows: Windows, tracks: Tracks, key: Array) -> tuple[Context, Target]:
    """Random origins of random series, from which a whole horizon is known."""
    first, second = jax.random.split(key)
    which = jax.random.randint(first, (batch,), 0, len(tracks.times))
    room = tracks.last[which] - windows.horizon - tracks.first[which]
    origin = tracks.first[which] + jnp.maximum(room, 0) * jax.random.uniform(second, (batch,))
    return windows_at(tracks, which, origin, windows)[:2]


def fixed_windows(
    tracks: Tracks, windows: Windows
) -> tuple[Context, Target, Float[Array, "batch asked channels"]]:
    """Evenly spaced origins of every series."""
    share = jnp.linspace(0.0, 1.0, windows.origins)
    room = jnp.maximum(tracks.last - windows.horizon - tracks.first, 0)
    origins = tracks.first[:, None] + room[:, None] * share
    which = jnp.repeat(jnp.arange(len(tracks.times)), windows.origins)
    return windows_at(tracks, which, origins.ravel(), windows)


def training_problem(
    parts: Parts, windows: Windows, batch: int, growth: float, score: str
) -> Problem:
    """Random windows to learn from, and fixed ones that choose the epoch, by "rmse" or "crps"."""
    context, target, _ = fixed_windows(parts.validation, windows)
    validate = {"rmse": _rmse, "crps": _crps}[score]
    return Problem(
        Partial(_sample, batch, windows, parts.train),
        _loss,
        Partial(validate, context, target),
        growing_horizon(growth, longest=windows.horizon),
    )


def _loss(model: Any, batch: tuple[Context, Target], key: Array, kl_weight: Array):
    return model.loss(*batch, key, kl_weight)


def _rmse(context: Context, target: Target, model: Any) -> Array:
    prediction = model.predict(context, target.times, jax.random.key(0), VALIDATION_DRAWS)
    missed = jnp.where(target.mask, jnp.mean(prediction.mean, axis=0) - target.values, 0)
    return jnp.sqrt(jnp.sum(missed**2) / jnp.sum(target.mask))


def _crps(context: Context, target: Target, model: Any) -> Array:
    prediction = model.predict(context, target.times, jax.random.key(0), 4 * VALIDATION_DRAWS)
    return gaussian_crps(prediction, target)


def scores(
    model: Any, tracks: Tracks, windows: Windows, draws: int, seed: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What forecasts of the fixed windows of some tracks are worth; and their samples.

    Returns:
        Scores: `rmse` of the mean against what is without noise, `nll` (nats a value, of the
        mixture of all draws), `crps`, and `coverage` at `LEVELS`, against the observations. And the
        arrays behind them: "times", "values", "known" (times and values of the context) and
        "quantiles" of the windows.
    """
    context, target, clean = fixed_windows(tracks, windows)
    predict = eqx.filter_jit(model.predict)
    made = predict(context, target.times, jax.random.key(1), draws)
    mean, std = np.asarray(made.mean, float), np.asarray(made.std, float)
    there, observed = np.asarray(target.mask), np.asarray(target.values, float)
    missed = (mean.mean(axis=0) - np.asarray(clean, float))[there]
    density = -0.5 * ((observed - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)
    noise = np.random.default_rng([seed, 5]).standard_normal((4, *mean.shape))
    samples = (mean + std * noise).reshape(-1, *observed.shape)
    truth = np.where(there, observed, np.nan)
    tails = np.stack([(1 - LEVELS) / 2, (1 + LEVELS) / 2])
    bounds = np.quantile(samples, tails, axis=0)
    found = {
        "rmse": float(np.sqrt(np.mean(missed**2))),
        "nll": float(-np.mean((logsumexp(density, axis=0) - np.log(len(mean)))[there])),
        "crps": crps_samples(samples, truth),
        "coverage": [coverage(low, high, truth) for low, high in bounds.swapaxes(0, 1)],
        "values": int(there.sum()),
        "nfe": float(np.mean(np.asarray(made.nfe))),
    }
    seen = np.where(np.asarray(context.mask), np.asarray(context.values, float), np.nan)
    arrays = {
        "times": np.asarray(target.times, float),
        "values": truth,
        "known": np.concatenate([np.asarray(context.times, float)[..., None], seen], axis=2),
        "mean": mean.mean(axis=0),
        "quantiles": np.quantile(samples, [0.05, 0.25, 0.75, 0.95], axis=0).swapaxes(0, 1),
    }
    return found, arrays
