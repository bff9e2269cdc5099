"""What a log-determinant costs against the size of a point, and how right log-densities are.

Our fields know their divergence in closed form: two at the cost of their slope, a potential at that
of one product of its matrices a component. From the Jacobian it costs a slope a component; a
general discrete layer has a determinant, O(D^3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from isocline.models.flow import Flow
from isocline.models.solving import Solving
from isocline.nn import FIELDS, AbstractFlowField, ExactTrace, Hutchinson

from .bench.timing import interleaved
from .results import answer_of, markdown_table, save_figure, versions, write_results

WAYS = {
    "slope alone": "#999999",
    "closed form": "#0072B2",
    "slope alone, the paper's field": "#BBBBBB",
    "closed form, the paper's field": "#56B4E9",
    "slope alone, a potential": "#DDDDDD",
    "closed form, a potential": "#CC79A7",
    "Hutchinson": "#E69F00",
    "whole Jacobian": "#009E73",
    "determinant of a discrete layer": "#D55E00",
}
NOTE = (
    "Microseconds a point, batch {points}, {hidden} hidden units, medians interleaved. Exponents: "
    "of D, by least squares over the largest half of the sizes. Errors: of a random flow of each "
    "field in 2-D and double precision; the integral of its density on a grid of {grid} x {grid} "
    "at tolerance 1e-7, and the distance of points to themselves after there and back."
)


@dataclass(frozen=True)
class Protocol:
    """What is measured."""

    sizes: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128, 256)
    points: int = 64
    hidden: int = 64
    repeats: int = 9
    grid: int = 240


QUICK = Protocol(sizes=(2, 8), points=8, hidden=8, repeats=1, grid=160)


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,  # noqa: ARG001 - all experiments are called alike
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Time every way at every size, and integrate densities."""
    protocol = protocol or (QUICK if quick else Protocol())
    rows = []
    for size in protocol.sizes:
        if progress is not None:
            progress({"stage": f"D = {size}"})
        timings = interleaved(_calls(size, protocol), protocol.repeats, shortest=0.01)
        micro = {way: 1e6 * timings[way].median / protocol.points for way in WAYS}
        rows.append({"size": size} | micro)
    exponents = {way: _exponent(rows, way) for way in WAYS}
    errors = [{"field": name} | _errors(name, protocol.grid) for name in FIELDS]
    table = _table(rows, exponents, errors)
    results = {
        "command": "isocline reproduce logdet" + " --quick" * quick,
        "protocol": asdict(protocol),
        "note": NOTE.format(points=protocol.points, hidden=protocol.hidden, grid=protocol.grid),
        "versions": versions("jaxlib", "equinox"),
        "summary": rows,
        "exponents": exponents,
        "errors": errors,
        "table": table,
        "table_file": "table.md",
    }
    write_results(out, results, table)
    _draw(out, rows)
    return answer_of(results, out)


def _table(
    rows: list[dict[str, Any]], exponents: dict[str, float], errors: list[dict[str, Any]]
) -> str:
    cells = [(row["size"], *(f"{row[way]:.2f}" for way in WAYS)) for row in rows]
    cells.append(("exponent", *(f"{exponents[way]:.2f}" for way in WAYS)))
    precise = [(e["field"], f"{e['integral']:.1e}", f"{e['inverse']:.1e}") for e in errors]
    titles = ["field", "log of the integral", "inverse error"]
    return markdown_table(["D", *WAYS], cells) + "\n\n" + markdown_table(titles, precise)


def _moved(model: Any, scale: float) -> Any:
    """A model whose every number is a little elsewhere: nothing is zero by construction."""
    arrays, static = eqx.partition(model, eqx.is_inexact_array)
    leaves, treedef = jax.tree.flatten(arrays)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    leaves = [
        leaf + scale * jax.random.normal(key, leaf.shape, leaf.dtype)
        for leaf, key in zip(leaves, keys)
    ]
    return eqx.combine(jax.tree.unflatten(treedef, leaves), static)


