"""Random problems, sound and sick: no hang, no silent NaN, the right cause, no harm to neighbours.

One field holds every kind of problem and is told by its arguments which one it is, so that a few
compiled programs solve all of them.
"""

from __future__ import annotations

from functools import cache, partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isocline.ode import Event, Status, solve

from ..conftest import QUICK

LANES, SIZE, MOST = 3, 2, 400
KINDS = ("smooth", "stiff", "jump", "constant", "still", "blow-up", "NaN later", "NaN beyond")
SOUND = KINDS[:5]
# Compiling is nearly all the time these tests take, and the numbers need no optimiser.
quick = partial(jax.jit, compiler_options=QUICK)
draws = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


def field(t, y, p):
    """Progress s runs from 0 upwards, whatever the unit, start and direction of time are."""
    s = p["sign"] * (t - p["start"]) / p["unit"]
    slopes = {
        "smooth": 2 * jnp.tanh(p["matrix"] @ y + p["bias"]) - 0.1 * y + jnp.sin(3 * s),
        "stiff": -p["rate"] * (y - jnp.cos(s)),
        "jump": jnp.where(s > p["when"], 3.0, -1.0) * p["bias"],
        "constant": p["bias"],
        "still": jnp.zeros_like(y),
        "blow-up": y**2,
        "NaN later": jnp.where(s > p["when"], jnp.nan, -y),
        "NaN beyond": jnp.where(y > p["when"], jnp.nan, 1.0),
    }
    slope = jnp.zeros_like(y)
    for index, kind in enumerate(KINDS):
        slope = jnp.where(p["kind"] == index, slopes[kind], slope)
    return p["sign"] * slope / p["unit"]


@st.composite
def problem(draw, units=(-9, -2, 0, 3, 9)):
    """One trajectory by its numbers; save times with repeats, some of them all at the start."""
    kind = draw(st.sampled_from(KINDS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    span = draw(st.sampled_from([0.0, 0.3, 1.7, 5.0]))
    shares = sorted(
        [*draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.77, 1.0]), min_size=3, max_size=3)), 1.0]
    )
    unit, sign = (
        10.0 ** draw(st.sampled_from(units)),
        draw(st.sampled_from([1.0, -1.0])),
    )
    start = draw(st.sampled_from([0.0, -2.0, 30.0])) * unit
    return SimpleNamespace(
        kind=kind,
        span=span,
        y0=rng.uniform(0.5, 1.5, SIZE),
        ts=start + sign * unit * span * np.array(shares),
        rtol=10.0 ** -draw(st.integers(1, 6)),
        atol=10.0 ** -draw(st.integers(2, 9)),
        args={
            "kind": np.int32(KINDS.index(kind)),
            "sign": sign,
            "start": start,
            "unit": unit,
            "rate": 10.0 ** draw(st.integers(1, 6)),
            "when": draw(st.sampled_from([0.05, 0.9, 2.5])) + (1.5 if kind == "NaN beyond" else 0),
            "matrix": rng.normal(size=(SIZE, SIZE)),
            "bias": rng.normal(size=SIZE),
        },
    )


def stacked(problems, dtype):
    cast = lambda leaf: leaf if leaf.dtype == np.int32 else jnp.asarray(leaf, dtype)
    keep = lambda p: (p.y0, p.ts, p.ts[0] * 0 + p.args["start"], p.args, p.rtol, p.atol)
    return jax.tree.map(lambda *leaves: cast(np.stack(leaves)), *map(keep, problems))


def run(method, controller, batch, numbers):
    y0, ts, t0, args, rtol, atol = numbers
    return solve(
        field, y0, ts, args, t0=t0, rtol=rtol, atol=atol, method=method, controller=controller,
        batch=batch, args_axes=0 if batch == "independent" else None, max_steps=MOST,
        on_failure="return",
    )  # fmt: skip


@cache
def program(method, controller, batch, dtype):
    """A compiled solve; the dtype keeps those of float32 and float64 apart."""
    return quick(partial(run, method, controller, batch))


def trouble(p):
    """When (in progress) the trouble that was built in comes, or infinity."""
    return {
        "blow-up": 1 / p.y0.max(),
        "NaN later": p.args["when"],
        "NaN beyond": max(p.args["when"] - p.y0.max(), 0),
    }.get(p.kind, np.inf)


