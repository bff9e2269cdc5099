"""A growing horizon asks for near times first, and for everything in the end."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from isocline.models import Context, Target
from isocline.train import growing_horizon

TIMES = np.linspace(0.1, 1.0, 10)


def batch():
    times = jnp.asarray(np.stack([TIMES, TIMES]), jnp.float32)
    shape = (2, 10, 1)
    context = Context(times, jnp.zeros(shape), jnp.ones(shape, bool), jnp.zeros((2, 0)))
    return context, Target(times, jnp.ones(shape), jnp.ones(shape, bool))


def asked(fraction, progress):
    return growing_horizon(fraction)(batch(), jnp.asarray(progress))[1]


@pytest.mark.parametrize("progress, share", [(0.0, 0.1), (0.25, 0.55), (0.5, 1.0), (1.0, 1.0)])
def test_the_horizon_grows(progress, share):
    target = asked(0.5, progress)
    assert int(target.mask[0].sum()) == pytest.approx(10 * share, abs=0.51)
    # No solve goes beyond what is asked, and times still rise.
    assert float(target.times.max()) <= share + 1e-6
    assert (np.diff(target.times[0]) >= 0).all()


def test_nothing_is_asked_before_the_first_time():
    """A batch may have no time that near: all of it is padding, at the state's own time."""
    _, target = batch()
    early = target.until(jnp.asarray(0.05))
    assert not early.mask.any() and float(early.times.max()) == 0


def test_without_a_fraction_there_is_no_curriculum():
    assert growing_horizon(0.0) is None