def _calls(size: int, protocol: Protocol) -> dict[str, Callable[[], Any]]:
    """Each way, compiled, at one size."""
    key = jax.random.key(0)
    gated, hyper, potential = (
        _moved(FIELDS[name](size, protocol.hidden, key=key), 0.1)
        for name in ("gated", "hyper", "potential")
    )
    z = jax.random.normal(key, (protocol.points, size))
    weights = jax.random.normal(key, (size, size)) / jnp.sqrt(size)
    functions = {
        "slope alone": partial(_slope, gated),
        "closed form": partial(_divergence, ExactTrace(), gated),
        "slope alone, the paper's field": partial(_slope, hyper),
        "closed form, the paper's field": partial(_divergence, ExactTrace(), hyper),
        "slope alone, a potential": partial(_slope, potential),
        "closed form, a potential": partial(_divergence, ExactTrace(), potential),
        "Hutchinson": partial(_divergence, Hutchinson(), gated),
        "whole Jacobian": lambda z: AbstractFlowField.with_divergence(
            gated, jnp.float32(0.3), z, jnp.zeros(0)
        ),
        "determinant of a discrete layer": partial(_determinant, weights),
    }
    compiled = {}
    for way, function in functions.items():
        call = jax.jit(jax.vmap(function)).lower(z).compile()
        jax.block_until_ready(call(z))
        compiled[way] = partial(_blocked, call, z)
    return compiled


def _blocked(call: Any, z: Any) -> None:
    jax.block_until_ready(call(z))


def _slope(field: Any, z: Any) -> Any:
    return field(jnp.float32(0.3), z, jnp.zeros(0))


def _divergence(trace: Any, field: Any, z: Any) -> Any:
    noise = jnp.ones((1, z.size))
    return trace(field, jnp.float32(0.3), z, jnp.zeros(0), noise)


def _determinant(weights: Any, z: Any) -> Any:
    """A dense layer with a residual, whose Jacobian has no structure."""

    def layer(z: Any) -> Any:
        return z + jnp.tanh(weights @ z)

    return layer(z), jnp.linalg.slogdet(jax.jacfwd(layer)(z))[1]


def _exponent(rows: list[dict[str, Any]], way: str) -> float:
    last = rows[len(rows) // 2 :] if len(rows) > 2 else rows
    logs = np.log([[row["size"], row[way]] for row in last])
    return float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])


def _errors(kind: str, points: int) -> dict[str, float]:
    """Of a flow of random weights, in double precision."""
    with jax.enable_x64(True):
        flow = Flow(_moved(FIELDS[kind](2, 16, key=jax.random.key(0)), 0.1), 2)
        arrays, static = eqx.partition(flow, eqx.is_inexact_array)
        flow = eqx.combine(jax.tree.map(lambda one: jnp.asarray(one, float), arrays), static)
        solving = Solving("dopri8", 1e-7, 1e-7)
        axis = np.linspace(-9, 9, points)
        grid = jnp.asarray(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2))
        found, _ = flow.log_prob(grid, jnp.zeros((len(grid), 0)), solving=solving)
        mass = float(jnp.sum(jnp.exp(found)) * (axis[1] - axis[0]) ** 2)
        z, context = jax.random.normal(jax.random.key(2), (1000, 2)), jnp.zeros((1000, 0))
        there = flow.move(z, context, to_data=True, solving=solving).points
        back = flow.move(there, context, to_data=False, solving=solving).points
        return {"integral": abs(float(np.log(mass))), "inverse": float(jnp.abs(back - z).max())}


def _draw(out: Path, rows: list[dict[str, Any]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    sizes = [row["size"] for row in rows]
    for way, colour in WAYS.items():
        axes.loglog(sizes, [row[way] for row in rows], "o-", color=colour, label=way)
    axes.set(xlabel="D, components of a point", ylabel="µs a point")
    axes.legend(frameon=False, fontsize=8)
    save_figure(figure, out, "logdet")
