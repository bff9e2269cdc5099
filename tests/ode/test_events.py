"""Events: found, counted, with resets, and with gradients that agree with finite differences."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline import Event, InputError, SolveError, Status, solve

pytestmark = pytest.mark.usefixtures("x64")

TIGHT = {"rtol": 1e-8, "atol": 1e-10}
GROUND = Event(lambda t, y: y[0], direction=-1)
BOUNCE = Event(
    lambda t, y: y[0],
    reset=lambda t, y, p: jnp.array([0.0, -p[2] * y[1]]),
    direction=-1,
)
TS = np.linspace(0.0, 4.0, 9)


def fall(t, y, p):
    return jnp.array([y[1], -p[1]])


def circle(t, y):
    return jnp.array([y[1], -y[0]])


def height(p, t):
    """The height of a ball that bounces, in closed form; p: height, gravity, restitution."""
    h, g, e = p
    start, speed = np.sqrt(2 * h / g), np.sqrt(2 * h * g)
    if t < start:
        return h - g * t**2 / 2
    while True:
        speed *= e
        if t < start + 2 * speed / g:
            return speed * (t - start) - g * (t - start) ** 2 / 2
        start += 2 * speed / g


def bounces(p, adjoint="replay", **options):
    y0 = jnp.array([1.0, 0.0]) * p[0]
    return solve(fall, y0, TS, p, events=BOUNCE, max_events=4, adjoint=adjoint, **options)


BALL = np.array([10.0, 9.81, 0.8])


def test_a_bouncing_ball_agrees_with_the_closed_form():
    solution = bounces(BALL)
    assert solution.status == Status.SUCCESS and solution.events.count == 2
    np.testing.assert_allclose(solution.ys[:, 0], [height(BALL, t) for t in TS], atol=1e-9)
    first = np.sqrt(2 * BALL[0] / BALL[1])
    np.testing.assert_allclose(solution.events.ts[:2], [first, 2.6 * first], rtol=1e-12)
    np.testing.assert_array_equal(solution.events.which, [0, 0, -1, -1])
    assert np.isnan(solution.events.ts[2:]).all()


@pytest.mark.parametrize("adjoint", ["replay", "forward", "backsolve"])
def test_gradients_of_a_bouncing_ball_agree_with_finite_differences(adjoint):
    jacobian = (jax.jacfwd if adjoint == "forward" else jax.jacrev)(
        lambda p: bounces(p, adjoint, **TIGHT).ys[:, 0]
    )
    steps = 1e-6 * np.eye(3)
    differences = np.array(
        [[(height(BALL + d, t) - height(BALL - d, t)) / 2e-6 for d in steps] for t in TS]
    )
    np.testing.assert_allclose(jacobian(jnp.asarray(BALL)), differences, atol=1e-6)


DRIVEN = Event(
    lambda t, y, p: y[0] - p[1] - 0.1 * t, reset=lambda t, y, p: y * p[0] / 4 + 0.1 * jnp.sin(t)
)


def driven(t, y, p):
    return p[0] * (1 + jnp.sin(t)) - 0.1 * y


@functools.partial(jax.jit, static_argnums=1)
def driven_values(p, adjoint="replay"):
    """A field and a condition that depend on time and parameters, and a state that jumps."""
    y0, ts = jnp.array([0.1]), jnp.array([0.0, 1.3, 2.5])
    options = {"events": DRIVEN, "max_events": 12, "adjoint": adjoint, "on_failure": "return"}
    solution = solve(driven, y0, ts, p, **options, **TIGHT)
    return jnp.concatenate([solution.ys[1:, 0], solution.events.ts[:2]])


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", ["replay", "forward", "backsolve"])
def test_gradients_with_a_clock_and_a_moving_threshold(adjoint):
    p = jnp.array([1.5, 1.0])
    jacobian = (jax.jacfwd if adjoint == "forward" else jax.jacrev)(driven_values)(p, adjoint)
    differences = np.stack(
        [(driven_values(p + d) - driven_values(p - d)) / 2e-5 for d in 1e-5 * np.eye(2)], axis=-1
    )
    np.testing.assert_allclose(jacobian, differences, rtol=1e-4, atol=1e-5)


def test_a_threshold_that_the_condition_closes_over_has_a_gradient():
    """y = exp(-t) crosses c at -log c: the derivative is -1/c."""

    def time(c):
        event = Event(lambda t, y: y - c)
        return solve(lambda t, y: -y, np.float64(1.0), [0.0, 5.0], events=event, **TIGHT).events.ts[
            0
        ]

    value, slope = jax.jit(jax.value_and_grad(time))(0.3)
    np.testing.assert_allclose([value, slope], [-np.log(0.3), -1 / 0.3], rtol=1e-8)
    many = jax.vmap(jax.grad(time))(jnp.array([0.2, 0.5, 0.9]))
    np.testing.assert_allclose(many, [-5.0, -2.0, -1 / 0.9], rtol=1e-6)


@pytest.mark.parametrize(("direction", "first"), [(1, 1.5), (-1, 0.5), (0, 0.5)])
def test_direction(direction, first):
    """The first component is cos(t)."""
    event = Event(lambda t, y: y[0], direction=direction)
    solution = solve(circle, jnp.array([1.0, 0.0]), [0.0, 9.0], events=event, **TIGHT)
    assert solution.status == Status.EVENT and solution.success
    np.testing.assert_allclose(solution.events.ts[0], first * np.pi, rtol=1e-7)
    np.testing.assert_allclose(solution.ending.t, first * np.pi, rtol=1e-7)


def test_backwards_in_time_direction_is_along_the_solution():
    event = Event(lambda t, y: y[0], direction=1)
    solution = solve(circle, jnp.array([1.0, 0.0]), [2.0, -9.0], events=event, **TIGHT)
    np.testing.assert_allclose(solution.events.ts[0], 2 - 1.5 * np.pi, rtol=1e-7)


def test_the_third_time_ends_the_solve_and_the_others_are_kept():
    events = [Event(lambda t, y: y[0], terminal=3), Event(lambda t, y: y[1], terminal=False)]
    ts = np.linspace(0.0, 20.0, 41)
    solution = solve(circle, jnp.array([1.0, 0.0]), ts, events=events, **TIGHT)
    assert solution.status == Status.EVENT and solution.events.count == 5
    np.testing.assert_allclose(solution.events.ts[:5], np.pi * np.arange(1, 6) / 2, rtol=1e-7)
    np.testing.assert_array_equal(solution.events.which[:6], [0, 1, 0, 1, 0, -1])
    np.testing.assert_allclose(solution.ys[:16, 0], np.cos(ts[:16]), atol=1e-6)
    assert np.isnan(solution.ys[16:]).all() and np.isfinite(solution.ys[:16]).all()


def test_an_event_where_the_solve_starts_does_not_fire():
    """sin(t) leaves zero upwards: its first fall is at pi."""
    event = Event(lambda t, y: y[0])
    solution = solve(circle, jnp.array([0.0, 1.0]), [0.0, 4.0], events=event, **TIGHT)
    np.testing.assert_allclose(solution.events.ts[0], np.pi, rtol=1e-7)


def test_two_crossings_in_one_step_are_seen():
    """A straight line is one long step; the condition dips below zero in a third of it."""
    event = Event(lambda t, y: (y - 5.0) ** 2 - 4.0)
    solution = solve(
        lambda t, y: jnp.ones_like(y), np.float64(0.0), [0.0, 9.0], dt0=9.0, events=event
    )
    np.testing.assert_allclose(solution.events.ts[0], 3.0, rtol=1e-9)


def test_bounces_without_end_are_an_event_limit():
    p = np.array([10.0, 9.81, 0.4])
    with pytest.raises(SolveError, match=r"more events than are kept.*max_events"):
        solve(fall, jnp.array([10.0, 0.0]), [0.0, 9.0], p, events=BOUNCE)
    solution = bounces(p, on_failure="return")
    assert solution.status == Status.EVENT_LIMIT and solution.events.count == 5
    times = jax.jacrev(lambda p: bounces(p, on_failure="return").events.ts)
    assert np.isfinite(times(jnp.asarray(p))).all()


@pytest.mark.parametrize("adjoint", ["replay", "forward", "backsolve"])
def test_each_lane_has_its_own_event_or_none(adjoint):
    """Balls from several heights; one flies up and never lands within the span."""
    speeds = jnp.array([0.0, 0.0, 100.0, 0.0])
    ts = np.array([0.0, 1.0, 1.5])

    def values(heights):
        solution = solve(
            fall,
            jnp.stack([heights, speeds], axis=1),
            ts,
            jnp.array([0.0, 9.81, 0.0]),
            events=GROUND,
            batch="independent",
            adjoint=adjoint,
            **TIGHT,
        )
        return solution.events.ts[:, 0], solution

    heights = jnp.array([1.0, 10.0, 10.0, 20.0])
    times, solution = values(heights)
    landings = np.sqrt(2 * heights / 9.81)
    ended = np.array([True, True, False, False])
    np.testing.assert_array_equal(solution.status == Status.EVENT, ended)
    np.testing.assert_allclose(times[:2], landings[:2], rtol=1e-9)
    assert np.isnan(times[2:]).all() and np.isnan(solution.ys[0, 1:]).all()
    np.testing.assert_allclose(solution.ys[3, :, 0], 20 - 9.81 * ts**2 / 2, rtol=1e-9)

    def total(heights):
        times, solution = values(heights)
        return jnp.nansum(times) + jnp.nansum(solution.ys[..., 0])

    slopes = (jax.jacfwd if adjoint == "forward" else jax.grad)(total)(heights)
    # A time moves by 1/(2 t g/2) = 1/(g t); a height that was saved by 1.
    expected = np.array([1.0, 2.0, 3.0, 3.0]) + np.where(ended, 1 / (9.81 * landings), 0)
    np.testing.assert_allclose(slopes, expected, rtol=1e-6)


def test_lanes_bounce_each_in_its_own_time():
    heights = np.array([2.0, 10.0])
    p = np.stack([np.array([h, 9.81, 0.8]) for h in heights])
    y0 = jnp.stack([heights, 0 * heights], axis=1)
    options = {"batch": "independent", "args_axes": 0, "events": BOUNCE, "max_events": 8}
    solution = solve(fall, y0, TS, p, **options)
    exact = [[height(row, t) for t in TS] for row in p]
    np.testing.assert_allclose(solution.ys[..., 0], exact, atol=1e-8)
    np.testing.assert_array_equal(solution.events.count, [5, 2])


@pytest.mark.parametrize("method", ["bosh3", "dopri5", "vern7", "dopri8"])
def test_methods_find_events_and_gradients(method):
    def time(rate):
        event = Event(lambda t, y: y - 0.5)
        options = {"method": method, "rtol": 1e-7, "atol": 1e-9, "events": event}
        return solve(
            lambda t, y, r: -r * y, np.float64(1.0), [0.0, 9.0], rate, **options
        ).events.ts[0]

    value, slope = jax.value_and_grad(time)(1.5)
    np.testing.assert_allclose([value, slope], np.log(2) / np.array([1.5, -(1.5**2)]), rtol=1e-5)


def test_fixed_steps_end_in_an_event():
    event = Event(lambda t, y: y[0])
    for method in ("rk4", "leapfrog"):
        y0 = (np.float64(1.0), np.float64(0.0))
        solution = solve(
            lambda t, y: (y[1], -y[0]), y0, [0.0, 3.0], method=method, steps=300, events=event
        )
        np.testing.assert_allclose(solution.events.ts[0], np.pi / 2, rtol=2e-4)


def test_single_precision():
    with jax.enable_x64(False):
        p = jnp.asarray(BALL, jnp.float32)
        solution = bounces(p)
        np.testing.assert_allclose(
            solution.ys[:, 0], [height(BALL, t) for t in TS], rtol=1e-3, atol=1e-3
        )
        assert solution.events.ts.dtype == jnp.float32


def test_times_after_an_event_can_hold_the_state_there():
    y0 = jnp.array([1.0, 0.0])
    solution = solve(fall, y0, TS, BALL, events=GROUND, on_failure="mask")
    np.testing.assert_allclose(solution.ys[-1], [0.0, -np.sqrt(2 * 9.81)], atol=1e-6)


def test_evaluations_are_counted():
    count = 0

    def seen(t, y):
        nonlocal count

        def bump():
            nonlocal count
            count += 1

        jax.debug.callback(bump)
        return jnp.array([y[1], -y[0]])

    events = [
        Event(lambda t, y: y[0], terminal=False),
        Event(lambda t, y: y[1], reset=lambda t, y: y),
    ]
    solution = solve(seen, jnp.array([1.0, 0.1]), [0.0, 5.0], events=events, max_events=5)
    jax.effects_barrier()
    assert solution.events.count == 4 and count == solution.stats.nfe


@pytest.mark.slow
def test_mapped_trajectories_bounce_each_in_its_own_time():
    def last(height):
        solution = solve(
            fall,
            jnp.array([1.0, 0.0]) * height,
            TS[[0, 4, 8]],
            BALL,
            events=BOUNCE,
            max_events=4,
            on_failure="return",
        )
        return solution.ys[-1, 0]

    heights = jnp.array([8.0, 10.0, 12.0])
    values, slopes = jax.vmap(jax.value_and_grad(last))(heights)
    np.testing.assert_allclose(values, [height(BALL * [h / 10, 1, 1], 4.0) for h in heights])
    np.testing.assert_allclose(slopes, [jax.grad(last)(h) for h in heights], rtol=1e-9)


@pytest.mark.parametrize("adjoint", ["replay", "direct"])
def test_second_derivatives_are_refused(adjoint):
    def time(height):
        y0 = jnp.array([1.0, 0.0]) * height
        options = {"events": GROUND, "adjoint": adjoint, "max_steps": 12, "on_failure": "return"}
        return solve(fall, y0, [0.0, 9.0], BALL, **options).events.ts[0]

    np.testing.assert_allclose(jax.grad(time)(10.0), 1 / np.sqrt(2 * 9.81 * 10.0), rtol=1e-6)
    with pytest.raises(InputError, match="first derivatives only"):
        jax.hessian(time)(10.0)


def test_wrong_events_are_told():
    for wrong, message in [
        (lambda: Event(lambda t, y: y, direction=2), "direction"),
        (lambda: Event(lambda t, y: y, terminal=-1), "terminal"),
        (lambda: Event(3.0), "functions"),
        (lambda: solve(circle, jnp.ones(2), [0.0, 1.0], events="ground"), "must be an Event"),
        (lambda: solve(circle, jnp.ones(2), [0.0, 1.0], events=Event(lambda t, y: y)), "shape"),
        (lambda: solve(circle, jnp.ones(2), [0.0, 1.0], events=BOUNCE, steps=9), "adaptive"),
        (
            lambda: solve(
                circle,
                jnp.ones(2),
                [0.0, 1.0],
                events=Event(lambda t, y: y[0], reset=lambda t, y: y[0]),
            ),
            "reset must return",
        ),
    ]:
        with pytest.raises(InputError, match=message):
            wrong()
