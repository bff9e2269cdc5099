"""Training a continuous flow on two circles: torchdiffeq's public example and ours, in one run.

Theirs trains for some iterations; then ours, with the same network, data, solver tolerance and
learning rate, trains until its test likelihood is as good; and so does `ContinuousFlow`, by flow
matching and by likelihood.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PRNGKeyArray

from isocline.data import plane_density
from isocline.estimators import ContinuousFlow
from isocline.models.flow import Flow
from isocline.models.flow_losses import Learning, negative_log_likelihood
from isocline.models.solving import Solving
from isocline.nn import AbstractFlowField

from .bench.torch_cnf import HIDDEN, LAST, VARIANCE, WIDTH, make_trainer
from .flow_runs import clock, compiling
from .results import answer_of, markdown_table, silent, versions, write_results

NOTE = (
    "Two circles (noise 0.06, factor 0.5), {batch} new points a step, Adam at {rate:g}, tolerance "
    "1e-5. Test NLL in nats, of {test:,} points; the floor is {floor:.3f}. Seconds of training "
    "alone, without tests; compilation is apart. Theirs trained for {steps} iterations; all "
    "others until their test NLL was as good (looked at every {look} iterations). ContinuousFlow "
    "is looked at once an epoch, on its own held-out rows; at the end of its trainings the NLL of "
    "the test points is {finals}. One seed."
)


@dataclass(frozen=True)
class Protocol:
    """What is run.

    Attributes:
        steps: of theirs.
        look: test after so many.
        most: steps of ours at most, in multiples of theirs.
        rows, matching, likelihood: of `ContinuousFlow`, its epochs of the one and of the other.
    """

    steps: int = 600
    look: int = 40
    batch: int = 512
    test: int = 4096
    rate: float = 1e-3
    most: int = 3
    rows: int = 16_000
    matching: int = 60
    likelihood: int = 16


QUICK = Protocol(steps=2, look=1, batch=64, test=256, rows=2000, matching=2, likelihood=1)


class PublicField(AbstractFlowField):
    """The network of the example, its time from 0 to 10 and its variance of 0.1 brought to ours."""

    network: eqx.nn.MLP

    def __init__(self, *, key: PRNGKeyArray):
        self.network = eqx.nn.MLP(1, 7 * WIDTH, HIDDEN, 2, jnp.tanh, key=key)

    def _parts(self, t: Any, z: Any) -> tuple[Any, Any, Any]:
        flat = self.network(LAST * t[None])
        w, u, gate = flat[: 6 * WIDTH].reshape(3, WIDTH, 2)
        u = LAST * u * jax.nn.sigmoid(gate) / WIDTH
        return w, u, jnp.tanh(w @ z * VARIANCE**0.5 + flat[6 * WIDTH :])

    def __call__(self, t, z, context):
        _, u, value = self._parts(t, z)
        return value @ u / VARIANCE**0.5

    def with_divergence(self, t, z, context):
        w, u, value = self._parts(t, z)
        return value @ u / VARIANCE**0.5, (1 - value**2) @ jnp.sum(w * u, axis=1)


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,  # noqa: ARG001 - all experiments are called alike
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Train theirs, then ours to the same likelihood."""
    protocol = protocol or (QUICK if quick else Protocol())
    exact = plane_density("circles")
    test = exact.sample(protocol.test, np.random.default_rng(1)).astype(np.float32)
    rows = _run_all(protocol, test, progress or silent)
    table = _table(rows)
    results = {
        "command": "isocline bench cnf" + " --quick" * quick,
        "protocol": asdict(protocol),
        "note": NOTE.format(
            batch=protocol.batch,
            rate=protocol.rate,
            test=protocol.test,
            floor=-float(exact.log_prob(test.astype(float)).mean()),
            steps=protocol.steps,
            look=protocol.look,
            finals=" and ".join(f"{row['final_nll']:.3f}" for row in rows[-2:]),
        ),
        "versions": versions("jaxlib", "equinox", "torch", "torchdiffeq"),
        "summary": [{k: v for k, v in row.items() if k != "course"} for row in rows],
        "runs": rows,
        "table": table,
        "table_file": "table.md",
    }
    write_results(out, results, table)
    return answer_of(results, out)


def _run_all(
    protocol: Protocol, test: np.ndarray, say: Callable[[dict[str, Any]], None]
) -> list[dict[str, Any]]:
    """Theirs first; its likelihood is the goal of ours."""
    rows = _theirs(protocol, test, say)
    goal = rows[0]["nll"] if rows else None
    most = protocol.steps * (protocol.most if goal is not None else 1)
    rows.append(_trained(_ours(protocol), protocol, test, most, goal, say))
    rows += [_default(way, protocol, test, goal, say) for way in ("matching", "likelihood")]
    for row in rows:
        met = goal is not None and row["nll"] <= goal
        row["ratio"] = rows[0]["seconds"] / row["seconds"] if met else None
    return rows


