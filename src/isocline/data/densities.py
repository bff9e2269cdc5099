"""Densities on the plane that flows are tried on: samples, and the exact log-density.

The definitions are the public ones: `circles` of torchdiffeq's `examples/cnf.py`, all others of
FFJORD's `toy_data.py`, written as densities so that their entropy is known: no model has a smaller
negative log-likelihood, and how far above it a model is says how good it is.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from isocline.data.columns import did_you_mean
from isocline.errors import InputError

Plane = Float[np.ndarray, "points 2"]
Values = Float[np.ndarray, " points"]
_ARCS = 1000  # points that stand for a curve


class PlaneDensity(NamedTuple):
    """A density on the plane.

    Attributes:
        sample: `sample(n, rng) -> points`.
        log_prob: the exact logarithm of the density.
        extent: half the width of a square that holds all but 1e-6 of it.
    """

    sample: Callable[[int, np.random.Generator], Plane]
    log_prob: Callable[[Plane], Values]
    extent: float

    def entropy(self, n: int = 200_000, seed: int = 0) -> tuple[float, float]:
        """The entropy in nats, by Monte Carlo, and its standard error."""
        points = self.sample(n, np.random.default_rng(seed))
        values = np.concatenate([self.log_prob(part) for part in np.array_split(points, n // 2000)])
        return -float(values.mean()), float(values.std() / np.sqrt(n))


def plane_densities() -> tuple[str, ...]:
    """Names that `plane_density` knows."""
    return tuple(_DENSITIES)


def plane_density(name: str) -> PlaneDensity:
    """A density on the plane: "circles", "wide circles", "moons", "8 gaussians", "pinwheel" or
    "checkerboard".

    Raises:
        InputError: there is none of that name.
    """
    if name not in _DENSITIES:
        raise InputError(
            f"There is no density '{name}'.{did_you_mean(name, _DENSITIES)} There are: "
            f"{', '.join(_DENSITIES)}."
        )
    return _DENSITIES[name]


def _log_sums(terms: np.ndarray) -> Values:
    """The logarithm of the sum of exponentials, a row."""
    most = terms.max(axis=1)
    return most + np.log(np.sum(np.exp(terms - most[:, None]), axis=1))


def _blurred(points: Plane, centres: Plane, spread: float) -> Values:
    """An even mixture of round normals."""
    square = np.sum((points[:, None] - centres) ** 2, axis=-1)
    constant = np.log(2 * np.pi * spread**2 * len(centres))
    return _log_sums(-0.5 * square / spread**2) - constant


def _circles(radii: tuple[float, ...], spread: float) -> PlaneDensity:
    """Even circles with normal noise; around a circle the angle integrates to a Bessel function."""

    def sample(n: int, rng: np.random.Generator) -> Plane:
        radius, angle = rng.choice(radii, n), rng.uniform(0, 2 * np.pi, n)
        ring = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        return ring + spread * rng.normal(size=(n, 2))

    def log_prob(points: Plane) -> Values:
        from scipy.special import i0e

        own = np.linalg.norm(points, axis=1)[:, None]
        each = -0.5 * (own - radii) ** 2 / spread**2 + np.log(i0e(own * radii / spread**2))
        return _log_sums(each) - np.log(2 * np.pi * spread**2 * len(radii))

    return PlaneDensity(sample, log_prob, max(radii) + 6 * spread)


def _along(curve: Callable[[np.ndarray], Plane], spread: float, extent: float) -> PlaneDensity:
    """Points of a curve, even in its parameter from 0 to 1, with normal noise."""
    centres = curve((np.arange(_ARCS) + 0.5) / _ARCS)

    def sample(n: int, rng: np.random.Generator) -> Plane:
        return curve(rng.uniform(size=n)) + spread * rng.normal(size=(n, 2))

    return PlaneDensity(sample, lambda points: _blurred(points, centres, spread), extent)


def _two_moons(at: np.ndarray) -> Plane:
    """scikit-learn's moons, twice as large and moved by (-1, -0.2) as FFJORD does."""
    upper, angle = at < 0.5, 2 * np.pi * at
    moons = np.where(
        upper[:, None],
        np.stack([np.cos(angle), np.sin(angle)], axis=1),
        np.stack([1 + np.cos(angle), 0.5 + np.sin(angle)], axis=1),
    )
    return 2 * moons + np.array([-1.0, -0.2])


