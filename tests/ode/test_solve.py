"""Laws of the front door: how solves compose, transform, count, and agree with other libraries."""

from __future__ import annotations

from functools import cache, partial
from itertools import pairwise

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
from hypothesis import given, settings
from hypothesis import strategies as st

from isocline.ode import METHODS, solve

from ..conftest import QUICK

ADAPTIVE = [name for name, tableau in METHODS.items() if tableau.adaptive]
# Compiling is nearly all the time these tests take, and the numbers need no optimiser.
quick = partial(jax.jit, compiler_options=QUICK)
seeds = st.integers(0, 10**6)


def random_args(seed, size=3, width=6):
    """Weights of a random tanh field."""
    rng = np.random.default_rng(seed)
    shapes = (width, size + 1), (width,), (size, width)
    return tuple(rng.normal(size=shape) / np.sqrt(shape[-1]) for shape in shapes)


def field(t, y, args):
    inner, bias, outer = args
    return 2 * outer @ jnp.tanh(inner @ jnp.append(y, t) + bias) - 0.2 * y


def numpy_field(t, y, args):
    inner, bias, outer = args
    return 2 * outer @ np.tanh(inner @ np.append(y, t) + bias) - 0.2 * y


def exact(args, y0, ts):
    """The solution by SciPy's DOP853 near machine precision."""
    solution = scipy.integrate.solve_ivp(
        numpy_field,
        (ts[0], ts[-1]),
        y0,
        method="DOP853",
        t_eval=ts,
        args=(args,),
        rtol=1e-13,
        atol=1e-13,
    )
    return solution.y.T


@cache
def tight(method):
    return quick(
        lambda y0, ts, args: solve(field, y0, ts, args, method=method, rtol=1e-10, atol=1e-10)
    )


@pytest.mark.usefixtures("x64")
@settings(max_examples=8)
@given(seeds, st.sampled_from([1.0, -1.0]))
def test_agrees_with_scipy_on_random_fields_forward_and_backward(seed, sign):
    """Also between the steps, from a start that is not zero, in both directions of time."""
    args, y0 = random_args(seed), np.random.default_rng(seed).normal(size=3)
    ts = sign * np.array([0.3, 0.31, 1.1, 2.3])
    for method in ("tsit5", "dopri8"):
        solution = tight(method)(y0, ts, args)
        np.testing.assert_allclose(solution.ys, exact(args, y0, ts), rtol=2e-8, atol=2e-8)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("method, peer", [("tsit5", "Tsit5"), ("dopri5", "Dopri5")])
def test_agrees_with_diffrax(method, peer):
    """The same pair at the same tolerance gives the same values, at about the same cost."""
    ts = np.linspace(0.3, 2.3, 5)

    @jax.jit
    def theirs(y0, args):
        return diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            getattr(diffrax, peer)(),
            ts[0],
            ts[-1],
            None,
            y0,
            args,
            saveat=diffrax.SaveAt(ts=ts),
            stepsize_controller=diffrax.PIDController(rtol=1e-10, atol=1e-10),
        )

    for seed in range(3):
        args = jax.tree.map(jnp.asarray, random_args(seed))
        y0 = jnp.asarray(np.random.default_rng(seed).normal(size=3))
        ours, them = tight(method)(y0, ts, args), theirs(y0, args)
        np.testing.assert_allclose(ours.ys, them.ys, rtol=1e-8, atol=1e-8)
        assert int(ours.stats.accepted) == pytest.approx(int(them.stats["num_steps"]), rel=0.25)


@pytest.mark.usefixtures("x64")
@settings(max_examples=6)
@given(seeds, st.floats(0.1, 1.9))
def test_solving_in_two_parts_equals_solving_at_once(seed, middle):
    """solve(t0, t1) then (t1, t2) equals solve(t0, t2), and going back returns to the start."""
    args, y0 = random_args(seed), np.random.default_rng(seed).normal(size=3)
    run = tight("tsit5")
    whole = run(y0, np.array([0.0, 2.0]), args).ys[-1]
    first = run(y0, np.array([0.0, middle]), args).ys[-1]
    np.testing.assert_allclose(
        run(first, np.array([middle, 2.0]), args).ys[-1], whole, rtol=1e-7, atol=1e-7
    )
    np.testing.assert_allclose(
        run(whole, np.array([2.0, 0.0]), args).ys[-1], y0, rtol=1e-6, atol=1e-6
    )


