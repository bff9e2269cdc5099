"""Encoders: what must not change their summary, and what must."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.nn import ENCODERS

CHANNELS, FEATURES, ROWS = 2, 6, 7
encoders = pytest.mark.parametrize("name", list(ENCODERS))


@cache
def encoder(name):
    """A compiled encoder that gives NumPy arrays."""
    read = jax.jit(ENCODERS[name](CHANNELS, FEATURES, key=jax.random.key(0)).__call__)
    return lambda *observations: np.array(read(*map(jnp.array, observations)))


def observations(seed=0, rows=ROWS):
    """Times before the origin, values with zeros where nothing was seen, and a mask with holes."""
    rng = np.random.default_rng(seed)
    times = -np.sort(rng.uniform(0.05, 1.5, rows))[::-1]
    mask = rng.random((rows, CHANNELS)) < 0.7
    mask[:, 0] |= ~mask.any(axis=1)
    values = np.where(mask, rng.normal(size=(rows, CHANNELS)), 0)
    return times.astype(np.float32), values.astype(np.float32), mask


@encoders
@pytest.mark.core
def test_padding_does_not_change_the_summary(name):
    times, values, mask = observations()
    # Padding at either end, at any time, with anything in its cells.
    filler_times, filler = np.float32([-9.0, 0.3, -0.6]), np.full((3, CHANNELS), 5.0, np.float32)
    nothing = np.zeros((3, CHANNELS), bool)
    padded = [
        (np.append(times, filler_times), np.append(values, filler, 0), np.append(mask, nothing, 0)),
        (np.append(filler_times, times), np.append(filler, values, 0), np.append(nothing, mask, 0)),
    ]
    expected = encoder(name)(times, values, mask)
    for entries in padded:
        np.testing.assert_allclose(encoder(name)(*entries), expected, atol=2e-6)


@encoders
def test_masked_cells_do_not_change_the_summary(name):
    times, values, mask = observations()
    assert not mask.all()
    found = encoder(name)(times, np.where(mask, values, 7.0).astype(np.float32), mask)
    np.testing.assert_allclose(found, encoder(name)(times, values, mask), atol=2e-6)


@encoders
def test_order_of_rows_does_not_matter(name):
    times, values, mask = observations()
    order = np.random.default_rng(1).permutation(ROWS)
    found = encoder(name)(times[order], values[order], mask[order])
    np.testing.assert_allclose(found, encoder(name)(times, values, mask), atol=2e-6)


@encoders
@pytest.mark.parametrize("what", ["time", "value", "mask"])
def test_every_seen_cell_matters(name, what):
    """The counterpart of the laws above: a constant encoder would pass those."""
    times, values, mask = observations()
    expected = encoder(name)(times, values, mask)
    row = ROWS // 2
    channel = int(np.flatnonzero(mask[row])[0])
    if what == "time":
        times[row] += 0.02
    elif what == "value":
        values[row, channel] += 1
    else:
        mask[row, channel] = False
    assert np.abs(encoder(name)(times, values, mask) - expected).max() > 1e-5


@encoders
def test_an_empty_context_has_a_finite_summary_and_gradient(name):
    made = ENCODERS[name](CHANNELS, FEATURES, key=jax.random.key(0))
    nothing = jnp.zeros(ROWS), jnp.zeros((ROWS, CHANNELS)), jnp.zeros((ROWS, CHANNELS), bool)
    compute = jax.value_and_grad(lambda values: jnp.sum(made(nothing[0], values, nothing[2]) ** 2))
    value, gradient = jax.jit(compute)(nothing[1])
    assert np.isfinite(value)
    np.testing.assert_array_equal(gradient, 0)


@encoders
def test_gradients_are_finite_in_all_observed_values_only(name):
    times, values, mask = map(jnp.asarray, observations())
    made = ENCODERS[name](CHANNELS, FEATURES, key=jax.random.key(0))
    gradient = jax.jit(jax.grad(lambda values: jnp.sum(made(times, values, mask) ** 2)))(values)
    mask = np.asarray(mask)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(np.asarray(gradient)[~mask], 0)
    assert (np.asarray(gradient)[mask] != 0).any()