def clock(p, dtype=np.float32):
    """The shortest step that the clock resolves, in progress."""
    return 4 * float(np.finfo(dtype).eps) * (abs(p.args["start"]) / p.args["unit"] + p.span)


def allowed(p):
    """The endings that are right for a problem; the step limit is, where steps are many."""
    if p.span == 0 or p.kind in ("constant", "still"):
        return {Status.SUCCESS}
    done = {Status.SUCCESS, Status.MAX_STEPS}
    # A jump, or a stiff transient, may ask for steps that the clock does not resolve.
    need = {"jump": (p.atol + p.rtol) / 10, "stiff": 1e-4 / p.args["rate"]}.get(p.kind, 0)
    if p.kind in SOUND:
        return done | ({Status.STEP_UNDERFLOW} if 0 < need < clock(p) else set())
    failed = {Status.NON_FINITE, Status.MAX_STEPS}
    # A trial step near the pole may overflow: the words are those of a blow-up even so.
    failed |= {Status.STEP_UNDERFLOW} if p.kind == "blow-up" else set()
    # How near to it is told by the tolerance.
    slack = 0.02 + 2 * p.rtol
    if p.span < (1 - slack) * trouble(p):
        return done
    return failed if p.span > (1 + slack) * trouble(p) else done | failed


def words(p, status):
    """How `explain` tells a failure."""
    if status == Status.MAX_STEPS:
        return "used up its step limit"
    if p.kind == "blow-up":
        return "blew up"
    return "could not go on" if status == Status.STEP_UNDERFLOW else "met a NaN or an infinity"


def check(p, solution, lane):
    """Status, counts, values and words of one lane."""
    pick = lambda leaf: np.asarray(leaf)[lane]
    status, ys = Status(int(pick(solution.status))), pick(solution.ys)
    steps = int(pick(solution.stats.accepted)) + int(pick(solution.stats.rejected))
    assert status in allowed(p), (status.name, solution.explain())
    assert steps <= MOST and (steps == MOST or status != Status.MAX_STEPS)
    reached = np.isfinite(ys).all(axis=1)
    progress = (pick(solution.ending.t) - p.args["start"]) * p.args["sign"] / p.args["unit"]
    assert -clock(p) <= progress <= p.span + clock(p)
    if status == Status.SUCCESS:
        assert reached.all()
    else:
        # What was reached is there, what was not is NaN, and the end never is.
        assert np.isnan(ys[~reached]).all() and not reached[-1]
        assert (np.diff(reached.astype(int)) <= 0).all()
        assert progress <= (1.02 + 2 * p.rtol) * trouble(p) + clock(p)
        who = f"Trajectory {lane}" if solution.status.size > 1 else "The solve"
        assert f"{who} {words(p, status)}" in solution.explain()
    if p.span == 0:
        assert steps == 0 and (ys == np.asarray(p.y0, ys.dtype)).all()
    if p.kind in ("constant", "still"):
        s = np.abs(p.ts - p.args["start"]) / p.args["unit"]
        truth = p.y0 + s[:, None] * p.args["bias"] * (p.kind == "constant")
        np.testing.assert_allclose(ys, truth, rtol=3e-5, atol=3 * clock(p) + 1e-5)


def calmed(p):
    """A problem like it in all but the field, which is zero."""
    args = p.args | {"kind": np.int32(KINDS.index("still"))}
    return SimpleNamespace(**(vars(p) | {"kind": "still", "args": args}))


def check_neighbours(problems, solution, alone, leaves):
    """Sound lanes are the same numbers, whether or not their neighbours are sick."""
    for lane, p in enumerate(problems):
        if p.kind in SOUND:
            for leaf in leaves:
                np.testing.assert_array_equal(leaf(solution)[lane], leaf(alone)[lane])


PROGRAMS = [
    *(("heun", "I"), ("bosh3", "PID"), ("rdpk3sp35", "PI")),
    *(("tsit5", "I"), ("tsit5", "PI"), ("vern7", "I")),
    *(("rosenbrock23", "I"), ("auto", "I")),
]
batches = st.lists(problem(), min_size=LANES, max_size=LANES)


@draws
@given(st.sampled_from(PROGRAMS), batches)
def test_random_trajectories_end_as_they_must(chosen, problems):
    """Each of three neighbours has the right status and values, and no say in the others'."""
    solved = program(*chosen, "independent", "float32")
    solution = solved(stacked(problems, jnp.float32))
    for lane, p in enumerate(problems):
        check(p, solution, lane)
    alone = solved(stacked([p if p.kind in SOUND else calmed(p) for p in problems], jnp.float32))
    leaves = [lambda s: s.ys, lambda s: s.stats.nfe, lambda s: s.status]
    check_neighbours(problems, solution, alone, leaves)


