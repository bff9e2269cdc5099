"""`profile` counts what is there to count; its seconds are only seconds."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.errors import InputError
from isocline.ode import SolveError, profile, solve
from isocline.ode.extra import Extra
from isocline.ode.tools.counting import Counter
from isocline.ode.tools.tables import seconds, size, text_table
from isocline.ode.traced import operations

TURN = jnp.array([[0.0, 1.0], [-1.0, 0.0]])


# A small method: the programs of larger ones take a while to compile.
SMALL = {"method": "heun", "rtol": 1e-2}


def turn(t, y, scale):
    return scale * (TURN @ y)


@pytest.fixture(scope="module")
def found():
    return profile(turn, jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0, 2.0]), 2.0, repeats=1, **SMALL)


def test_counts_are_those_of_the_solve(found):
    solution = solve(turn, jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0, 2.0]), 2.0, **SMALL)
    assert found.forward.evaluations == int(solution.stats.nfe)
    assert found.accepted == int(solution.stats.accepted)
    assert found.floor_evaluations == 2 * found.accepted
    # The way back evaluates the stages of accepted steps again, with one VJP each.
    assert found.gradient.pullbacks == int(solution.stats.nfe_backward)
    assert found.gradient.evaluations == found.forward.evaluations + found.gradient.pullbacks
    assert found.forward.pullbacks == 0


def test_all_is_positive_and_a_gradient_costs_more(found):
    for cost in (found.forward, found.gradient):
        assert min(cost.trace, cost.compile, cost.run, cost.floor, cost.above_floor) > 0
        assert cost.temporary is None or cost.temporary > 0
    assert found.gradient.equations > found.forward.equations > 10
    assert (
        found.kept > 2 * 4 * 2 * found.accepted
        and found.adjoint == "replay"
        and found.dtype == "float32"
    )


def test_it_prints_and_is_json(found):
    lines = str(found).splitlines()
    assert lines[1].split()[:3] == ["trace", "compile", "run"]
    assert json.loads(json.dumps(found.as_dict()))["above_floor"]["forward"] > 0


@pytest.mark.slow
def test_independent_trajectories():
    batch = profile(
        turn,
        jnp.ones((3, 2)),
        jnp.array([0.0, 1.0]),
        jnp.array([1.0, 2.0, 3.0]),
        batch="independent",
        args_axes=0,
        repeats=1,
        **SMALL,
    )
    assert batch.accepted >= 3 * 2 and batch.gradient.pullbacks > 0


def test_what_does_not_fit_is_told():
    with pytest.raises(InputError, match="repeats=0"):
        profile(turn, jnp.ones(2), [0.0, 1.0], 1.0, repeats=0)
    with pytest.raises(SolveError, match="blew up"):
        profile(lambda t, y: y**2, jnp.ones(1), [0.0, 2.0])


def test_equations_inside_loops_count_once():
    def loop(x):
        return jax.lax.fori_loop(0, 9, lambda _, x: jnp.sin(x) + 1, x)

    inner = list(operations(jax.make_jaxpr(loop)(1.0).jaxpr))
    assert {"sin", "add"} < set(inner) and 3 <= len(inner) <= 8
    outer = list(operations(jax.make_jaxpr(lambda x: loop(x) * 2)(1.0).jaxpr))
    assert outer == [*inner, "mul"]


def test_units():
    assert [seconds(v) for v in (None, 2.0, 2e-3, 2e-6)] == ["-", "2 s", "2 ms", "2 us"]
    assert [size(v) for v in (None, 12, 3_000, 4_500_000)] == ["-", "12 B", "3 kB", "4.5 MB"]
    assert text_table(["a", "bb"], [["cc", "d"]]) == "a   bb\ncc   d"


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.usefixtures("x64")
def test_accepted_steps_and_quadratures(sign):
    """What our tools ask of `solve`: where it stepped, and components that drive no step."""

    def both(t, state):
        y, _ = state
        return TURN @ y, jnp.stack([1e6 * jnp.sum(jnp.sin(50 * t) * y)])

    ts = jnp.array([0.0, sign * 3.0])
    y0 = jnp.array([1.0, 0.0])
    alone = solve(lambda t, y: TURN @ y, y0, ts, _extra=Extra(steps=True), max_steps=50)
    along = solve(both, (y0, jnp.zeros(1)), ts, _extra=Extra(1, True), max_steps=50)
    measured = solve(both, (y0, jnp.zeros(1)), ts, max_steps=500)
    accepted = int(alone.stats.accepted)
    assert alone.steps.shape == (51,) and (sign * jnp.diff(alone.steps) >= 0).all()
    assert float(alone.steps[accepted]) == sign * 3.0 != float(alone.steps[accepted - 1])
    assert jnp.allclose(along.steps, alone.steps, rtol=1e-5)
    assert int(measured.stats.accepted) > 2 * accepted
    grid = solve(lambda t, y: TURN @ y, y0, ts, grid=alone.steps[: accepted + 1])
    assert jnp.allclose(grid.ys, alone.ys, atol=1e-6)


def test_of_lanes_each_counts_and_the_host_is_handed_no_array(monkeypatch):
    """On one core, what touches an array in a callback may wait for ever."""
    counter, calls, tell = Counter(), [], jax.debug.callback
    field = counter.counted(lambda t, y, args: -y)

    def noting(told, *arrays):
        calls.append(arrays)
        return tell(told, *arrays)

    monkeypatch.setattr(jax.debug, "callback", noting)

    @jax.jit
    @jax.grad
    def gradient(ys):
        return jnp.sum(jax.vmap(lambda y: field(0.0, y, None))(ys))

    np.testing.assert_array_equal(gradient(jnp.ones((3, 2))), -np.ones((3, 2)))
    jax.effects_barrier()
    assert (counter.evaluations, counter.pullbacks) == (3, 3)
    assert calls and not any(calls)
