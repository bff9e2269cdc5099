"""Which times flow matching looks at."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.models import Flow
from isocline.models.flow_losses import LATEST, TOGETHER, flow_matching, matching_times
from isocline.nn import AbstractFlowField


def test_half_of_the_times_crowd_towards_the_data():
    t = np.asarray(matching_times(jax.random.key(0), 4000))
    assert t.min() >= 0 and t.max() <= 1
    # Log-uniform in what is left of the way, from all of it to the least: half is beyond the root.
    root = np.sqrt(LATEST)
    assert np.mean(t > 1 - root) == pytest.approx((root + 0.5) / 2, abs=0.002)
    assert np.mean(t > 1 - LATEST) == pytest.approx(LATEST / 2, abs=0.001)
    assert np.mean(t < 0.5) == pytest.approx((0.5 + np.log(2) / np.log(1 / LATEST)) / 2, abs=0.002)


def test_they_are_in_no_order():
    t = np.asarray(matching_times(jax.random.key(1), 4000))
    assert abs(np.corrcoef(t, np.arange(len(t)))[0, 1]) < 0.06


class Clock(AbstractFlowField):
    """A field that tells the time."""

    def __call__(self, t, z, context):
        return jnp.stack([t, 0 * t])


@pytest.mark.parametrize(
    ("count", "context", "times"), [(48, 0, 48 // TOGETHER), (48, 1, 48), (7, 0, 7)]
)
def test_points_without_context_share_their_times(count, context, times):
    x, key = jnp.zeros((count, 2)), jax.random.key(0)
    loss = flow_matching(Flow(Clock(), 2), x, x, jnp.zeros((count, context)), key)
    assert loss == pytest.approx(float(jnp.mean(matching_times(key, times) ** 2)), rel=1e-5)
