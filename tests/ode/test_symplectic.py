"""Laws of the symplectic methods: order conditions, long-time energy, reversibility, gradients."""

from __future__ import annotations

import itertools
import math
import re
from fractions import Fraction
from functools import partial
from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.errors import InputError
from isocline.ode import METHODS, solve
from isocline.ode.tableaus import Partitioned

SYMPLECTIC = [name for name, method in METHODS.items() if isinstance(method, Partitioned)]
TIMES = np.array([0.0, 1.3, 2.9, 5.0])


def pendulum(t, y, args):
    """Driven, in two dimensions, with a velocity that depends on time too: still separable."""
    q, p = y
    return p * (1 + 0.2 * jnp.sin(t)), -args * jnp.sin(q) + 0.3 * jnp.cos(t)


def start():
    return jnp.array([1.0, -0.4]), jnp.array([0.3, 0.8])


def kepler(t, y):
    q, p = y
    return p, -q / jnp.sum(q**2) ** 1.5


def energy(ys):
    q, p = (np.asarray(part) for part in ys)
    return np.sum(p**2, axis=-1) / 2 - 1 / np.sqrt(np.sum(q**2, axis=-1))


def exponential(letter, weight, order):
    return {letter * n: weight**n / math.factorial(n) for n in range(order + 1)}


def product(left, right, order):
    words = {}
    for (first, a), (second, b) in itertools.product(left.items(), right.items()):
        if len(first) + len(second) <= order:
            words[first + second] = words.get(first + second, 0) + a * b
    return words


def series(method, order):
    """The step as a series in words of kicks (K) and drifts (D)."""
    words = {"": Fraction(1)}
    for kick, drift in itertools.zip_longest(method.kicks, method.drifts):
        words = product(words, exponential("K", kick, order), order)
        if drift is not None:
            words = product(words, exponential("D", drift, order), order)
    return words


@pytest.mark.parametrize("name", SYMPLECTIC)
def test_order_conditions_hold_for_every_word(name):
    """The exact flow is exp(K + D): each word of n letters has 1 / n!."""
    method = METHODS[name]
    words = series(method, method.order + 1)
    miss = {
        n: max(
            abs(words.get("".join(word), 0) - Fraction(1, math.factorial(n)))
            for word in itertools.product("KD", repeat=n)
        )
        for n in range(1, method.order + 2)
    }
    assert max(value for n, value in miss.items() if n <= method.order) < 1e-14
    assert miss[method.order + 1] > 1e-7
    if name == "leapfrog":
        assert miss[1] == miss[2] == 0


