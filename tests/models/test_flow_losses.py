"""Which times flow matching looks at."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from isocline.models.flow_losses import LATEST, matching_times


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
