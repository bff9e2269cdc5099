"""Gradients: against finite differences, and the adjoints against one another."""

from __future__ import annotations

import itertools
from functools import cache, partial
from operator import itemgetter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from isocline.ode import METHODS, Tableau, solve

from ..conftest import QUICK

pytestmark = pytest.mark.usefixtures("x64")
draws = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))


# Compiling is nearly all the time these tests take, and the numbers need no optimiser.
quick = partial(jax.jit, compiler_options=QUICK)
SHAPES = [("tsit5", 1, 3), ("tsit5", 4, 8), ("dopri8", 2, 5)]


def problem(size, width, seed):
    """A random tanh field by its parts: state, args, an array closed over, save times, start."""
    rng = np.random.default_rng(seed)
    args = {"in": rng.normal(size=(width, size + 1)), "bias": rng.normal(size=width)}
    parts = {
        "y0": rng.normal(size=size),
        "args": args,
        "closed": rng.normal(size=(size, width)) / np.sqrt(width),
        # So far apart that finite differences do not change their order.
        "ts": np.linspace(0.2, 1.4, 4) + rng.uniform(0, 0.3, 4),
        "t0": np.array(rng.uniform(-0.3, 0.1)),
    }
    return jax.tree.map(jnp.asarray, parts)


def loss(parts, **options):
    def field(t, y, args):
        hidden = jnp.tanh(args["in"] @ jnp.append(y, t) + args["bias"])
        return parts["closed"] @ hidden - 0.1 * y

    options = {"rtol": 1e-11, "atol": 1e-11, "max_steps": 2000} | options
    ys = solve(field, parts["y0"], parts["ts"], parts["args"], t0=parts["t0"], **options).ys
    return jnp.sum(jnp.sin(ys) * jnp.arange(1.0, ys.size + 1).reshape(ys.shape))


@cache
def compiled(method):
    forward = partial(loss, method=method, adjoint="forward")
    return (
        quick(partial(loss, method=method)),
        quick(jax.grad(partial(loss, method=method))),
        quick(lambda parts, way: jax.jvp(forward, (parts,), (way,))[1]),
        quick(jax.grad(partial(loss, method=method, adjoint="backsolve"))),
    )


def directions(parts, seed):
    """One random direction in each part alone."""
    rng = np.random.default_rng(seed)
    for name in parts:
        way = jax.tree.map(jnp.zeros_like, parts)
        yield (
            name,
            way
            | {name: jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), parts[name])},
        )


def move(parts, way, step):
    return jax.tree.map(lambda x, d: x + step * d, parts, way)


def slope(value, parts, way, step=1e-3):
    """Central differences of fourth order."""
    near = value(move(parts, way, step)) - value(move(parts, way, -step))
    far = value(move(parts, way, 2 * step)) - value(move(parts, way, -2 * step))
    return float(8 * near - far) / (12 * step)


def along(gradient, way):
    return float(sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, way))))


def size_of(gradient, way):
    return (
        sum(
            float(jnp.linalg.norm(g) * jnp.linalg.norm(d))
            for g, d in zip(*map(jax.tree.leaves, (gradient, way)))
        )
        + 1e-3
    )


@pytest.mark.slow
@draws
@given(st.sampled_from(SHAPES), st.integers(0, 10**6))
@example(("tsit5", 1, 3), 750)  # where the start is least certain
def test_adjoints_against_finite_differences_and_forward_mode(shape, seed):
    """On 20 random fields, in y0, args, closed-over arrays, save times and start."""
    method, size, width = shape
    parts = problem(size, width, seed)
    value, gradient_of, forward, backsolve = compiled(method)
    gradient, continuous = gradient_of(parts), backsolve(parts)
    for name, way in directions(parts, seed):
        scale = size_of(gradient[name], way[name])
        exact = along(gradient, way)
        # With another start all steps change, which no derivative follows: the error of the solve.
        small = 1e-5 if name == "t0" else 1e-6
        assert abs(exact - slope(value, parts, way)) <= small * scale, name
        # In the times replay takes the flow's derivative, forward mode the computed numbers'. The
        # controller works in single precision, so two programs may step a little differently.
        near = 1e-6 if name in ("ts", "t0") else 1e-9
        assert abs(exact - float(forward(parts, way))) <= near * scale, name
        assert abs(exact - along(continuous, way)) <= 1e-6 * scale, name


@pytest.mark.slow
def test_replay_is_exact_for_the_computed_solution_at_loose_tolerance():
    """Replay differentiates the computed numbers: forward mode agrees at any tolerance."""
    parts = problem(3, 6, 0)
    loose = {"rtol": 1e-2, "atol": 1e-2}
    gradient = jax.grad(lambda p: loss(p, **loose))(parts)
    forward = jax.jit(
        lambda p, way: jax.jvp(lambda p: loss(p, adjoint="forward", **loose), (p,), (way,))[1]
    )
    continuous = jax.grad(lambda p: loss(p, adjoint="backsolve", **loose))(parts)
    for name, way in directions(parts, 1):
        if name in ("y0", "args", "closed"):
            assert along(gradient, way) == pytest.approx(float(forward(parts, way)), rel=1e-11)
    assert not np.allclose(continuous["y0"], gradient["y0"], rtol=1e-8)