def _gaussians() -> PlaneDensity:
    angles = np.arange(8) * np.pi / 4
    centres = 4 * np.stack([np.cos(angles), np.sin(angles)], axis=1) / 1.414
    spread = 0.5 / 1.414

    def sample(n: int, rng: np.random.Generator) -> Plane:
        return centres[rng.integers(8, size=n)] + spread * rng.normal(size=(n, 2))

    return PlaneDensity(sample, lambda points: _blurred(points, centres, spread), 5.0)


_ARMS, _RADIAL, _TANGENTIAL, _RATE = 5, 0.3, 0.1, 0.25


def _pinwheel() -> PlaneDensity:
    """Five narrow normals around (1, 0), turned by the arm and by `rate exp(x)`, twice as large."""
    arms = 2 * np.pi * np.arange(_ARMS) / _ARMS

    def sample(n: int, rng: np.random.Generator) -> Plane:
        x, y = 1 + _RADIAL * rng.normal(size=n), _TANGENTIAL * rng.normal(size=n)
        angle = rng.choice(arms, n) + _RATE * np.exp(x)
        cosine, sine = np.cos(angle), np.sin(angle)
        return 2 * np.stack([x * cosine + y * sine, y * cosine - x * sine], axis=1)

    def log_prob(points: Plane) -> Values:
        radius = np.linalg.norm(points / 2, axis=1)[:, None]
        turned = np.arctan2(points[:, 1], points[:, 0])[:, None] + arms
        # The angle before the turn: a fixed point, and a contraction wherever there is any mass.
        angle = turned + _RATE * np.exp(radius)
        for _ in range(100):
            angle = turned + _RATE * np.exp(radius * np.cos(angle))
        x, y = radius * np.cos(angle), radius * np.sin(angle)
        # An arm is the image of a plane: what lies on its far side is of no other arm.
        each = -0.5 * ((x - 1) / _RADIAL) ** 2 - 0.5 * (y / _TANGENTIAL) ** 2
        each -= np.log(np.abs(1 + _RATE * np.exp(x) * y) + 1e-12)
        area = 4 * 2 * np.pi * _RADIAL * _TANGENTIAL * _ARMS
        return _log_sums(each) - np.log(area)

    return PlaneDensity(sample, log_prob, 5.5)


def _checkerboard() -> PlaneDensity:
    """Every second square of side 2 in [-4, 4] x [-4, 4]."""

    def sample(n: int, rng: np.random.Generator) -> Plane:
        x = rng.uniform(-2, 2, n)
        y = rng.uniform(size=n) - 2 * rng.integers(2, size=n) + np.floor(x) % 2
        return 2 * np.stack([x, y], axis=1)

    def log_prob(points: Plane) -> Values:
        square = np.floor(points / 2)
        inside = (np.abs(points) < 4).all(axis=1) & (square.sum(axis=1) % 2 == 0)
        return np.where(inside, -np.log(32), -np.inf)

    return PlaneDensity(sample, log_prob, 4.5)


_DENSITIES: MappingProxyType[str, PlaneDensity] = MappingProxyType(
    {
        "circles": _circles((1.0, 0.5), 0.06),
        "wide circles": _circles((3.0, 1.5), 0.24),
        "moons": _along(_two_moons, 0.2, 4.5),
        "8 gaussians": _gaussians(),
        "pinwheel": _pinwheel(),
        "checkerboard": _checkerboard(),
    }
)
