"""Encoders: what must not change their summary, and what must."""

from __future__ import annotations

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.nn import ENCODERS, ControlledEncoder, ReferenceEncoder
from isocline.nn.controlled_encoder import WIDEST_PATH, filled

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
    changed = np.abs(encoder(name)(times, values, mask) - expected).max()
    if (name, what) == ("plain_rnn", "time"):
        assert changed == 0  # it knows the order alone
    else:
        assert changed > 1e-5


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


def test_a_path_is_the_same_with_another_knot_on_its_lines():
    """Kidger et al. (2020): what drives the state is the path, and not how it is written down."""
    made = ControlledEncoder(CHANNELS, FEATURES, key=jax.random.key(1), counts=False)
    read = jax.jit(made.__call__)
    times = jnp.float32([-1.5, -1.0, -0.4, -0.1])
    values = jnp.float32([[1.0, 0.5], [0.2, -0.6], [-0.7, 0.8], [0.3, 0.1]])
    whole = jnp.ones(values.shape, bool)
    at = jnp.float32([-1.3, -1.1, -0.85, -0.2])
    between = jax.vmap(lambda line: jnp.interp(at, times, line), 1, 1)(values)
    more = jnp.append(times, at), jnp.append(values, between, 0), jnp.ones((8, CHANNELS), bool)
    expected = read(times, values, whole)
    np.testing.assert_allclose(read(*more), expected, atol=2e-3)
    # And with a knot that has one of the channels only: the other's line goes through.
    half = jnp.concatenate([whole, jnp.zeros((4, CHANNELS), bool).at[:, 0].set(True)])
    np.testing.assert_allclose(read(more[0], more[1], half), expected, atol=2e-3)
    beside = values.at[1, 0].add(0.3)
    assert np.abs(read(times, beside, whole) - expected).max() > 2e-2


def test_lines_between_the_observations_of_a_channel():
    distance = jnp.float32([4, 3, 2, 1])
    mask = jnp.array([[0, 0], [1, 0], [0, 0], [1, 0]], bool)
    values = jnp.where(mask, jnp.float32([[9, 9], [1, 9], [9, 9], [5, 9]]), 0)
    np.testing.assert_allclose(filled(distance, values, mask), [[1, 0], [1, 0], [3, 0], [5, 0]])


def test_a_cde_of_many_channels_has_a_narrow_path():
    made = ControlledEncoder(40, FEATURES, key=jax.random.key(0))
    assert made.mixing.shape == (WIDEST_PATH, 81)
    rng = np.random.default_rng(0)
    mask = jnp.asarray(rng.random((ROWS, 40)) < 0.5)
    values = jnp.asarray(rng.normal(size=mask.shape), jnp.float32)
    assert np.isfinite(made(jnp.linspace(-1, 0, ROWS), values, mask)).all()


def test_reference_points_smooth_a_channel_by_its_own_observations():
    """Where a channel is observed once, it is this value at all points that are near."""
    made = ReferenceEncoder(CHANNELS, FEATURES, key=jax.random.key(0))
    score = made.weights(jnp.float32([1.0, 0.5, 0.0]), jnp.float32([1.0, 0.1]), jnp.float32(1))
    assert score.shape == (3, 3, 2)
    narrow = np.asarray(score)[0]
    assert narrow[0, 0] > narrow[0, 1] + 50 and narrow[2, 1] > narrow[2, 0] + 50
