"""The level of the latest observations: its limits, and where nothing was observed."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from isocline.nn import Level

TIMES = jnp.array([-0.1, -0.4, -0.9, 0.0])
VALUES = jnp.array([[3.0, 1.0], [5.0, 2.0], [7.0, 3.0], [0.0, 0.0]])
MASK = jnp.array([[True, False], [True, True], [True, True], [False, False]])
ASKED = jnp.array([0.0, 1.0])


def level(near, fade, share):
    one = Level(2)
    numbers = np.log(near), np.log(fade), np.log(share / (1 - share))
    return eqx.tree_at(
        lambda it: (it.log_near, it.log_fade, it.raw_share),
        one,
        tuple(jnp.full(2, number, jnp.float32) for number in numbers),
    )


def test_the_last_value_that_never_fades_is_persistence():
    found = level(1e3, 1e-6, 1 - 1e-6)(TIMES, VALUES, MASK, ASKED)
    np.testing.assert_allclose(found, [[3, 2], [3, 2]], rtol=1e-4)


def test_without_weights_in_time_it_is_the_mean_of_what_was_observed():
    found = level(1e-6, 1e-6, 1 - 1e-6)(TIMES, VALUES, MASK, ASKED)
    np.testing.assert_allclose(found[0], [5, 2.5], rtol=1e-4)


def test_it_fades_and_has_a_share():
    found = level(1e3, 2.0, 0.5)(TIMES, VALUES, MASK, ASKED)
    np.testing.assert_allclose(found[:, 0], [1.5, 1.5 * np.exp(-2)], rtol=1e-4)


def test_nothing_observed_is_no_level():
    found = Level(2)(TIMES, jnp.zeros((4, 2)), jnp.zeros((4, 2), bool), ASKED)
    np.testing.assert_array_equal(found, 0)
