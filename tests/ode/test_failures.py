"""What is said and given back when a solve fails, and when an argument does not fit."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.errors import InputError, IsoclineError
from isocline.ode import SolveError, Status, solve


def decay(t, y):
    return -y


CASES = {
    "NaN at once": (lambda t, y: jnp.log(-1 - t) * y, {}, Status.NON_FINITE, "component 0"),
    "NaN later": (lambda t, y: y * jnp.sqrt(0.5 - t), {}, Status.NON_FINITE, "square|root"),
    "blow-up": (lambda t, y: y**2, {}, Status.STEP_UNDERFLOW, "blew up"),
    "step limit": (
        lambda t, y: -y * jnp.sin(50 * t),
        {"max_steps": 5},
        Status.MAX_STEPS,
        "max_steps",
    ),
    "stiff": (lambda t, y: -1e5 * (y - jnp.cos(t)), {"max_steps": 99}, Status.MAX_STEPS, "stiff"),
}


@pytest.mark.parametrize("case", CASES)
def test_failure_has_its_status_words_and_partial_result(case):
    """One status and one remedy for each cause; what was computed is there, NaN only after it."""
    field, options, status, words = CASES[case]
    ts = np.array([0.0, 0.01, 4.0])
    with pytest.raises(SolveError, match=words) as caught:
        solve(field, jnp.ones(2), ts, **options)
    assert isinstance(caught.value, IsoclineError)
    partial = caught.value.solution
    assert Status(int(partial.status)) == status and not bool(partial.success)
    assert np.isfinite(partial.ys[0]).all() and np.isnan(partial.ys[-1]).all()
    assert np.isfinite(partial.ending.t) and float(partial.ending.t) < 4
    masked = solve(field, jnp.ones(2), ts, on_failure="mask", **options)
    assert np.isfinite(masked.ys).all() and int(masked.status) == status


def test_blow_up_is_found_where_it_is():
    """y' = y^2 from 1 ends at t = 1."""
    solution = solve(lambda t, y: y**2, jnp.ones(1), [0.0, 3.0], on_failure="return", rtol=1e-6)
    assert float(solution.ending.t) == pytest.approx(1, abs=1e-4)
    assert "at t=" in solution.explain() and "sign of the field" in solution.explain()


@pytest.mark.parametrize("method, start", [("dopri8", 0.0), ("heun", 30.0)])
def test_blow_up_is_told_where_it_overflows_and_on_a_coarse_clock(method, start):
    """A trial step may overflow; and far from t=0 the state comes out no larger than 7e4."""
    rules = {"method": method, "rtol": 0.1, "atol": 0.01, "on_failure": "return"}
    solution = solve(lambda t, y: y**2, jnp.array([1.0, 1.45]), [start, start + 1.7], **rules)
    assert int(solution.status) in (Status.NON_FINITE, Status.STEP_UNDERFLOW)
    assert "blew up" in solution.explain() and "sign of the field" in solution.explain()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("when", [0.25, 2.0])
def test_nan_is_found_where_it_begins(when, sign):
    """The field turns NaN at a time: the solve stops just before it, and says that time."""
    field = lambda t, y: jnp.where(sign * t > when, jnp.nan, -y)
    ts = sign * np.array([0.0, when / 2, 3.0])
    solution = solve(field, jnp.ones(1), ts, on_failure="return")
    assert int(solution.status) == Status.NON_FINITE
    assert float(solution.ending.t) == pytest.approx(sign * when, rel=1e-4)
    said = re.search(r"at t=(\S+)", solution.explain())
    assert float(said[1]) == pytest.approx(sign * when, rel=1e-4)
    assert np.isfinite(solution.ys[:2]).all() and np.isnan(solution.ys[2]).all()


def test_component_at_fault_is_named():
    """The first component that went non-finite, counted through the ravelled state."""
    solution = solve(
        lambda t, y: jnp.stack([y[0], y[1], jnp.log(0.5 - t)]),
        jnp.ones(3),
        [0.0, 1.0],
        on_failure="return",
    )
    assert int(solution.ending.component) == 2 and "component 2" in solution.explain()


