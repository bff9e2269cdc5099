"""Likelihood and CRPS against SciPy and numerical integration."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from isocline.models import Prediction, Target
from isocline.models.likelihood import gaussian_crps, gaussian_log_likelihood, moments

pytestmark = pytest.mark.usefixtures("x64")
BATCH, TIMES, CHANNELS = 2, 3, 2


def setting(draws=None):
    rng = np.random.default_rng(0)
    shape = (BATCH, TIMES, CHANNELS)
    leading = shape if draws is None else (draws, *shape)
    mean, std = rng.normal(size=leading), rng.uniform(0.3, 2, leading)
    prediction = Prediction(
        jnp.asarray(mean), jnp.asarray(std), jnp.zeros((*leading[:-1], 1)), jnp.zeros(BATCH)
    )
    mask = rng.random(shape) < 0.6
    assert mask.any() and not mask.all()
    # What was not observed must not matter, whatever stands there.
    values = np.where(mask, rng.normal(size=shape), 1e6)
    target = Target(jnp.zeros((BATCH, TIMES)), jnp.asarray(values), jnp.asarray(mask))
    return prediction, target, mean, std, values, mask


@pytest.mark.core
def test_log_likelihood_is_the_sum_over_observed_values():
    prediction, target, mean, std, values, mask = setting()
    expected = stats.norm.logpdf(values[mask], mean[mask], std[mask]).sum()
    assert float(gaussian_log_likelihood(prediction, target)) == pytest.approx(expected, rel=1e-10)


def test_moments_are_those_of_the_mixture():
    prediction, _, mean, std, _, _ = setting(draws=4)
    rng = np.random.default_rng(1)
    found_mean, found_std = moments(prediction)
    samples = rng.normal(mean, std, (200_000, *mean.shape)).reshape(-1, BATCH, TIMES, CHANNELS)
    np.testing.assert_allclose(found_mean, samples.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(found_std, samples.std(axis=0), atol=0.01)


def test_crps_is_the_integral_of_the_squared_difference_of_distributions():
    prediction, target, mean, std, values, mask = setting(draws=1)

    def crps(mean, std, value):
        below, _ = quad(lambda x: stats.norm.cdf(x, mean, std) ** 2, value - 40, value)
        above, _ = quad(lambda x: stats.norm.sf(x, mean, std) ** 2, value, value + 40)
        return below + above

    expected = np.mean([crps(*entry) for entry in zip(mean[0][mask], std[0][mask], values[mask])])
    assert float(gaussian_crps(prediction, target)) == pytest.approx(expected, rel=1e-6)


def test_nothing_observed_scores_zero():
    prediction, target, *_ = setting(draws=2)
    blank = Target(target.times, target.values, jnp.zeros_like(target.mask))
    assert float(gaussian_crps(prediction, blank)) == 0
    assert float(gaussian_log_likelihood(prediction, blank)) == 0
