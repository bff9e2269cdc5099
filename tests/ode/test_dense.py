"""Dense output: the solution as a function of time, for every method."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline import Event, InputError, Status, solve
from isocline.ode import METHODS
from isocline.ode.tableaus import ByDiffrax

pytestmark = pytest.mark.usefixtures("x64")

OURS = [name for name, method in METHODS.items() if not isinstance(method, ByDiffrax)]
TS = np.linspace(0.0, 3.0, 31)


def circle(t, y):
    return {"q": y["p"], "p": -y["q"]}


def start():
    return {"q": np.ones(1), "p": np.zeros(1)}


@pytest.mark.parametrize("name", OURS)
def test_every_method_gives_what_it_saves(name):
    """At any time the interpolant is what the solve itself would save there."""
    fixed = not METHODS[name].adaptive
    symplectic = name in ("leapfrog", "yoshida4", "blanes_moan4", "blanes_moan6")
    y0 = (np.ones(1), np.zeros(1))
    options = {"steps": 24} if fixed else {"rtol": 1e-5, "atol": 1e-7}
    solution = solve(
        lambda t, y: (y[1], -y[0]), y0, TS, method=name, dense=True, max_steps=800, **options
    )
    path = solution.interpolant
    assert symplectic <= fixed
    for value, saved in zip(path(TS), solution.ys, strict=True):
        np.testing.assert_allclose(value, saved, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(path.derivative(TS)[0], path(TS)[1], atol=0.1)
    np.testing.assert_allclose(
        jax.vmap(jax.grad(lambda t: path(t)[0][0]))(TS[1:-1] + 0.01),
        path.derivative(TS[1:-1] + 0.01)[0][:, 0],
        rtol=1e-8,
        atol=1e-9,
    )


@pytest.mark.parametrize("name", ["tsit5", "bosh3", "rk4"])
def test_the_reversible_adjoint_gives_what_it_saves(name):
    """Its own solution, of which a user sees one of the two states; the gradient goes by ts."""
    options = {"rtol": 1e-6} if METHODS[name].adaptive else {"steps": 40}

    def run(rate, dense=True):
        return solve(
            lambda t, y, rate: {"q": rate * y["p"], "p": -rate * y["q"]},
            start(),
            TS,
            rate,
            method=name,
            adjoint="reversible",
            dense=dense,
            max_steps=200,
            **options,
        )

    solution = run(1.0)
    for key, saved in solution.ys.items():
        np.testing.assert_allclose(solution.interpolant(TS)[key], saved, rtol=1e-9, atol=1e-12)
    slope = solution.interpolant.derivative(TS)
    np.testing.assert_allclose(slope["q"], solution.ys["p"], atol=2e-3)
    found, plain = (
        jax.grad(lambda rate, dense=dense: jnp.sum(run(rate, dense).ys["q"] ** 2))(1.0)
        for dense in (True, False)
    )
    np.testing.assert_allclose(found, plain, rtol=1e-12)
    lanes = solve(
        lambda t, y: -y, np.ones((3, 2)), [0.0, 1.0], batch="independent", adjoint="reversible",
        dense=True, max_steps=50,
    )  # fmt: skip
    np.testing.assert_allclose(lanes.interpolant(0.5), np.exp(-0.5) * np.ones((3, 2)), rtol=1e-3)
    with pytest.raises(InputError, match="without dense=True"):
        solve(circle, start(), [0.0, 1.0], method="dopri8", adjoint="reversible", dense=True)


def test_shapes_and_times_outside():
    solution = solve(circle, start(), [0.0, 3.0], dense=True, max_steps=100, rtol=1e-8, atol=1e-9)
    path = solution.interpolant
    assert path(1.0)["q"].shape == (1,) and path(np.ones((2, 3)))["q"].shape == (2, 3, 1)
    np.testing.assert_allclose(path(TS)["q"][:, 0], np.cos(TS), atol=1e-7)
    assert np.isnan(path(np.array([-0.1, 3.1]))["q"]).all()
    assert np.isfinite(path(np.array([0.0, 3.0]))["q"]).all()
    np.testing.assert_allclose(jax.jit(lambda t: path(t))(TS)["q"], path(TS)["q"])


def test_backwards_far_from_zero():
    ts = np.float32([1000.0, 998.0])
    solution = solve(lambda t, y: -y, np.ones(1, np.float32), ts, dense=True, max_steps=99)
    path = solution.interpolant
    np.testing.assert_allclose(
        path(np.float32([1000.0, 999.0, 998.0]))[:, 0], np.exp([0, 1, 2]), rtol=1e-3
    )
    np.testing.assert_allclose(path.derivative(999.0), -np.exp([1.0]), rtol=1e-3)


def test_lanes_have_paths_of_their_own():
    ends = np.array([[0.0, 3.0], [0.0, 1.0], [2.0, -1.0], [0.0, 3.0]])
    y0 = np.array([[1.0], [2.0], [1.0], [-1.0]])
    solution = solve(
        lambda t, y: jnp.where(y > 0, -y, y**2 * 1e9),
        y0,
        ends,
        dense=True,
        max_steps=60,
        batch="independent",
        on_failure="return",
        rtol=1e-7,
        atol=1e-9,
    )
    ts = np.array([0.5, 2.5])
    values = np.asarray(solution.interpolant(ts)[..., 0])
    np.testing.assert_allclose(values[:2, 0], [np.exp(-0.5), 2 * np.exp(-0.5)], rtol=1e-6)
    np.testing.assert_allclose(values[2, 0], np.exp(1.5), rtol=1e-6)
    assert np.isnan(values[1:3, 1]).all()
    assert solution.status[3] != Status.SUCCESS or np.isfinite(values[3]).all()


def test_mapped_solves_have_paths_of_their_own():
    """Whether the interpolant is asked inside of `jax.vmap` or outside, of one lane or of many."""
    ts, starts = np.array([0.5, 0.75]), np.array([[1.0], [2.0], [3.0]])

    def path(y0, **options):
        options |= {"dense": True, "max_steps": 30}
        return solve(lambda t, y: -y, y0, [0.0, 1.0], **options).interpolant

    exact = starts[:, None] * np.exp(-ts)[:, None]
    outside, inside = jax.vmap(path)(starts), jax.vmap(lambda y0: path(y0)(ts))(starts)
    for values in (outside(ts), inside, jax.jit(outside.__call__)(ts)):
        np.testing.assert_allclose(values, exact, rtol=1e-3)
    np.testing.assert_allclose(outside.derivative(0.5), -exact[:, 0], rtol=1e-2)
    lanes = jax.vmap(lambda y0: path(y0, batch="independent"))(starts[None] * np.ones((2, 1, 1)))
    np.testing.assert_allclose(lanes(ts), [exact, exact], rtol=1e-3)


def test_complex_states():
    solution = solve(lambda t, y: 1j * y, np.ones(2, complex), [0.0, 3.0], dense=True, max_steps=99)
    np.testing.assert_allclose(solution.interpolant(TS)[:, 0], np.exp(1j * TS), atol=1e-3)


def test_gradients_of_the_saved_values_stay_and_others_are_told():
    def saved(y0):
        solution = solve(lambda t, y: -y, y0, [0.0, 1.0], dense=True, max_steps=99)
        return solution.ys[-1, 0]

    def between(y0):
        solution = solve(lambda t, y: -y, y0, [0.0, 1.0], dense=True, max_steps=99)
        return solution.interpolant(0.5)[0]

    np.testing.assert_allclose(jax.grad(saved)(jnp.ones(1)), np.exp(-1), rtol=1e-3)
    with pytest.raises(InputError, match="interpolant has no gradient"):
        jax.grad(between)(jnp.ones(1))


FALL = np.linspace(0.0, 4.0, 41)
BALL = np.array([10.0, 9.81, 0.8])  # height, gravity, restitution
BOUNCE = Event(
    lambda t, y: y[0], reset=lambda t, y, p: jnp.array([0.0, -p[2] * y[1]]), direction=-1
)


def bounces(p, ts=FALL, **options):
    options = {"events": BOUNCE, "max_events": 4, "dense": True, "max_steps": 60} | options
    return solve(lambda t, y, p: jnp.array([y[1], -p[1]]), p[0] * np.eye(2)[0], ts, p, **options)


def test_a_state_that_jumps_is_told_from_before_at_the_event_and_from_after_it_later():
    solution = bounces(BALL)
    path, happened = solution.interpolant, solution.events
    assert happened.count == 2 and not np.isin(FALL, happened.ts).any()
    np.testing.assert_allclose(path(FALL), solution.ys, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(path(happened.ts[:2]), happened.ys[:2], atol=1e-9)
    rebound = path(happened.ts[:2] + 1e-6)[:, 1]
    np.testing.assert_allclose(rebound, -0.8 * happened.ys[:2, 1], rtol=1e-5)
    np.testing.assert_allclose(path.derivative(FALL)[:, 1], -BALL[1], rtol=1e-9)
    assert np.isnan(path(np.array([-0.1, 4.1]))).all()


@pytest.mark.parametrize("on_failure", ["return", "mask"])
def test_behind_the_end_by_an_event_there_is_no_value(on_failure):
    ground = Event(BOUNCE.condition, direction=-1)
    solution = bounces(BALL, events=ground, max_events=None, on_failure=on_failure)
    path, (end,) = solution.interpolant, solution.events.ts
    before = np.less(FALL, end)
    np.testing.assert_allclose(path(FALL[before]), solution.ys[before], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(path(end), solution.events.ys[0], atol=1e-9)
    assert np.isnan(path(FALL[~before])).all() and np.isnan(path(end + 1e-6)).all()


def test_parts_between_breakpoints_are_one_path_of_any_number_of_steps():
    """The last part may take as many steps as all together are allowed, and none is lost."""

    def run(max_steps):
        return solve(
            lambda t, y: jnp.where(t < 1.5, 1.0, -1.0) - y,
            np.zeros(1),
            TS,
            breakpoints=[1.5, 2.5],
            dense=True,
            max_steps=max_steps,
            rtol=1e-8,
            atol=1e-10,
        )

    spent = run(200).stats
    solution = run(int(spent.accepted + spent.rejected) - 3)
    assert solution.stats.accepted == spent.accepted
    path = solution.interpolant
    np.testing.assert_allclose(path(TS), solution.ys, rtol=1e-11, atol=1e-12)
    slopes = path.derivative(np.array([1.5, 1.5 + 1e-9]))[:, 0]
    np.testing.assert_allclose(slopes + path(1.5), [1.0, -1.0], atol=1e-5)


@pytest.mark.slow
def test_lanes_in_parts_have_paths_of_their_own():
    """They differ in how many parts they have, in which part takes long, and in direction."""
    heights, ends = np.array([10.0, 2.0, 40.0, 1.0]), np.array([3.0, 3.0, 1.0, -0.5])
    ts = np.linspace(0.0, 1.0, 12) * ends[:, None]
    fall = {"events": BOUNCE, "max_events": 6, "dense": True, "max_steps": 60}

    def one(h, ts, **options):
        y0 = jnp.stack([h, 0 * h], axis=-1)
        return solve(lambda t, y, p: jnp.stack([y[1], -p[1]]), y0, ts, BALL, **fall, **options)

    solution = one(jnp.asarray(heights), ts, batch="independent", args_axes=None)
    assert len(set(np.asarray(solution.events.count))) > 2
    mapped = jax.jit(jax.vmap(one))(jnp.asarray(heights), jnp.asarray(ts))
    for found in (solution, mapped):
        for lane in range(4):
            values = np.asarray(found.interpolant(ts[lane])[lane])
            np.testing.assert_allclose(values, found.ys[lane], rtol=1e-9, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", ["direct", "forward"])
def test_where_it_has_gradients_they_are_those_of_the_saved_values(adjoint):
    """Before a jump of the state and after it."""

    def both(p):
        solution = bounces(p, FALL[::10], adjoint=adjoint, max_events=2, max_steps=12)
        return solution.interpolant(FALL[::10])[1:, 0], solution.ys[1:, 0]

    jacobian = (jax.jacfwd if adjoint == "forward" else jax.jacrev)(both)
    between, saved = jacobian(jnp.asarray(BALL))
    assert np.isfinite(saved).all() and np.abs(saved[-1]).min() > 0.1
    np.testing.assert_allclose(between, saved, rtol=1e-8, atol=1e-10)


@pytest.mark.slow
def test_other_adjoints_refuse_a_gradient_also_in_parts():
    def between(p):
        return bounces(p).interpolant(2.0)[0]

    def saved(p):
        solution = bounces(p)
        return solution.ys[-1, 0] + 0 * jax.lax.stop_gradient(solution.interpolant(2.0)[0])

    with pytest.raises(InputError, match="interpolant has no gradient"):
        jax.grad(between)(jnp.asarray(BALL))
    without = jax.grad(lambda p: bounces(p, dense=False).ys[-1, 0])(jnp.asarray(BALL))
    np.testing.assert_allclose(jax.grad(saved)(jnp.asarray(BALL)), without, rtol=1e-9)


def test_a_span_of_no_length_holds_the_initial_state():
    for options in ({}, {"breakpoints": [5.0]}):
        solution = solve(circle, start(), [1.0, 1.0], dense=True, max_steps=9, **options)
        np.testing.assert_array_equal(solution.interpolant(1.0)["q"], [1.0])


def test_the_slope_is_whole_at_the_ends_of_steps():
    """At the start, a breakpoint and the end."""
    path = solve(
        circle, start(), [0.0, 3.0], dense=True, max_steps=60, breakpoints=[1.0], rtol=1e-6
    ).interpolant
    for t in (0.0, 1.0, 3.0):
        slope = jax.grad(lambda t: path(t)["q"][0])(t)
        np.testing.assert_allclose(slope, path.derivative(t)["q"][0], rtol=1e-9, atol=1e-12)


def test_backwards_in_parts_far_from_zero():
    ts = np.float32([1000.0, 998.0])
    options = {"breakpoints": np.float32([999.0]), "dense": True, "max_steps": 99}
    path = solve(lambda t, y: -y, np.ones(1, np.float32), ts, **options).interpolant
    found = path(np.float32([1000.0, 999.5, 999.0, 998.5, 998.0]))[:, 0]
    np.testing.assert_allclose(found, np.exp([0, 0.5, 1, 1.5, 2]), rtol=1e-3)


def test_a_step_that_the_clock_of_the_whole_solve_does_not_see_is_over():
    """In single precision a part that begins late may take steps that are shorter than its ulp."""
    late = np.float32(1000.0)
    ts = np.float32([0.0, late, np.nextafter(late, np.float32(2000)), 1001.0])

    def relax(t, y):
        return jnp.where(t < late, 0 * y, 1e5 * (1 - y))

    solution = solve(
        relax, np.zeros(1, np.float32), ts, method="rodas5p", breakpoints=[late], dense=True,
        max_steps=99,
    )  # fmt: skip
    np.testing.assert_allclose(solution.interpolant(ts), solution.ys, atol=0.05)


def test_an_attempt_that_failed_first_leaves_no_value_at_the_start():
    """One lane's first attempt is no number, while the other's is taken."""

    def field(t, y, rate):
        return jnp.where(jnp.abs(y) < 1.5, -rate * y, jnp.nan)

    solution = solve(
        field, np.ones((2, 1)), [0.0, 1.0], jnp.array([1.0, 9.0]), dt0=0.9, batch="independent",
        args_axes=0, dense=True, max_steps=60, rtol=1e-3,
    )  # fmt: skip
    assert (np.asarray(solution.status) == Status.SUCCESS).all()
    np.testing.assert_allclose(solution.interpolant(0.0), np.ones((2, 1)))


@pytest.mark.slow
def test_a_gradient_keeps_no_steps_of_parts_for_dense_output():
    """Without an outer jit, JAX would keep the room of each of the parts."""
    y0 = jnp.stack([jnp.full(50, 10.0), jnp.zeros(50)])

    def last(p):
        solution = solve(
            lambda t, y, p: jnp.stack([y[1], -p + 0 * y[0]]), y0, [0.0, 1.0], p, dense=True,
            max_steps=200, events=Event(lambda t, y, p: y[0, 0], reset=lambda t, y, p: y * -0.9),
            max_events=12,
        )  # fmt: skip
        return jnp.sum(solution.ys[-1])

    _, pull = jax.vjp(last, jnp.asarray(9.81))
    kept = sum(leaf.nbytes for leaf in jax.tree.leaves(pull) if hasattr(leaf, "nbytes"))
    room = 400 * 9 * y0.nbytes
    assert kept < room
