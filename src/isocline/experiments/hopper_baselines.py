"""What costs nothing: what was read of the hopper carried on, or joined by lines and cubics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicHermiteSpline

from isocline.data.hopper import JOINTS
from isocline.models import Context


def simple_means(
    task: str,
    context: Context,
    times: Float[np.ndarray, "trajectories window"],
    mean: Float[np.ndarray, "window channels"] | Float[np.ndarray, " channels"],
    seconds: float,
) -> dict[str, Float[np.ndarray, "trajectories window channels"]]:
    """Predictions from what was read, in the simulation's units.

    Args:
        context: likewise.
        mean: of the training trajectories, at each time that is asked or over all.
        seconds: of a unit of model time.

    Returns:
        For interpolation the last value, straight lines, and cubics through the positions with the
        velocities as their slopes; for extrapolation the last value.
    """
    values, mask = np.asarray(context.values, float), np.asarray(context.mask)[:, :, 0]
    own_times = np.asarray(context.times, float)
    kinds: dict[str, Callable[..., np.ndarray]] = {"last value": _last}
    if task == "interpolation":
        kinds |= {"straight lines": _lines}
        kinds |= {"cubics with the velocities": partial(_cubics, seconds)}
    found = {"training mean": np.broadcast_to(mean, (*times.shape, values.shape[2]))}
    for name, kind in kinds.items():
        rows = zip(own_times, values, mask, times, strict=True)
        found[name] = np.stack([kind(t[on], y[on], asked) for t, y, on, asked in rows])
    return found


def _last(t: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The value before each time, and the first before that."""
    return y[np.maximum(np.searchsorted(t, asked, side="right") - 1, 0)]


def _lines(t: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(asked, t, channel) for channel in y.T], axis=1)


def _cubics(seconds: float, t: np.ndarray, y: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Positions by the cubics, velocities on straight lines; constant outside of what was read."""
    joints = len(JOINTS)
    curve = CubicHermiteSpline(t, y[:, :joints], seconds * y[:, joints:])
    positions = curve(np.clip(asked, t[0], t[-1]))
    return np.concatenate([positions, _lines(t, y[:, joints:], asked)], axis=1)
