"""Covariates of windows, as padded arrays: from a table on the device, or one by one."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from isocline.data import Series, SeriesTable
from isocline.models import Drive, Exogenous

from .covariates import CovariateScaling


class RowCovariates(NamedTuple):
    """The covariates of all rows of a table, series after series, and of what lies between.

    Attributes:
        values, mask: readings and known inputs at the rows, scaled.
        phase: where the waves of the calendar stand at the rows.
        frequencies: of the waves, in radians per horizon.
        static: of each series.
        knots, path: times of known inputs in horizons since the first row, and their values.
        before: the last knot at or before each row.
        end: the first knot of the next series.
        offsets: 0, 1, ... for the knots that a window may hold.
        grid: the steps of a solve over one horizon; None without known inputs.
    """

    values: Float[Array, "rows read"]
    mask: Bool[Array, "rows read"]
    phase: Float[Array, "rows waves"]
    frequencies: Float[Array, " waves"]
    static: Float[Array, "series static"]
    knots: Float[Array, " points"]
    path: Float[Array, "points known"]
    before: Int[Array, " rows"]
    end: Int[Array, " rows"]
    offsets: Int[Array, " knots"]
    grid: Float[Array, " steps"] | None


def gather_covariates(table: SeriesTable, scaling: CovariateScaling) -> RowCovariates:
    """The covariates of a table for `sample_covariates`."""
    start, horizon = min(one.times[0] for one in table.series), scaling.horizon
    frequencies = np.array(scaling.calendar.frequencies(horizon))
    rows, paths, before, end, count, passed = [], [], [], [], 2, 0
    for one in table.series:
        knots, values = _path(one, scaling)
        place = np.maximum(np.searchsorted(knots, one.times, side="right") - 1, 0)
        # A window begins between a row and the next, and asks for rows within a horizon of that.
        latest = np.append(one.times[1:], one.times[-1:])
        latest = np.where(latest - one.times <= horizon, latest, one.times) + horizon
        reach = np.searchsorted(knots, latest) + 1 - place
        count = max(count, int(np.max(reach, initial=2)))
        rows.append(_at_rows(one, scaling))
        paths.append(((knots - start) / horizon, values))
        before.append(place + passed)
        passed += len(knots)
        end.append(np.full(len(one), passed))
    values, mask, phase = (np.concatenate(part) for part in zip(*rows, strict=True))
    knots, path = (np.concatenate(part) for part in zip(*paths, strict=True))
    return RowCovariates(
        jnp.asarray(values, jnp.float32),
        jnp.asarray(mask),
        jnp.asarray(phase, jnp.float32),
        jnp.asarray(frequencies, jnp.float32),
        jnp.asarray(np.stack([scaling.stays(one) for one in table.series]), jnp.float32),
        jnp.asarray(knots, jnp.float32),
        jnp.asarray(path, jnp.float32),
        jnp.asarray(np.concatenate(before)),
        jnp.asarray(np.concatenate(end)),
        jnp.arange(count),
        _grid(scaling, 1),
    )


def _path(series: Series, scaling: CovariateScaling) -> tuple[np.ndarray, np.ndarray]:
    """The path of known inputs; two knots without values where there are none."""
    if not scaling.columns.known:
        return series.times[0] + np.array([0.0, scaling.horizon]), np.empty((2, 0))
    return scaling.path(series)


def _at_rows(
    series: Series, scaling: CovariateScaling
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values and mask of readings and driving inputs at the rows, and the calendar's phases."""
    past, known = scaling.read(series)
    phase = scaling.calendar.phases(series.times)
    values = np.concatenate([past, known, np.cos(phase), np.sin(phase)], axis=1)
    mask = np.isfinite(values)
    return np.where(mask, values, 0), mask, phase


def _grid(scaling: CovariateScaling, horizons: int) -> Array | None:
    if not scaling.columns.known:
        return None
    return jnp.linspace(0, horizons, horizons * scaling.steps + 1, dtype=jnp.float32)


def sample_covariates(
    rows: RowCovariates,
    window: tuple[Int[Array, " batch"], Int[Array, " batch"], Float[Array, " batch"]],
    back: Int[Array, "batch observations"],
    seen: Bool[Array, "batch observations"],
    times: Float[Array, " rows"],
) -> Exogenous:
    """The covariates of a batch of windows.

    Args:
        rows: of the table.
        window: row, series and origin of each.
        back: the rows of their contexts.
        seen: which of these are part of them.
        times: of all rows.
    """
    row, series, origin = window
    index = rows.before[row][:, None] + rows.offsets
    last = rows.end[row][:, None] - 1
    kept = jnp.minimum(index, last)
    # Beyond the last knot the path stays what it is; its times must rise all the same.
    knots = rows.knots[kept] - origin[:, None] + (index - kept)
    phase = rows.phase[row] + rows.frequencies * (origin - times[row])[:, None]
    grid = rows.grid
    return Exogenous(
        rows.values[back],
        rows.mask[back] & seen[:, :, None],
        Drive(knots, rows.path[kept], phase, rows.static[series]),
        None if grid is None else jnp.broadcast_to(grid, (len(row), len(grid))),
    )


def covariates_at(
    history: Series, origin: float, end: float, scaling: CovariateScaling, size: int
) -> dict[str, np.ndarray]:
    """The covariates of one window as arrays of NumPy.

    Args:
        history: the rows of the context.
        origin: from where it is forecast.
        end: up to where.
        scaling: how they are seen.
        size: rows to pad to.
    """
    values, mask, _ = _at_rows(history, scaling)
    padding = ((0, size - len(history)), (0, 0))
    knots, path = _path(history, scaling)
    first = max(int(np.searchsorted(knots, origin, side="right")) - 1, 0)
    last = int(np.searchsorted(knots, end)) + 1
    return {
        "covariates": np.pad(values, padding),
        "covariates_mask": np.pad(mask, padding),
        "knots": (knots[first:last] - origin) / scaling.horizon,
        "path": path[first:last],
        "wave": scaling.calendar.phases(np.array([origin]))[0],
        "static": scaling.stays(history),
    }


def stack_covariates(
    contexts: list[dict[str, np.ndarray]], ahead: float, scaling: CovariateScaling
) -> Exogenous:
    """The covariates of windows as one batch, of which times up to `ahead` horizons are asked."""
    size = max(scaling.knots, 2, *(len(one["knots"]) for one in contexts))
    padded = [_padded(one["knots"], one["path"], size) for one in contexts]
    knots, path = (np.stack(part) for part in zip(*padded, strict=True))

    def column(name: str, kind: Any = jnp.float32) -> Array:
        return jnp.asarray(np.stack([one[name] for one in contexts]), kind)

    grid = _grid(scaling, max(int(np.ceil(ahead - 1e-6)), 1))
    return Exogenous(
        column("covariates"),
        column("covariates_mask", bool),
        Drive(
            jnp.asarray(knots, jnp.float32),
            jnp.asarray(path, jnp.float32),
            column("wave"),
            column("static"),
        ),
        None if grid is None else jnp.broadcast_to(grid, (len(contexts), len(grid))),
    )


def _padded(knots: np.ndarray, path: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    short = size - len(knots)
    more = knots[-1] + np.arange(1, short + 1)
    return np.append(knots, more), np.pad(path, ((0, short), (0, 0)), mode="edge")
