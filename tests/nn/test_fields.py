"""Vector fields against their formulas."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.nn import ForcedField
from isocline.nn.fields import seasons_at


def test_seasons_are_cosines_and_sines_from_their_phase():
    t, frequencies, phase = np.array([0.0, 0.3, 2.0]), np.array([2.0, 5.0]), np.array([0.4, -1.0])
    found = seasons_at(jnp.asarray(t), jnp.asarray(frequencies), jnp.asarray(phase))
    angle = np.outer(t, frequencies) + phase
    np.testing.assert_allclose(found, np.concatenate([np.cos(angle), np.sin(angle)], 1), atol=1e-6)


@pytest.mark.parametrize("periods", [0, 2])
def test_the_field_is_linear_part_plus_mlp(periods):
    field = ForcedField(3, 5, 1, periods, key=jax.random.key(0))
    z = jnp.array([0.5, -1.0, 2.0])
    args = jnp.arange(1.0, periods + 1), jnp.full(periods, 0.7)
    season = seasons_at(jnp.array(0.25), *args)
    expected = field.linear @ z + field.mlp(jnp.concatenate([z, season]))
    np.testing.assert_allclose(field(jnp.array(0.25), z, args), expected, atol=1e-6)
    assert season.shape == (2 * periods,)


def test_only_a_forced_field_depends_on_time():
    z = jnp.array([0.5, -1.0, 2.0])

    def change(periods):
        field = ForcedField(3, 5, 1, periods, key=jax.random.key(0))
        args = jnp.full(periods, 3.0), jnp.zeros(periods)
        return float(jnp.abs(field(jnp.array(0.0), z, args) - field(jnp.array(1.0), z, args)).max())

    assert change(0) == 0
    assert change(1) > 1e-4


def test_the_start_is_stable():
    """Untrained, the linear part pulls every state towards the origin."""
    field = ForcedField(4, 8, 1, 0, key=jax.random.key(1))
    assert (np.linalg.eigvals(np.asarray(field.linear)).real < 0).all()
