"""The spirals of Chen et al. 2018 (section 5.1), by a protocol that is written down in full.

The paper leaves the noise, the curves and the targets open, and its public example draws all
curves from only two. Here every curve has a turn and a start of its own. The geometry is that of
the example: Archimedean spirals over an angle of 6 pi in 1,000 points, with the counter-clockwise
radius 0.3 x angle, and the clockwise radius 0.3 x 50 / angle as the angle runs down to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from isocline.errors import InputError

OFFSET, GROWTH = 0.0, 0.3  # `a` and `b` of r = a + b x angle
POINTS, WINDOW = 1_000, 100
_ANGLES = np.linspace(0, 6 * np.pi, POINTS)
_CENTRE = 5.0


@dataclass(frozen=True, eq=False)
class Spirals:
    """Curves in the plane, observed irregularly, and how each goes on.

    Args:
        times: of the observations, increasing along each curve; 0 is the start of its window.
        values: x and y with noise at these times.
        mask: whether an observation is there; always, as each curve has the same number.
        future_times: of the 100 points that follow the window, the same for all curves.
        future: x and y there, without noise: the targets.
        past_times: of the 100 points that precede the window, the same for all curves; negative.
        past: x and y there, without noise.
        clockwise: the sense of each curve.
        train, validation, test: positions of the curves of each part (80%, 10%, 10%).
    """

    times: Float[np.ndarray, "curves observations"]
    values: Float[np.ndarray, "curves observations 2"]
    mask: Bool[np.ndarray, "curves observations"]
    future_times: Float[np.ndarray, "100"]
    future: Float[np.ndarray, "curves 100 2"]
    past_times: Float[np.ndarray, "100"]
    past: Float[np.ndarray, "curves 100 2"]
    clockwise: Bool[np.ndarray, "curves"]
    train: Int[np.ndarray, "train"]
    validation: Int[np.ndarray, "validation"]
    test: Int[np.ndarray, "test"]


def spirals(
    curves: int = 1000, noise: float = 0.1, observations: int = 30, seed: int = 0
) -> Spirals:
    """Simulates spirals, half of them clockwise.

    Args:
        curves: how many; an even number, at least 10.
        noise: standard deviation of the Gaussian noise on x and y.
        observations: random times per curve, without replacement, out of the window's 100.
        seed: the same seed always makes the same curves.

    Raises:
        InputError: an argument is out of its range.
    """
    if curves < 10 or curves % 2:
        raise InputError(f"The number of spirals must be even and at least 10, not {curves}.")
    if not 1 <= observations <= WINDOW:
        raise InputError(f"Each spiral has 1 to {WINDOW} observations, not {observations}.")
    if not 0 <= noise < np.inf:
        raise InputError(f"The noise is a standard deviation, at least 0: {noise}.")
    random = np.random.default_rng(seed)
    clockwise = random.permutation(np.arange(curves) % 2 == 0)
    # The start sets the radius, the turn sets the angle: independent, as on the two curves of the
    # example one would give away the other. The first 100 points are left out, as there: so every
    # window has a past.
    start = random.integers(WINDOW, POINTS - 2 * WINDOW, endpoint=True, size=curves)
    turn = random.uniform(0, 2 * np.pi, curves)
    clean = _curves(clockwise, turn, start[:, None] + np.arange(2 * WINDOW))
    chosen = random.permuted(np.tile(np.arange(WINDOW), (curves, 1)), axis=1)[:, :observations]
    chosen = np.sort(chosen, axis=1)
    values = np.take_along_axis(clean, chosen[..., None], axis=1)
    order = random.permutation(curves)
    ends = (curves * 8 // 10, curves * 9 // 10)
    train, validation, test = (np.sort(part) for part in np.split(order, ends))
    return Spirals(
        times=_ANGLES[chosen],
        values=values + noise * random.standard_normal(values.shape),
        mask=np.ones(chosen.shape, bool),
        future_times=_ANGLES[WINDOW : 2 * WINDOW],
        future=clean[:, WINDOW:],
        past_times=_ANGLES[:WINDOW] - _ANGLES[WINDOW],
        past=_curves(clockwise, turn, start[:, None] - np.arange(WINDOW, 0, -1)),
        clockwise=clockwise,
        train=train,
        validation=validation,
        test=test,
    )


def _curves(
    clockwise: np.ndarray, turn: np.ndarray, points: np.ndarray
) -> Float[np.ndarray, "curves points 2"]:
    """Clean x and y at points of each curve, counted from its beginning."""
    along = _ANGLES[points]
    backwards = _ANGLES[-1] + 1 - along
    angle = np.where(clockwise[:, None], backwards, along)
    radius = OFFSET + GROWTH * np.where(clockwise[:, None], 50 / backwards, along)
    centre = np.where(clockwise, -_CENTRE, _CENTRE)[:, None]
    turned = angle + turn[:, None]
    return np.stack([centre + radius * np.cos(turned), radius * np.sin(turned)], axis=-1)
