"""The 25 problems of DETEST (Hull, Enright, Fellen & Sedgwick 1972), on 0 <= t <= 20.

Classes: A single equations, B small systems, C moderate systems, D orbits, E of higher order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

END = 20.0


class Detest(NamedTuple):
    """`dy/dt = field(t, y)` from `y0` at t = 0."""

    field: Callable[[Any, Any], Any]
    y0: list[float] | np.ndarray


def _system(rows: Callable[[Any, Any], list[Any]], *y0: float) -> Detest:
    """A problem from the rows of its field."""
    return Detest(lambda t, y: jnp.stack(rows(t, y)), list(y0))


def _torus(_t: Any, y: Any) -> Any:
    a, b, c = y
    radius = jnp.sqrt(a**2 + b**2)
    return jnp.stack([-b - a * c / radius, a - b * c / radius, a / radius])


def _chain(rates: Iterable[float]) -> Callable[[Any, Any], Any]:
    """A radioactive decay chain: each loses what the next one gains, and the last keeps it."""
    rates = np.array(list(rates), float)
    loss, gain = np.append(rates, 0.0), np.append(0.0, rates)
    return lambda _t, y: gain * jnp.roll(y, 1) - loss * y


def _diffusion(size: int) -> Detest:
    def field(_t: Any, y: Any) -> Any:
        padded = jnp.pad(y, 1)
        return padded[:-2] - 2 * y + padded[2:]

    return Detest(field, np.eye(size)[0])


def _orbit(eccentricity: float) -> Detest:
    def field(_t: Any, y: Any) -> Any:
        return jnp.concatenate([y[2:], -y[:2] / (y[0] ** 2 + y[1] ** 2) ** 1.5])

    speed = np.sqrt((1 + eccentricity) / (1 - eccentricity))
    return Detest(field, [1 - eccentricity, 0.0, 0.0, speed])


# The sun and five outer planets; astronomical units, 100 days.
GRAVITY = 2.95912208286
SUN = 1.00000597682
MASSES = np.array(
    [0.000954786104043, 0.000285583733151, 0.0000437273164546, 0.0000517759138449,
     0.00000277777777778]
)  # fmt: skip
PLACES = np.array([
    [3.42947415189, 3.35386959711, 1.35494901715],
    [6.64145542550, 5.97156957878, 2.18231499728],
    [11.2630437207, 14.6952576794, 6.27960525067],
    [-30.1552268759, 1.65699966404, 1.43785752721],
    [-21.1238353380, 28.4465098142, 15.3882659679],
])  # fmt: skip
SPEEDS = np.array([
    [-0.557160570446, 0.505696783289, 0.230578543901],
    [-0.415570776342, 0.365682722812, 0.169143213293],
    [-0.325325669158, 0.189706021964, 0.0877265322780],
    [-0.0240476254170, -0.287659532608, -0.117219543175],
    [-0.176860753121, -0.216393453025, -0.0148647893090],
])  # fmt: skip


def _planets(_t: Any, y: Any) -> Any:
    places, speeds = y.reshape(2, 5, 3)
    cubes = jnp.sum(places**2, axis=1, keepdims=True) ** 1.5
    apart = places[None] - places[:, None]
    distance = jnp.sum(apart**2, axis=2, keepdims=True) + jnp.eye(5)[:, :, None]
    pulls = MASSES[:, None] * (apart / distance**1.5 - (places / cubes)[None])
    others = jnp.sum(pulls * (1 - np.eye(5))[:, :, None], axis=1)
    slope = GRAVITY * (-(SUN + MASSES[:, None]) * places / cubes + others)
    return jnp.stack([speeds, slope]).ravel()


PROBLEMS = {
    "A1": Detest(lambda _t, y: -y, [1.0]),
    "A2": Detest(lambda _t, y: -(y**3) / 2, [1.0]),
    "A3": Detest(lambda t, y: y * jnp.cos(t), [1.0]),
    "A4": Detest(lambda _t, y: y / 4 * (1 - y / 20), [1.0]),
    "A5": Detest(lambda t, y: (y - t) / (y + t), [4.0]),
    "B1": _system(lambda _t, y: [2 * (y[0] - y[0] * y[1]), y[0] * y[1] - y[1]], 1.0, 3.0),
    "B2": _system(lambda _t, y: [y[1] - y[0], y[0] - 2 * y[1] + y[2], y[1] - y[2]], 2.0, 0.0, 1.0),
    "B3": _system(lambda _t, y: [-y[0], y[0] - y[1] ** 2, y[1] ** 2], 1.0, 0.0, 0.0),
    "B4": Detest(_torus, [3.0, 0.0, 0.0]),
    "B5": _system(lambda _t, y: [y[1] * y[2], -y[0] * y[2], -0.51 * y[0] * y[1]], 0.0, 1.0, 1.0),
    "C1": Detest(_chain([1.0] * 9), np.eye(10)[0]),
    "C2": Detest(_chain(range(1, 10)), np.eye(10)[0]),
    "C3": _diffusion(10),
    "C4": _diffusion(51),
    "C5": Detest(_planets, np.concatenate([PLACES.ravel(), SPEEDS.ravel()])),
    **{f"D{i}": _orbit(e) for i, e in enumerate((0.1, 0.3, 0.5, 0.7, 0.9), start=1)},
    "E1": _system(
        lambda t, y: [y[1], -(y[1] / (t + 1) + (1 - 0.25 / (t + 1) ** 2) * y[0])],
        0.6713967071418030,
        0.09540051444747446,
    ),
    "E2": _system(lambda _t, y: [y[1], (1 - y[0] ** 2) * y[1] - y[0]], 2.0, 0.0),
    "E3": _system(lambda t, y: [y[1], y[0] ** 3 / 6 - y[0] + 2 * jnp.sin(2.78535 * t)], 0.0, 0.0),
    "E4": _system(lambda _t, y: [y[1], 0.032 - 0.4 * y[1] ** 2], 30.0, 0.0),
    "E5": _system(lambda t, y: [y[1], jnp.sqrt(1 + y[1] ** 2) / (25 - t)], 0.0, 0.0),
}
