"""Windows: what is known up to an origin, and what is asked after it, as padded arrays."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from isocline.data import Series, SeriesTable
from isocline.models import Context, Target

from .covariates import CovariateScaling
from .driving import (
    RowCovariates,
    covariates_at,
    gather_covariates,
    sample_covariates,
    stack_covariates,
)
from .preparing import Scaling, SeriesScale


class Rows(NamedTuple):
    """All rows of a table, series after series; times in horizons since the first one.

    `design` and `doubt` say how well level and season are known: see `SeriesScale`.
    """

    times: Float[Array, " rows"]
    values: Float[Array, "rows channels"]
    mask: Bool[Array, "rows channels"]
    phase: Float[Array, "rows periods"]
    first: Int[Array, " rows"]
    end: Int[Array, " rows"]
    origins: Int[Array, " origins"]
    series: Int[Array, " rows"]
    design: Float[Array, "rows coefficients"]
    doubt: Float[Array, "series channels coefficients coefficients"]
    covariates: RowCovariates | None = None


class Shape(NamedTuple):
    """The size of windows.

    Attributes:
        context, target: observations before and after the origin.
        batch: windows in a batch.
        stride: every how many-th row after the origin is asked while training (1: all).
    """

    context: int
    target: int
    batch: int
    stride: int = 1


def gather_rows(table: SeriesTable, scaling: Scaling) -> Rows:
    """The rows of a table for `sample_windows`."""
    start = min(one.times[0] for one in table.series)
    times = np.concatenate([(one.times - start) / scaling.horizon for one in table.series])
    values = np.concatenate([scaling.scaled(one) for one in table.series])
    lengths = np.array([len(one) for one in table.series])
    ends = np.cumsum(lengths)
    first, end = np.repeat(ends - lengths, lengths), np.repeat(ends, lengths)
    phase = np.concatenate([scaling.phases(one.times) for one in table.series])
    following = np.minimum(np.arange(len(times)) + 1, len(times) - 1)
    asked = (np.arange(len(times)) + 1 < end) & (times[following] - times <= 1)
    mask = np.isfinite(values)
    return Rows(
        jnp.asarray(times, jnp.float32),
        jnp.asarray(np.where(mask, values, 0), jnp.float32),
        jnp.asarray(mask),
        jnp.asarray(phase, jnp.float32),
        jnp.asarray(first),
        jnp.asarray(end),
        jnp.asarray(np.flatnonzero(asked)),
        jnp.asarray(np.repeat(np.arange(len(lengths)), lengths)),
        jnp.asarray(
            np.concatenate([scaling.design(one.times) for one in table.series]), jnp.float32
        ),
        jnp.asarray(np.stack([scaling.scale_of(one).doubt for one in table.series]), jnp.float32),
        None if scaling.covariates is None else gather_covariates(table, scaling.covariates),
    )


def window_shape(table: SeriesTable, horizon: float, batch: int, most: int = 64) -> Shape:
    """A shape that fits the table: targets for a whole horizon, and twice as much context."""
    densest = 1
    for one in table.series:
        densest = max(
            densest,
            int(np.max(np.searchsorted(one.times, one.times + horizon) - np.arange(len(one)))),
        )
    longest = max(len(one) for one in table.series)
    target = min(densest, most)
    return Shape(
        max(min(max(24, 2 * target), longest, 96), 1), target, batch, -(-densest // target)
    )


def sample_windows(
    rows: Rows,
    frequencies: Float[Array, " periods"],
    shape: Shape,
    deletion: float,
    key: PRNGKeyArray,
) -> tuple[Context, Target]:
    """A batch of windows at random origins, a random share of the context left out.

    The level and season of each window are drawn from what the training rows leave possible, so
    that a model learns to trust a season of fifty years and to doubt one of two.

    Where a horizon holds more rows than the window, every `stride`-th is asked, from a random
    start.
    """
    keys = jax.random.split(key, 6)
    row = rows.origins[jax.random.randint(keys[0], (shape.batch,), 0, len(rows.origins))]
    gap = rows.times[row + 1] - rows.times[row]
    origin = rows.times[row] + gap * jax.random.uniform(keys[1], (shape.batch,))
    back = row[:, None] - jnp.arange(shape.context)
    known = back >= rows.first[row][:, None]
    share = deletion * jax.random.uniform(keys[2], (shape.batch, 1))
    known &= jax.random.uniform(keys[3], back.shape) >= share
    back = jnp.maximum(back, 0)
    phase = rows.phase[row] + frequencies * (origin - rows.times[row])[:, None]
    doubt = rows.doubt[rows.series[row]]
    season = jnp.einsum("bcpq,bcq->bcp", doubt, jax.random.normal(keys[5], doubt.shape[:3]))
    exogenous = None
    if rows.covariates is not None:
        window = row, rows.series[row], origin
        exogenous = sample_covariates(rows.covariates, window, back, known, rows.times)
    context = Context(
        rows.times[back] - origin[:, None],
        rows.values[back] + _shift(rows, season, back),
        rows.mask[back] & known[:, :, None],
        phase,
        exogenous,
    )
    return context, _targets(rows, shape, (row, origin, season), keys[4])


def _shift(
    rows: Rows, season: Float[Array, "batch channels coefficients"], index: Int[Array, "batch n"]
) -> Array:
    return jnp.einsum("bnp,bcp->bnc", rows.design[index], season)


def _targets(
    rows: Rows, shape: Shape, window: tuple[Array, Array, Array], key: PRNGKeyArray
) -> Target:
    row, origin, season = window
    offset = jax.random.randint(key, (shape.batch, 1), 0, shape.stride)
    ahead = row[:, None] + 1 + offset + shape.stride * jnp.arange(shape.target)
    inside = ahead < rows.end[row][:, None]
    ahead = jnp.minimum(ahead, len(rows.times) - 1)
    times = rows.times[ahead] - origin[:, None]
    inside &= (times <= 1) & (times >= 0)
    last = jnp.max(jnp.where(inside, times, 0), axis=1, keepdims=True)
    values = rows.values[ahead] + _shift(rows, season, ahead)
    return Target(jnp.where(inside, times, last), values, rows.mask[ahead] & inside[:, :, None])


def window_at(
    series: Series, origin: float, asked: Series, scaling: Scaling, shape: Shape
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """One window as padded arrays of NumPy: the last rows up to an origin, and those asked."""
    known = series.between(-np.inf, origin)
    # Of all rows up to the origin, also of a series that was not fitted: so are forecasts unscaled.
    scale = scaling.scale_of(known)
    known = known.rows(slice(-shape.context, None))
    context = _padded(known, scaling, scale, origin, shape.context) | {
        "phase": scaling.phases(np.array([origin]))[0]
    }
    if scaling.covariates is not None:
        end = max(origin + scaling.horizon, *asked.times[-1:])
        context |= covariates_at(known, origin, end, scaling.covariates, shape.context)
    size = max(shape.target, len(asked))
    return context, _padded(asked, scaling, scale, origin, size)


def _padded(
    series: Series, scaling: Scaling, scale: SeriesScale, origin: float, size: int
) -> dict[str, np.ndarray]:
    """Scaled rows relative to the origin; padding repeats the last time with nothing observed."""
    times = (series.times - origin) / scaling.horizon
    values = scaling.scaled(series, scale) if len(series) else series.values
    short = size - len(times)
    times = np.pad(times, (0, short), mode="edge" if len(times) else "constant")
    values = np.pad(values, ((0, short), (0, 0)), constant_values=np.nan)
    return {"times": times, "values": values, "mask": np.isfinite(values)}


def stack_windows(
    windows: list[tuple[dict, dict]], covariates: CovariateScaling | None = None
) -> tuple[Context, Target]:
    """Windows as one batch; shorter targets are padded to the longest."""
    longest = max(len(target["times"]) for _, target in windows)

    def column(entries: list[dict], name: str, size: int | None) -> Array:
        padded = [_grow(entry[name], size, name) for entry in entries]
        return jnp.asarray(np.stack(padded), bool if name == "mask" else jnp.float32)

    contexts, targets = [c for c, _ in windows], [t for _, t in windows]
    context = [column(contexts, name, None) for name in ("times", "values", "mask", "phase")]
    target = [column(targets, name, longest) for name in ("times", "values", "mask")]
    exogenous = None
    if covariates is not None:
        ahead = max(float(one["times"].max(initial=0)) for one in targets)
        exogenous = stack_covariates(contexts, ahead, covariates)
    return Context(*context, exogenous=exogenous), Target(*target)


def _grow(array: np.ndarray, size: int | None, name: str) -> np.ndarray:
    if size is not None and len(array) < size:
        widths = [(0, size - len(array))] + [(0, 0)] * (array.ndim - 1)
        array = np.pad(array, widths, mode="edge" if name == "times" else "constant")
    return np.nan_to_num(array) if name == "values" else array