def test_success_and_traced_solutions_explain_themselves():
    """explain() has words for every state of a solution."""
    assert "reached the last time" in solve(decay, jnp.ones(1), [0.0, 1.0]).explain()
    said = []
    jax.jit(lambda y: said.append(solve(decay, y, [0.0, 1.0]).explain()))(jnp.ones(1))
    assert "traced" in said[0]


@pytest.mark.parametrize("adjoint", ["replay", "backsolve"])
def test_gradient_of_a_failed_solve_is_zero(adjoint):
    """Not NaN: one bad sample must not spoil a training step."""

    def total(y0, a):
        solution = solve(
            lambda t, y, a: a * y**2, y0, [0.0, 0.1, 3.0], a, adjoint=adjoint, on_failure="mask"
        )
        return jnp.sum(solution.ys), solution.status

    (y_bar, a_bar), status = jax.grad(total, argnums=(0, 1), has_aux=True)(
        jnp.ones(2), jnp.array(1.0)
    )
    assert int(status) != Status.SUCCESS
    assert not y_bar.any() and a_bar == 0


ONE = jnp.ones(1)
TWO = jnp.ones((2, 1))
TIMES = [0.0, 1.0]
LANES = {"batch": "independent"}
BAD = {
    "method": (ONE, TIMES, {"method": "rk45"}),
    "method=": (ONE, TIMES, {"method": None}),
    "method='rk4'": (ONE, TIMES, {"method": "rk4"}),
    "adjoint": (ONE, TIMES, {"adjoint": "reverse"}),
    "batch": (ONE, TIMES, {"batch": 3}),
    "on_failure": (ONE, TIMES, {"on_failure": "ignore"}),
    "controller": (ONE, TIMES, {"controller": "P"}),
    "rtol": (ONE, TIMES, {"rtol": -1.0}),
    "rtol ": (ONE, TIMES, {"rtol": "tight"}),
    "atol": (ONE, TIMES, {"atol": np.nan}),
    "rtol and atol": (ONE, TIMES, {"rtol": 0, "atol": 0}),
    "rtol has shape": (ONE, TIMES, {"rtol": [1e-3, 1e-4]}),
    "max_steps": (ONE, TIMES, {"max_steps": 0}),
    "max_steps=2.5": (ONE, TIMES, {"max_steps": 2.5}),
    "max_steps=3": (ONE, TIMES, {"max_steps": 3, "steps": 4}),
    "steps": (ONE, TIMES, {"steps": 0}),
    "steps=1.5": (ONE, TIMES, {"steps": 1.5}),
    "steps= or grid=": (ONE, TIMES, {"steps": 2, "grid": [0, 1]}),
    "grid needs": (ONE, TIMES, {"grid": [0.0]}),
    "grid must rise": (ONE, TIMES, {"grid": [0.0, 0.6, 0.5, 1.0]}),
    "grid must begin": (ONE, TIMES, {"grid": [0.0, 0.5]}),
    "dt0": (ONE, TIMES, {"dt0": 0.0}),
    "ts must have": (ONE, [], {}),
    "ts must have shape": (ONE, 1.0, {}),
    "ts must be a number": (ONE, [[[0.0, 1.0], [2.0]]], {}),
    "row 1 of ts": (TWO, [[0.0, 1.0], []], LANES),
    "ts and t0 must be finite": (ONE, [0.0, np.inf], {}),
    r"ts\[2\]": (ONE, [0.0, 2.0, 1.0], {}),
    r"ts\[1, 2\]": (TWO, [[0.0, 1.0, 2.0], [0.0, -1.0, 1.0]], LANES),
    "ts has shape": (ONE, [[0.0, 1.0]], {}),
    "ts has shape .*2 traj": (TWO, [[0.0, 1.0]] * 3, LANES),
    "y0 must have one axis": ((TWO, ONE), TIMES, LANES),
    "y0 holds": ({}, TIMES, {}),
    "y0 must hold": (["a"], TIMES, {}),
    "args_axes": (ONE, TIMES, {"args": jnp.ones(2), "args_axes": 0}),
    "args_axes=1": (TWO, TIMES, {"args": jnp.ones(2), "args_axes": 1} | LANES),
    "args_axes gives": (TWO, TIMES, {"args": jnp.ones(3), "args_axes": 0} | LANES),
    "args_axes.*prefix": (TWO, TIMES, {"args": (jnp.ones(2),), "args_axes": (0, 0)} | LANES),
}