def _theirs(
    protocol: Protocol, test: np.ndarray, say: Callable[[dict[str, Any]], None]
) -> list[dict[str, Any]]:
    """The example by backpropagation through its solver, and by its adjoint; none without it."""
    rows = []
    for adjoint in (False, True) if find_spec("torchdiffeq") is not None else ():
        name = f"torchdiffeq, {'adjoint' if adjoint else 'backpropagation'}"
        trainer = make_trainer(adjoint=adjoint, tolerance=1e-5, rate=protocol.rate)
        # The adjoint is the slower one: a tenth of the iterations says how slow.
        steps = max(protocol.steps // 10, 1) if adjoint else protocol.steps
        rows.append(_trained(_Contestant(name, *trainer), protocol, test, steps, None, say))
    return rows


class _Contestant(NamedTuple):
    """A training step, a test, and the seconds that compiling takes."""

    name: str
    step: Callable[[np.ndarray], Any]
    test: Callable[[np.ndarray], float]
    compile: float | None = None


def _table(rows: list[dict[str, Any]]) -> str:
    titles = ["", "iterations", "test NLL", "s", "ms an iteration", "compile, s", "speed-up"]
    cells = [
        (
            row["name"],
            row["iterations"],
            f"{row['nll']:.3f}",
            f"{row['seconds']:.1f}",
            f"{1e3 * row['seconds'] / row['iterations']:.1f}",
            None if row["compile"] is None else f"{row['compile']:.1f}",
            None if row["ratio"] is None else f"{row['ratio']:.1f}",
        )
        for row in rows
    ]
    return markdown_table(titles, cells)


def _trained(
    who: _Contestant,
    protocol: Protocol,
    test: np.ndarray,
    steps: int,
    goal: float | None,
    say: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Train for so many steps, or until the goal is met."""
    exact, draw = plane_density("circles"), np.random.default_rng(0)
    seconds, course, done = 0.0, [], 0
    while done < steps and (goal is None or not course or course[-1][1] > goal):
        some = min(protocol.look, steps - done)
        batches = [exact.sample(protocol.batch, draw).astype(np.float32) for _ in range(some)]
        began = time.perf_counter()
        for batch in batches:
            who.step(batch)
        seconds += time.perf_counter() - began
        done += some
        course.append((seconds, who.test(test)))
        say({"stage": who.name, "epoch": done, "epochs": steps, "validation": course[-1][1]})
    return {
        "name": who.name,
        "compile": who.compile,
        "iterations": done,
        "nll": course[-1][1],
        "seconds": seconds,
        "course": course,
    }


def _ours(protocol: Protocol) -> _Contestant:
    """The same network, with the divergence in closed form."""
    learning = Learning(Solving("dopri5", 1e-5, 1e-5))
    optimizer = optax.adam(protocol.rate)
    flow = Flow(PublicField(key=jax.random.key(0)), 2)
    arrays, static = eqx.partition(flow, eqx.is_inexact_array)

    def loss(arrays: Any, points: Any) -> Any:
        scaled = points / VARIANCE**0.5
        key = jax.random.key(0)
        model, context = eqx.combine(arrays, static), jnp.zeros((len(points), 0))
        found, _ = negative_log_likelihood(model, scaled, context, learning, key)
        return found + jnp.log(VARIANCE)  # of two components, half of it each

    @jax.jit
    def update(arrays: Any, moments: Any, points: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(arrays, points)
        changes, moments = optimizer.update(gradient, moments, arrays)
        return optax.apply_updates(arrays, changes), moments, value

    state: dict[str, Any] = {"now": (arrays, optimizer.init(arrays))}

    def step(points: np.ndarray) -> None:
        *state["now"], value = update(*state["now"], points)
        jax.block_until_ready(value)

    began = time.perf_counter()
    blank = np.zeros((protocol.batch, 2), np.float32)
    jax.block_until_ready(update(*state["now"], blank))
    test = jax.jit(loss)
    seconds = time.perf_counter() - began
    name = "isocline, the example's network"
    return _Contestant(name, step, lambda points: float(test(state["now"][0], points)), seconds)


def _default(
    way: str,
    protocol: Protocol,
    test: np.ndarray,
    goal: float | None,
    say: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """`ContinuousFlow` by one of its losses, until the held-out rows are as likely as the goal."""
    rows = plane_density("circles").sample(protocol.rows, np.random.default_rng(0))
    epochs: dict[str, Any] = {"matching": 0, "likelihood": 0} | {way: getattr(protocol, way)}
    model = ContinuousFlow(**epochs, accept=True, patience=None)
    model.fit(rows.astype(np.float32), progress=say)
    change = np.linalg.slogdet(model.scaling_.matrix)[1]
    seconds = clock(model.history_)
    course = [(at, row["validation"] - change) for at, row in zip(seconds, model.history_)]
    met = [index for index, (_, nll) in enumerate(course) if goal is not None and nll <= goal]
    index = met[0] if met else len(course) - 1
    steps = len(rows) * 9 // 10 // model.batch_size
    return {
        "name": f"isocline, ContinuousFlow by {way}",
        "iterations": (index + 1) * steps,
        "nll": course[index][1],
        "seconds": course[index][0],
        "course": course,
        "compile": compiling(model.history_),
        "final_nll": -model.score(test),
    }
