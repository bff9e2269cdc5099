"""The meter is told now and then, from inside a compiled loop; it costs nothing where off."""

from __future__ import annotations

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isocline.errors import InputError
from isocline.ode import solve
from isocline.ode.progress import Bar, Meter, Progress, clock, read_meter, report


def loop(meter, steps, span=1.0):
    """A bare loop of equal steps over the span, as the engine's would report them."""
    h = span / steps

    def body(carry):
        index, t, y = carry
        end = jnp.where(index + 1 >= steps, span, t + h)
        report(meter, t[None] / span, end[None] / span, end[None], jnp.full(1, h), index[None] + 1)
        return index + 1, end, y * (1 - h)

    return lambda y: jax.lax.while_loop(lambda c: c[0] < steps, body, (0, 0.0, y))[2]


@pytest.mark.parametrize("steps", [7, 1000])
def test_it_is_told_once_a_tenth_and_at_the_end(steps):
    told = []
    jax.block_until_ready(jax.jit(loop(Meter(told.append, every=0.1), steps))(1.0))
    jax.effects_barrier()
    assert len(told) == (7 if steps == 7 else 11)  # the first step, and every tenth
    fractions = [one.fraction for one in told]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    assert told[-1].t == pytest.approx(1, abs=1e-4) and told[-1].steps == steps
    assert told[0].remaining is None and told[-1].remaining == 0
    assert all(one.h == pytest.approx(1 / steps) for one in told)


def test_steps_that_hardly_move_are_told_as_well():
    told = []
    meter = Meter(told.append, every=0.5, most_steps=10)
    jax.block_until_ready(jax.jit(loop(meter, 40))(1.0))
    jax.effects_barrier()
    assert [one.steps for one in told] == [1, 10, 20, 30, 40]