@pytest.mark.parametrize("name", SYMPLECTIC)
def test_weights_are_symmetric_and_add_up_to_one(name):
    method = METHODS[name]
    for weights in (method.kicks, method.drifts):
        assert weights == weights[::-1] and sum(weights) == 1
    assert len(method.kicks) == len(method.drifts) + 1


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", SYMPLECTIC)
def test_observed_order_at_steps_and_between(name):
    """Between the steps the cubic output bounds it to four."""
    truth = solve(pendulum, start(), TIMES, 1.2, method="dopri8", rtol=1e-13, atol=1e-13).ys

    def errors(steps):
        ys = solve(pendulum, start(), TIMES, 1.2, method=name, steps=steps).ys
        miss = np.abs(np.stack(ys) - np.stack(truth))
        return miss[:, -1].max(), miss[:, :-1].max()

    order, steps = METHODS[name].order, {2: 60, 4: 40, 6: 18}[METHODS[name].order]
    (end, between), (end_half, between_half) = errors(steps), errors(2 * steps)
    assert end_half > 1e-14
    assert np.log2(end / end_half) >= order - 0.4
    assert np.log2(between / between_half) >= min(order, 4) - 0.4


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", SYMPLECTIC)
def test_energy_does_not_drift_as_it_does_without_symplecticity(name):
    """Kepler's orbit (eccentricity 0.5), 300 times around, beside tsit5 with as many evaluations.

    The error of a symplectic method swings and comes back; that of tsit5 grows from turn to turn.
    """
    turns, each = 300, {2: 100, 4: 60, 6: 40}[METHODS[name].order]
    y0 = jnp.array([0.5, 0.0]), jnp.array([0.0, np.sqrt(3.0)])

    def errors(method, steps):
        # Every 13th step, so that all parts of the orbit come up.
        grid = np.linspace(0.0, 2 * np.pi * turns, steps + 1)
        solution = solve(
            kepler, y0, grid[steps % 13 :: 13], t0=0.0, method=method, grid=grid, max_steps=200_000
        )
        return np.abs(energy(solution.ys) + 0.5), int(solution.stats.nfe)

    ours, nfe = errors(name, turns * each)
    theirs, _ = errors("tsit5", nfe // METHODS["tsit5"].evaluations)
    growth = [
        error[-len(error) // 3 :].max() / error[: len(error) // 3].max() for error in (ours, theirs)
    ]
    assert growth[0] < 1.3 and growth[1] > 2


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", SYMPLECTIC)
def test_going_back_leads_to_the_start(name):
    """Symmetric methods are reversible to rounding, and no Runge-Kutta method here is."""

    def there_and_back(method):
        there = solve(pendulum, start(), TIMES, 1.2, method=method, steps=60)
        end = jax.tree.map(lambda leaf: leaf[-1], there.ys)
        back = solve(pendulum, end, TIMES[::-1].copy(), 1.2, method=method, steps=60)
        return np.abs(np.stack([leaf[-1] for leaf in back.ys]) - np.stack(start())).max()

    assert there_and_back(name) < 1e-13
    assert there_and_back("rk4") > 1e-8


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", SYMPLECTIC)
def test_gradient_against_finite_differences(name):
    """In position, momentum and args, with save times between the steps; forward mode agrees."""
    scale = jnp.array([1.2, 0.7])

    def loss(y0, args, adjoint="replay"):
        ys = solve(pendulum, y0, TIMES, args, method=name, steps=20, adjoint=adjoint).ys
        return jnp.sum(jnp.sin(ys[0])) + jnp.sum(ys[1][1:-1] ** 2)

    way = (jnp.array([0.3, -1.0]), jnp.array([0.7, 0.2])), jnp.array([-0.5, 0.9])
    move = lambda step: jax.tree.map(lambda x, d: x + step * d, (start(), scale), way)
    found = jax.grad(loss, argnums=(0, 1))(start(), scale)
    along = float(sum(map(jnp.vdot, jax.tree.leaves(found), jax.tree.leaves(way))))
    near, far = (float(loss(*move(s)) - loss(*move(-s))) for s in (1e-3, 2e-3))
    assert along == pytest.approx((8 * near - far) / 12e-3, rel=1e-9)
    forward = jax.jvp(lambda y0, args: loss(y0, args, "forward"), (start(), scale), way)[1]
    assert along == pytest.approx(float(forward), rel=1e-11)


@pytest.mark.parametrize("name", ["leapfrog", "blanes_moan4"])
def test_calls_are_counted_and_halves_left_out(name):
    """A callback in the field counts them; of the compiled program, each half runs where needed."""
    calls = []

    def counted(t, y):
        jax.debug.callback(lambda: calls.append(1))
        return jnp.cbrt(y[1]), -jnp.tanh(y[0])

    solution = solve(counted, start(), TIMES, method=name, steps=7)
    jax.block_until_ready(solution.ys)
    jax.effects_barrier()
    assert len(calls) == int(solution.stats.nfe)
    field = lambda t, y: (jnp.cbrt(y[1]), -jnp.tanh(y[0]))
    halves = lambda y0, ts: solve(field, y0, ts, method=name, steps=7).ys
    program = jax.jit(halves).lower(start(), jnp.asarray(TIMES)).compile().as_text()
    drifts = len(METHODS[name].drifts)
    # One of each at the start of the solve; a step has one more drift's half, for its end.
    assert len(re.findall(r" tanh\(", program)) == drifts + 1
    assert len(re.findall(r" cbrt\(", program)) == drifts + 2


def test_independent_trajectories_and_nested_states():
    """Each lane is the solve alone, with its own span; q and p may be any two alike pytrees."""

    def field(t, y, args):
        q, p = y
        return {"a": p["a"], "b": p["b"]}, jax.tree.map(lambda leaf: -args * jnp.sin(leaf), q)

    q = {"a": jnp.array([0.2, 0.9]), "b": jnp.array([[0.1, 0.5], [1.0, -1.0]])}
    y0, rates = (q, jax.tree.map(jnp.cos, q)), jnp.array([1.0, 3.0])
    ts = np.array([[0.0, 0.5, 1.0], [4.0, 2.0, 1.0]])
    rules = {"method": "blanes_moan4", "steps": 16}
    both = solve(field, y0, ts, rates, batch="independent", args_axes=0, **rules)
    for lane in range(2):
        pick = partial(jax.tree.map, itemgetter(lane))
        alone = solve(field, pick(y0), ts[lane], rates[lane], **rules)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
            pick(both.ys),
            alone.ys,
        )


@pytest.mark.parametrize(
    "y0",
    [
        jnp.ones(2),
        {"q": jnp.ones(2), "p": jnp.ones(2)},
        (jnp.ones(2), jnp.ones(3)),
        (jnp.ones(2),) * 3,
    ],
)
def test_state_that_is_no_pair_is_refused(y0):
    """In words that say what is needed."""
    with pytest.raises(InputError, match=r"leapfrog.*y0=\(position, momentum\)"):
        solve(lambda t, y: y, y0, TIMES, method="leapfrog", steps=10)


def test_what_does_not_go_with_it_is_refused():
    """Adaptive steps and the continuous adjoint."""
    with pytest.raises(InputError, match="give steps= or grid="):
        solve(kepler, start(), TIMES, method="leapfrog")
    with pytest.raises(InputError, match="adjoint='backsolve' does not go with method='leapfrog'"):
        solve(kepler, start(), TIMES, method="leapfrog", steps=10, adjoint="backsolve")