@pytest.mark.parametrize("words", BAD)
def test_bad_argument_is_named(words):
    """Always InputError, which is a ValueError too, with the argument in the message."""
    y0, ts, options = BAD[words]
    with pytest.raises(InputError, match=words.strip()):
        solve(lambda t, y, args: jax.tree.map(jnp.negative, y), y0, ts, **options)


@pytest.mark.parametrize(
    "field, words",
    [
        (lambda t, y: y[:1], r"shape of y: expected \(2,\), got \(1,\)"),
        (lambda t, y: (y, y), "structure of y"),
        (lambda t, y: 1j * y, "complex numbers for a real state"),
    ],
)
def test_slope_that_does_not_fit_the_state_is_refused(field, words):
    """Broadcasting a wrong slope would give a wrong answer in silence."""
    with pytest.raises(InputError, match=words):
        solve(field, jnp.ones(2), TIMES)


def test_rtol_below_the_precision_is_raised_with_a_warning():
    """In float32, 1e-9 is answered as the floor is: nothing wasted, nothing fails; 0 is silent."""
    y0 = jnp.ones(1)
    with pytest.warns(UserWarning, match="rtol=1e-09 is below what float32 resolves"):
        low = solve(decay, y0, TIMES, rtol=1e-9, atol=1e-9)
    floor = solve(decay, y0, TIMES, rtol=4 * float(jnp.finfo(jnp.float32).eps), atol=1e-9)
    assert int(low.stats.nfe) == int(floor.stats.nfe)
    assert int(solve(decay, y0, TIMES, rtol=0, atol=1e-3).status) == Status.SUCCESS


@pytest.mark.parametrize("ts", [[0.0, 2.0, 1.0], [0.0, np.nan, 1.0], [0.0, 1.0, np.nan]])
def test_times_that_turn_under_jit_do_not_pass_for_solved(ts):
    """Before tracing they are refused; a traced solve has to say it afterwards."""

    @jax.jit
    def solved(ts):
        return solve(lambda t, y: -y, jnp.ones(1), ts, on_failure="return")

    solution = solved(jnp.array(ts))
    assert not solution.success and np.isnan(solution.ys[1:]).all()
    assert "save times that turn back, or are no finite numbers" in solution.explain()
    assert solved(jnp.array([2.0, 1.0, 0.0])).success


def test_a_failure_is_raised_while_a_gradient_is_taken():
    with pytest.raises(SolveError, match="blew up at t=1"):
        jax.grad(lambda y: solve(lambda t, y: y**2, y, [0.0, 5.0]).ys[-1, 0])(jnp.ones(1))


def test_a_list_of_numbers_is_told_to_be_no_array():
    with pytest.raises(InputError, match=r"list of single numbers.*y0=np\.array"):
        solve(lambda t, y: -jnp.array(y), [1.0, 2.0], TIMES)
    assert solve(lambda t, y: [-y[0], -y[1]], [1.0, 2.0], TIMES).success


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("grid", [0.0, 0.5, 1.0], [0.0, 0.6, 0.5, 1.0]),
        ("grid", [0.0, 0.5, 1.0], [0.0, 0.5, 0.8]),
        ("dt0", 0.1, np.nan),
        ("atol", 1e-6, np.nan),
        ("rtol", 1e-3, -1.0),
    ],
)
def test_wrong_arguments_under_jit_do_not_pass_for_solved(name, right, wrong):
    """As wrong times: what can not be refused any more is told afterwards, with its cause."""

    @jax.jit
    def solved(value):
        return solve(decay, jnp.ones(1), TIMES, on_failure="return", **{name: value})

    assert solved(jnp.asarray(right)).success
    solution = solved(jnp.asarray(wrong))
    assert int(solution.status) == Status.NON_FINITE and np.isnan(solution.ys[-1]).all()
    assert name in solution.explain() and "see these arguments" in solution.explain()