@settings(draws, max_examples=60)
@given(st.sampled_from(["float32", "float64"]), problem())
def test_random_problems_alone(dtype, p):
    """The loop for one trajectory is another program: the same laws hold, and in float64."""
    with jax.enable_x64(dtype == "float64"):
        numbers = jax.tree.map(lambda leaf: leaf[0], stacked([p], jnp.dtype(dtype)))
        solution = program("dopri8", "I", "coupled", dtype)(numbers)
        check(p, jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], solution), 0)


HIGH = 50.0  # no sound problem comes near it


def run_on_course(course, numbers):
    """One trajectory, with something on its way."""
    y0, ts, t0, args, rtol, atol = numbers
    when = t0 + args["sign"] * args["unit"] * args["when"]
    options = {
        "breakpoints": {"breakpoints": when[None]},
        "event": {"events": Event(lambda t, y, p: y[0] - 2.0)},
        "domain": {"domain": (-HIGH, HIGH)},
        "reversible": {"adjoint": "reversible"},
    }[course]
    return solve(
        field, y0, ts, args, t0=t0, rtol=rtol, atol=atol, max_steps=MOST, on_failure="return",
        **options,
    )  # fmt: skip


@cache
def on_course(course):
    return quick(partial(run_on_course, course))


@settings(draws, max_examples=120)
@given(st.sampled_from(["breakpoints", "event", "domain", "reversible"]), problem())
def test_random_problems_with_something_on_their_way(course, p):
    """The right ending, values up to it, and NaN after it, never the other way round."""
    numbers = jax.tree.map(lambda leaf: leaf[0], stacked([p], jnp.float32))
    solution = on_course(course)(numbers)
    status, ys = Status(int(solution.status)), np.asarray(solution.ys)
    more = {
        "event": {Status.EVENT} if p.kind != "still" else set(),
        "domain": {Status.LEFT_DOMAIN} if p.kind == "blow-up" else set(),
        # Its two states may drift apart wherever tolerances are loose, and that is told.
        "reversible": set() if p.kind in ("constant", "still") else {Status.STATES_APART},
    }.get(course, set())
    assert status in allowed(p) | more, (status.name, solution.explain())
    reached = np.isfinite(ys).all(axis=1)
    assert (np.diff(reached.astype(int)) <= 0).all() and np.isnan(ys[~reached]).all()
    if status != Status.STATES_APART:
        assert reached.all() if status == Status.SUCCESS else not reached[-1] or p.span == 0
    if course == "breakpoints" and p.kind == "jump":
        assert status == Status.SUCCESS, solution.explain()
    if course == "domain":
        assert (np.abs(ys[reached]) <= HIGH).all()
    if course == "event":
        assert (ys[reached, 0] <= 2.0 + 1e-2 + 10 * p.rtol).all() or p.y0[0] >= 2.0


@cache
def gradient():
    """Gradients of three trajectories and the solution, by replay."""

    def total(inputs, numbers):
        y0, bias = inputs
        _, ts, t0, args, rtol, atol = numbers
        solution = run("tsit5", "I", "independent", (y0, ts, t0, args | {"bias": bias}, rtol, atol))
        reached = jnp.where(jnp.isfinite(solution.ys), solution.ys, 0)
        return jnp.sum(jnp.sin(reached)), solution

    return quick(jax.grad(total, has_aux=True))


@settings(draws, max_examples=60)
@given(st.lists(problem(), min_size=LANES, max_size=LANES))
def test_random_gradients_are_finite_and_zero_where_the_solve_failed(problems):
    """The gradient of a sound lane is what it is without sick neighbours."""

    def of(problems):
        numbers = stacked(problems, jnp.float32)
        return gradient()((numbers[0], numbers[3]["bias"]), numbers)

    bars, solution = of(problems)
    for bar in bars:
        assert np.isfinite(bar).all()
        assert not np.asarray(bar)[np.asarray(solution.status) != Status.SUCCESS].any()
    alone = of([p if p.kind in SOUND else calmed(p) for p in problems])
    check_neighbours(problems, (bars, solution), alone, [lambda s: s[0][0], lambda s: s[0][1]])