def rule_of(method):
    fixed = METHODS[method].order in (1, 2, 4)
    return {"method": method} | ({"steps": 64} if fixed else {"rtol": 1e-9, "atol": 1e-9})


@cache
def differences(method):
    """Two problems, random directions, and the slopes of the losses by finite differences."""
    both = [problem(2, 4, 5), problem(2, 4, 6)]
    value = quick(lambda parts: loss(parts, **rule_of(method)))
    ways = [[way for name, way in directions(parts, 3) if "t" not in name[:1]] for parts in both]
    return both, ways, [[slope(value, p, w) for w in own] for p, own in zip(both, ways)]


RUNGE_KUTTA = [name for name, method in METHODS.items() if type(method) is Tableau]
# Other numbers in the same shape of tableau run the same program: once is enough for these.
ALIKE = {"midpoint", "ralston", "ssprk3", "rdpk3sp35", "three_eighths", "ck54"}
ALIKE |= {"fehlberg", "cash_karp", "dopri5"}
WHOLE = itertools.product(RUNGE_KUTTA, ["replay", "backsolve", "forward"], ["jit", "vmap"])


@pytest.mark.parametrize(
    "method, adjoint, transform",
    [case for case in WHOLE if case[0] not in ALIKE or case[1:] == ("replay", "jit")],
)
def test_every_method_adjoint_and_transform(method, adjoint, transform):
    """The whole table against finite differences, in y0, args and closed-over arrays."""
    order = METHODS[method].order
    if adjoint == "backsolve" and not isinstance(METHODS[method], Tableau):
        pytest.skip("refused, see test_stiff")
    both, ways, slopes = differences(method)
    total = partial(loss, adjoint=adjoint, **rule_of(method))
    stack = lambda *trees: jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
    if adjoint == "forward":
        run = lambda parts, way: jax.jvp(total, (parts,), (way,))[1]
        run = jax.vmap(run, in_axes=(None, 0))
        inputs = [(parts, stack(*own)) for parts, own in zip(both, ways)]
    else:
        run = jax.grad(total)
        inputs = [(parts,) for parts in both]
    if transform == "vmap":
        many = quick(jax.vmap(run))(*stack(*inputs))
        results = [jax.tree.map(itemgetter(index), many) for index in range(2)]
    else:
        results = [quick(run)(*inputs[0])]
    # Backsolve differentiates the flow, which low orders only come near.
    tolerance = {1: 0.1, 2: 1e-3}.get(order, 1e-6) if adjoint == "backsolve" else 1e-6
    for result, own, truth in zip(results, ways, slopes):
        found = result if adjoint == "forward" else [along(result, way) for way in own]
        size = max(map(abs, truth))
        for have, want in zip(found, truth, strict=True):
            assert abs(float(have) - want) <= tolerance * size


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", ["replay", "backsolve"])
def test_gradient_under_vmap_and_of_nested_states_is_the_one_by_hand(adjoint):
    """y' = -a y: d y(1) / d a = -y0 exp(-a)."""

    def total(a, y0):
        def field(t, y, a):
            return {"x": -a * y["x"], "pair": (y["pair"][0] * 0, -a * y["pair"][1])}

        ys = solve(
            field,
            {"x": y0, "pair": (y0, 2 * y0)},
            [0.0, 0.5, 1.0],
            a,
            rtol=1e-10,
            atol=1e-10,
            adjoint=adjoint,
        ).ys
        return jnp.sum(ys["x"][-1]) + jnp.sum(ys["pair"][1][-1])

    a, y0 = jnp.array([0.3, 1.0, 2.0]), jnp.ones(2)
    gradient = jax.jit(jax.vmap(jax.grad(total), in_axes=(0, None)))(a, y0)
    np.testing.assert_allclose(gradient, -2 * 3 * np.exp(-a), rtol=1e-8)
    np.testing.assert_allclose(gradient[1], jax.grad(total)(a[1], y0), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("adjoint", ["replay", "backsolve"])
def test_lanes_of_different_step_counts_each_get_their_own_gradient(adjoint):
    rate, y0 = jnp.array([0.1, 3.0, 25.0]), jnp.ones((3, 1))
    ts = jnp.array([[0.0, 0.5, 1.0], [2.0, 1.8, 1.5], [0.3, 0.3, 0.3]])

    def total(rate, shared, y0):
        solution = solve(
            lambda t, y, args: -args[0] * args[1] * y * t,
            y0,
            ts,
            (rate, shared),
            args_axes=(0, None),
            batch="independent",
            rtol=1e-10,
            atol=1e-10,
            adjoint=adjoint,
        )
        return jnp.sum(solution.ys[:, 1:]), solution

    (lanes, shared, start), solution = jax.grad(total, argnums=(0, 1, 2), has_aux=True)(
        rate, jnp.array(1.0), y0
    )
    assert len(set(solution.stats.accepted.tolist())) == 3
    area = (ts[:, 1:] ** 2 - ts[:, :1] ** 2) / 2
    growth = np.exp(-rate[:, None] * area)
    np.testing.assert_allclose(start[:, 0], growth.sum(axis=1), rtol=1e-7)
    np.testing.assert_allclose(lanes, (-area * growth).sum(axis=1), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(shared, (-rate[:, None] * area * growth).sum(), rtol=1e-7)