def plain(y0, ts, args):
    return solve(field, y0, ts, args)


jitted, vmapped = jax.jit(plain), jax.jit(jax.vmap(plain, in_axes=(0, None, None)))


@settings(max_examples=6)
@given(seeds, st.floats(0.5, 3.0))
def test_jit_equals_eager_and_vmap_equals_a_loop(seed, end):
    """Transforms change neither values nor counts.

    That is, in double precision: in single precision the error of a short first step is nothing but
    rounding, which is another in each program, and the size of the second step follows from it.
    """
    args, ts = random_args(seed), np.array([0.0, 0.4 * end, end])
    y0 = np.random.default_rng(seed).normal(size=(3, 3)) * [[0.1], [1], [9]]
    single = jax.tree.map(jnp.float32, (y0, ts, args))
    for start in single[0]:
        eager, one = plain(start, *single[1:]), jitted(start, *single[1:])
        np.testing.assert_allclose(one.ys, eager.ys, rtol=2e-3, atol=5e-4)
    with jax.enable_x64(True):
        many = vmapped(y0, ts, args)
        for index in range(3):
            eager, one = plain(y0[index], ts, args), jitted(y0[index], ts, args)
            np.testing.assert_allclose(one.ys, eager.ys, rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(many.ys[index], eager.ys, rtol=1e-7, atol=1e-7)
            assert int(one.stats.nfe) == int(eager.stats.nfe) == int(many.stats.nfe[index])


@pytest.mark.parametrize("method", ["bosh3", "tsit5", "dopri8"])
@pytest.mark.parametrize("rule", [{}, {"dt0": 0.5}, {"steps": 7}])
def test_nfe_is_the_number_of_real_evaluations(method, rule):
    """A callback in the field counts; rejected steps and stages of dense output count too."""
    calls = []

    def counted(t, y):
        jax.debug.callback(lambda: calls.append(1))
        return -8 * y * jnp.cos(5 * t)

    solution = solve(counted, jnp.ones(2), [0.0, 0.7, 2.0], method=method, rtol=1e-3, **rule)
    jax.block_until_ready(solution.ys)
    jax.effects_barrier()
    assert len(calls) == int(solution.stats.nfe)
    assert int(solution.stats.rejected) > 0 or "steps" in rule


@pytest.mark.parametrize("method", ["tsit5", "dopri8"])
def test_backward_nfe_is_the_number_of_replayed_evaluations(method):
    """Every replayed evaluation is linearised once, which a counting custom_jvp sees."""
    calls = []

    @jax.custom_vjp
    def watched(y):
        return y

    def pull(_, bar):
        jax.debug.callback(lambda: calls.append(1))
        return (bar,)

    watched.defvjp(lambda y: (y, None), pull)

    def total(y0):
        solution = solve(
            lambda t, y: -8 * watched(y) * jnp.cos(5 * t), y0, [0.0, 0.7, 2.0], method=method
        )
        return jnp.sum(solution.ys), solution.stats

    gradient, stats = jax.grad(total, has_aux=True)(jnp.ones(2))
    jax.block_until_ready(gradient)
    jax.effects_barrier()
    assert int(stats.rejected) > 0
    assert len(calls) == int(stats.nfe_backward)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("method", ADAPTIVE)
def test_error_falls_with_the_tolerance(method):
    """Three decades of tolerance buy 1.5 of error at least; the error stays near what is asked."""
    args, y0, ts = random_args(4), np.array([1.0, -0.5, 0.2]), np.linspace(0.2, 3.0, 7)
    truth = exact(args, y0, ts)

    @quick
    def run(tolerance):
        return solve(field, y0, ts, args, method=method, rtol=tolerance, atol=tolerance).ys

    levels = [1e-3, 1e-6] if METHODS[method].order < 4 else [1e-4, 1e-7, 1e-10]
    misses = [np.abs(run(level) - truth).max() for level in levels]
    for coarse, fine in pairwise(misses):
        assert fine < coarse / 30
    assert all(miss < 100 * level for miss, level in zip(misses, levels))


def test_save_times_need_not_begin_at_the_start_and_may_repeat():
    """Save times are read off the same trajectory, whichever they are."""
    solution = solve(lambda t, y: -y, jnp.ones(1), [0.5, 0.5, 1.0], t0=0.0, rtol=1e-6)
    np.testing.assert_allclose(solution.ys[:, 0], np.exp([-0.5, -0.5, -1.0]), rtol=1e-5)
    alone = solve(lambda t, y: -y, jnp.ones(1), [0.0], rtol=1e-6)
    assert alone.ys.tolist() == [[1.0]] and int(alone.stats.accepted) == 0
    again = solve(lambda t, y: -y, jnp.ones(1), [0.0, 0.0, 1.0, 1.0], rtol=1e-6)
    assert again.ys[0] == again.ys[1] == 1 and again.ys[2] == again.ys[3]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_dtype_and_structure_of_the_state_are_kept(dtype):
    """Every leaf of a pytree comes back with a time axis, in the dtype that went in."""
    y0 = {"a": jnp.ones((2, 3), dtype), "b": (jnp.asarray(2.0, dtype),)}
    solution = solve(lambda t, y: jax.tree.map(lambda x: -x * t, y), y0, [0.0, 1.0])
    assert solution.ys["a"].shape == (2, 2, 3) and solution.ys["b"][0].shape == (2,)
    assert {leaf.dtype for leaf in jax.tree.leaves(solution.ys)} == {jnp.dtype(dtype)}
    np.testing.assert_allclose(solution.ys["b"][0][-1], 2 * np.exp(-0.5), rtol=1e-3)


def test_float32_value_at_the_end_of_a_step_is_the_state_there():
    """Dense output of order 7 keeps its precision: large coefficients must not meet at the end."""
    solution = solve(
        lambda t, y: jnp.zeros_like(y) + 1000.0, jnp.zeros(1), [0.0, 1.0], method="dopri8", steps=1
    )
    np.testing.assert_allclose(solution.ys[-1], 1000.0, rtol=1e-6)


def test_rejected_step_shrinks_whatever_the_history():
    """A PID controller with a lucky past must not try a failing step again at the same size."""
    from isocline.ode import PID

    ratio, past = jnp.array([1.01]), jnp.array([[1.0], [1e-6]])
    assert float(PID.factor(METHODS["tsit5"].order, ratio, past)[0]) < 0.95


def test_solving_leaves_the_settings_of_jax_alone():
    """The library must never flip a global setting."""
    before = jax.config.values.copy()
    solve(lambda t, y: -y, jnp.ones(1), [0.0, 1.0])
    assert jax.config.values == before


def test_a_weakly_typed_state_keeps_its_precision(x64):
    solution = solve(lambda t, y: -y, jnp.full(2, 2.0), [0.0, 1.0], rtol=1e-11, atol=1e-11)
    assert solution.ys.dtype == jnp.float64
    np.testing.assert_allclose(solution.ys[-1], 2 * np.exp(-1), rtol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_another_number_in_args_compiles_nothing_and_changes_no_dtype(dtype):
    """Plain numbers are traced, unless the field has to know them."""
    traced = []

    def field(t, y, args):
        traced.append((args["rate"] * y).dtype)
        return -args["rate"] * jnp.ones(args["size"], y.dtype) * y

    tolerance, counts = {"float32": 1e-6, "float64": 1e-12}[dtype], []
    with jax.enable_x64(dtype == "float64"):
        for rate in (0.1, 0.7):
            y0, args = np.ones(2, dtype), {"rate": rate, "size": 2}
            options = {"rtol": tolerance, "atol": tolerance, "method": "dopri8"}
            ys = solve(field, y0, [0.0, 1.0], args, **options).ys
            np.testing.assert_allclose(ys[-1], np.exp(-rate), rtol=10 * tolerance)
            counts.append(len(traced))
    assert counts[0] == counts[1] and set(traced) == {jnp.dtype(dtype)} == {ys.dtype}


@pytest.mark.parametrize("asks", [lambda a: 1.0 if a > 0 else -1.0, np.sign])
def test_a_field_may_have_to_know_a_number_in_args(asks):
    for rate in (0.5, -0.5):
        ys = solve(lambda t, y, a: asks(a) * y, jnp.ones(1), [0.0, 1.0], rate, rtol=1e-6).ys
        np.testing.assert_allclose(ys[-1], np.exp(np.sign(rate)), rtol=1e-4)
