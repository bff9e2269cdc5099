"""Known discontinuities: no step reaches across, and the field is seen from the right side."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline import InputError, solve

pytestmark = pytest.mark.usefixtures("x64")

JUMPS = np.arange(1.0, 8.0)
TIGHT = {"rtol": 1e-8, "atol": 1e-10}


def square(t):
    """A square wave with jumps at the integers."""
    return jnp.where(jnp.floor(t) % 2 == 0, 1.0, -1.0)


def driven(t, y):
    return square(t) - y


def exact(t):
    """The solution from 0: towards 1 and -1 in turn."""
    y, sign = 0.0, 1.0
    while t > 1:
        y, sign, t = sign + (y - sign) * np.exp(-1), -sign, t - 1
    return sign + (y - sign) * np.exp(-t)


def test_no_step_is_lost_to_a_known_jump():
    ts = np.linspace(0.0, 7.5, 16)
    values = [exact(t) for t in ts]
    blind = solve(driven, np.float64(0.0), ts, **TIGHT)
    told = solve(driven, np.float64(0.0), ts, breakpoints=JUMPS, **TIGHT)
    np.testing.assert_allclose(told.ys, values, atol=1e-8)
    assert told.stats.rejected < 20 and blind.stats.rejected > 200
    assert told.stats.nfe < 0.3 * blind.stats.nfe


def test_the_order_of_the_method_is_kept():
    """Halving the tolerance 2**5 times makes errors as much smaller; at a jump they would stay."""
    errors = []
    for rtol in (1e-4, 1e-8):
        solution = solve(
            driven, np.float64(0.0), [0.0, 7.5], breakpoints=JUMPS, rtol=rtol, atol=rtol
        )
        errors.append(abs(float(solution.ys[-1]) - exact(7.5)))
    assert errors[1] < 1e-3 * errors[0] < 1e-7


@pytest.mark.parametrize("direction", [1, -1])
def test_the_field_is_never_seen_at_or_beyond_a_breakpoint(direction):
    seen = []

    def field(t, y):
        jax.debug.callback(lambda t: seen.append(float(t)), t)
        return jnp.where(t < 0.0, jnp.cos(t), 1.0 - y)

    ends = np.array([-1.0, 1.0])[::direction]
    solve(field, np.float64(0.3), ends, breakpoints=[0.0, 0.25, -0.5], **TIGHT)
    jax.effects_barrier()
    assert not {0.0, 0.25, -0.5} & set(seen)
    # Stages at the end of one part, and at the start of the next, are next to it on either side.
    assert any(0.25 - 1e-15 < t < 0.25 for t in seen) and any(0.25 < t < 0.25 + 1e-15 for t in seen)


def test_breakpoints_outside_the_span_or_at_its_ends_do_nothing():
    plain = solve(lambda t, y: -y, np.float64(1.0), [0.0, 0.5, 1.0])
    many = solve(
        lambda t, y: -y, np.float64(1.0), [0.0, 0.5, 1.0], breakpoints=[-3.0, 0.0, 1.0, 2.0]
    )
    np.testing.assert_allclose(many.ys, plain.ys, rtol=1e-12)
    np.testing.assert_array_equal(many.stats.accepted, plain.stats.accepted)


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", ["replay", "forward", "backsolve"])
def test_gradients_by_parameters_and_by_the_breakpoint_itself(adjoint):
    """dy/dt = -a y, and from c on -a y + b."""

    def final(p):
        a, b, c = p
        field = lambda t, y: jnp.where(t < c, 0.0, b) - a * y
        solution = solve(
            field,
            np.float64(2.0),
            [0.0, 1.5, 2.0],
            breakpoints=c[None],
            adjoint=adjoint,
            on_failure="return",
            **TIGHT,
        )
        return solution.ys[1:]

    def closed(p):
        a, b, c = p
        ts = jnp.array([1.5, 2.0])
        return 2 * jnp.exp(-a * ts) + b / a * (1 - jnp.exp(-a * (ts - c)))

    p = jnp.array([0.7, 1.3, 0.9])
    jacobian = (jax.jacfwd if adjoint == "forward" else jax.jacrev)(final)(p)
    np.testing.assert_allclose(final(p), closed(p), rtol=1e-7)
    np.testing.assert_allclose(jacobian, jax.jacrev(closed)(p), rtol=1e-5)


def test_lanes_with_times_and_directions_of_their_own():
    ts = np.array([[0.0, 2.5], [2.5, 0.0], [0.2, 0.7]])
    y0 = np.array([0.0, exact(2.5), exact(0.2)])
    solution = solve(
        driven, jnp.asarray(y0), ts, breakpoints=JUMPS[:3], batch="independent", **TIGHT
    )
    np.testing.assert_allclose(solution.ys[:, 1], [exact(2.5), 0.0, exact(0.7)], atol=1e-7)


def test_wrong_breakpoints_are_told():
    with pytest.raises(InputError, match="finite times"):
        solve(driven, np.float64(0.0), [0.0, 1.0], breakpoints=[0.5, np.nan])
    with pytest.raises(InputError, match="finite times"):
        solve(driven, np.float64(0.0), [0.0, 1.0], breakpoints=0.5)
    with pytest.raises(InputError, match="adaptive"):
        solve(driven, np.float64(0.0), [0.0, 1.0], breakpoints=[0.5], steps=10)