class _Held:
    """As an array of JAX's is: NumPy can read it, and its own methods would compute with it."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return self.values

    def __getattr__(self, name):
        kind = AttributeError if name.startswith("__") else AssertionError
        raise kind(f"{name} asks JAX to compute")


def test_no_callback_computes_with_jax():
    """On one core that would wait for the program that waits for the callback."""
    told = []
    Meter(told.append).told(*map(_Held, (True, True, 4)), tuple(map(_Held, (0.5, 0.25, 0.1))))
    assert (told[0].fraction, told[0].t, told[0].steps) == (0.5, 0.25, 4)


def test_however_many_trajectories_few_numbers_are_handed_to_the_host(monkeypatch):
    sent, tell = [], jax.debug.callback

    def noting(told, *arrays):
        sent.append(sum(leaf.size for leaf in jax.tree.leaves(arrays)))
        return tell(told, *arrays)

    monkeypatch.setattr(jax.debug, "callback", noting)
    told, lanes = [], jnp.linspace(1.0, 0.5, 1000)
    jax.jit(lambda now: report(Meter(told.append), 0 * now, now, 2 * now, now, 0 * now + 1))(lanes)
    jax.effects_barrier()
    assert sent == [6]
    assert told[0].fraction == pytest.approx(0.75) and (told[0].t, told[0].h) == (1.0, 0.5)


def test_without_a_meter_nothing_is_traced():
    plain = str(jax.make_jaxpr(loop(None, 5))(1.0))
    assert "callback" not in plain and " cond[" not in plain
    assert "callback" in str(jax.make_jaxpr(loop(Meter(print), 5))(1.0))


def test_vmap_tells_no_more_than_it_would_alone():
    told = []
    meter = Meter(told.append, every=0.25)
    steps = jnp.array([4, 400])

    def one(count):
        def body(carry):
            index, y = carry
            # A lane that is done goes on turning, at its end.
            row = [jnp.minimum((index + more) / count, 1)[None] for more in (0, 1)]
            report(meter, *row, row[1], (1 / count)[None], (index + 1)[None])
            return index + 1, y * 0.5

        return jax.lax.while_loop(lambda c: c[0] < count, body, (0, 1.0))[1]

    jax.block_until_ready(jax.jit(jax.vmap(one))(steps))
    jax.effects_barrier()
    assert 6 <= len(told) <= 14


def test_a_backward_pass_that_does_not_run_the_loop_is_silent():
    told = []
    run = loop(Meter(told.append, every=0.1), 100)

    @jax.custom_vjp
    def solved(y):
        return run(y)

    solved.defvjp(lambda y: (run(y), None), lambda _, bar: (bar * 0.99**100,))
    gradient = jax.jit(jax.grad(solved))(2.0)
    jax.effects_barrier()
    assert len(told) == 11
    assert float(gradient) == pytest.approx(0.99**100, rel=1e-4)
    assert float(jax.jvp(run, (2.0,), (1.0,))[1]) == pytest.approx(0.99**100, rel=1e-4)


def test_the_bar_writes_lines_that_people_can_read():
    stream = io.StringIO()
    bar = Bar(stream, width=10)
    bar(Progress(0.5, 1.25, 0.01, 123, 61.0, 3700.0))
    bar(Progress(1.0, 2.5, 0.01, 246, 122.0, 0.0))
    first, second = stream.getvalue().splitlines()
    assert first == "[#####.....]  50%  t=1.25  step 0.01  123 steps  1 min 01 s, 1 h 1 min left"
    assert second.startswith("[##########] 100%") and "left" not in second
    stream.isatty = lambda: True
    bar(Progress(1.0, 2.5, 0.01, 246, 122.0, 0.0))
    assert stream.getvalue().splitlines()[-1].startswith("\x1b[K")


def test_what_may_be_a_meter():
    told = []
    assert read_meter(None) is None and read_meter(False) is None
    assert read_meter(True) is read_meter(True)
    assert read_meter(print) is read_meter(print)
    assert read_meter(told.append).tell == told.append
    mine = Meter(print, every=0.5)
    assert read_meter(mine) is mine
    with pytest.raises(InputError, match="progress="):
        read_meter("yes")
    assert clock(3.21) == "3.2 s" and np.isfinite(float(Meter(print).every))


def turning(t, y, damping):
    return jnp.array([y[1], -y[0] - damping * y[1]])


def solved(damping, **options):
    y0 = options.pop("y0", jnp.array([1.0, 0.0]))
    return solve(turning, y0, [0.0, 10.0], damping, **options)


@pytest.mark.parametrize("adjoint", ["replay", "reversible", "backsolve", "forward", "direct"])
def test_a_solve_reports_up_to_its_end(adjoint):
    told = []
    solution = solved(0.1, adjoint=adjoint, max_steps=64, progress=told.append)
    jax.effects_barrier()
    fractions = [one.fraction for one in told]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    assert told[-1].steps == int(solution.stats.accepted + solution.stats.rejected)


def test_a_gradient_reports_its_forward_solve_only():
    alone, differentiated = [], []
    solved(0.1, progress=alone.append)
    jax.grad(lambda a: solved(a, progress=differentiated.append).ys[-1, 0])(0.1)
    jax.effects_barrier()
    assert len(differentiated) == len(alone) > 1


def test_each_bunch_of_trajectories_reports():
    told = []
    solved(0.1, y0=jnp.ones((300, 2)), batch="independent", progress=told.append)
    jax.effects_barrier()
    assert sum(one.fraction == 1 for one in told) >= 3


def test_a_solve_is_silent_when_off(capfd):
    def traced(progress):
        return str(jax.make_jaxpr(lambda a: solved(a, progress=progress).ys)(0.1))

    assert "callback" not in traced(False) and "callback" in traced(print)
    solved(0.1)
    jax.effects_barrier()
    assert capfd.readouterr() == ("", "")


def test_true_shows_a_bar_on_the_standard_error(capsys):
    solved(0.1, progress=True)
    jax.effects_barrier()
    shown = capsys.readouterr()
    assert shown.out == "" and "100%" in shown.err


def test_meters_of_functions_that_are_gone_are_not_kept():
    from isocline.ode import progress

    for number in range(100):
        meter = progress.read_meter(lambda told, number=number: number)
        assert meter is not None and progress.read_meter(meter.tell) is meter
    assert progress._meter_of.cache_info().currsize <= 32
