"""What makes a flow straight: RNODE, OT-Flow and pairs from optimal transport, on the plane.

The same two densities are learnt plainly by likelihood and by flow matching, and by each with what
its authors add for straighter ways: the price in likelihood and in time, and what it buys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from isocline.estimators import ContinuousFlow
from isocline.estimators.storing import in_precision
from isocline.models.flow import Flow, OfPoints
from isocline.models.solving import Solving
from isocline.nn import KineticEnergy

from .densities import Protocol, grid_of, measured, one
from .flow_runs import clock
from .regularizers_figure import draw_ways
from .results import answer_of, command_of, markdown_table, versions, write_results

LIKELIHOOD, RNODE, OT_FLOW = "likelihood", "likelihood, RNODE", "likelihood, OT-Flow"
MATCHING, COUPLED = "flow matching", "flow matching, coupled"
_BY_LIKELIHOOD = {"matching": 0, "likelihood": 8}
_BY_MATCHING = {"matching": 40, "likelihood": 0}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    LIKELIHOOD: ("continuous", _BY_LIKELIHOOD),
    RNODE: ("continuous", _BY_LIKELIHOOD | {"energy": 0.05, "jacobian": 0.05}),
    OT_FLOW: (
        "continuous",
        _BY_LIKELIHOOD
        | {
            "field": "potential",
            # Its authors' weights for the plane, and a larger rate, as theirs: tried on circles.
            "energy": 0.005,
            "hamilton_jacobi": 0.05,
            "learning_rate": 0.03,
        },
    ),
    MATCHING: ("continuous", _BY_MATCHING),
    COUPLED: ("continuous", _BY_MATCHING | {"coupling": True}),
}
TIGHT = 1e-7  # the tolerance at which a density is integrated, in double precision
NOTHING = 1e-10  # a density that adds nothing to an integral over the grid
MISSED = 1e-4  # of an integral, from which on it is taken over a wider square
PARTICLES = 1000
TITLES = {
    "density": "density",
    "model": "model",
    "gap": "above the floor, nats",
    "nfe": "NFE at 1e-5",
    "energy": "energy",
    "bend": "to straight ways",
    "excess": "to the best transport",
    "mass_error": "log of the integral",
    "inverse_error": "inverse error",
    "seconds": "training, s",
}
FORMATS = {
    "gap": ".3f",
    "nfe": ".0f",
    "energy": ".2f",
    "bend": ".3f",
    "excess": ".3f",
    "seconds": ".0f",
}
NOTE = (
    "Means of {seeds} seeds and, behind the sign, their standard deviation. Above the floor: the "
    "NLL of {test:,} fresh points. NFE: evaluations a point. Energy: the mean of the integral of "
    "|f|^2 along the ways of {particles:,} points from the normal to the standardised data; to "
    "straight ways: by that of straight ones between the same ends; to the best transport: by "
    "that of the pairs of these ends that cost least. One would be least. Log of the integral and "
    "inverse error: the largest of all seeds, in double precision at tolerance {tight:g}: of "
    "the learnt density on a grid of {grid} x {grid} (on one twice as wide, where that misses more "
    "than {missed:g}: some lies outside), and of points after there and back. Seconds: of one core "
    "that other work shared, without compilation."
)


PROTOCOL = Protocol(
    densities=("pinwheel", "moons"), models=MODELS, extra={}, train=20_000, test=10_000
)
QUICK = Protocol(
    densities=("moons",),
    models={
        OT_FLOW: ("continuous", MODELS[OT_FLOW][1] | {"hidden_size": 8, "likelihood": 1}),
        COUPLED: ("continuous", MODELS[COUPLED][1] | {"hidden_size": 16, "matching": 4}),
    },
    extra={},
    train=2_000,
    test=500,
    grid=60,
)


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Train and measure every model on every density; what is done is not done again."""
    protocol = protocol or (QUICK if quick else PROTOCOL)
    seeds = seeds or range(1 if quick else 3)
    rows: list[dict[str, Any]] = []
    results: dict[str, Any] = {}
    for seed, density, model in product(seeds, protocol.densities, protocol.models):
        done = one(out, protocol, (density, model, seed), progress, _measured)
        rows.append(done | {"seconds": clock(done["history"])[-1]})
        results = _results(protocol, rows, command_of("regularizers", seeds, quick))
        write_results(out, results, results["table"])
    draw_ways(out, protocol.densities, list(protocol.models), seeds[0])
    return answer_of(results, out)


def _measured(density: str, test: np.ndarray, points: int, model: ContinuousFlow) -> dict[str, Any]:
    return (
        measured(density, test, points, model)
        | travelled(model.network_)
        | exactness(density, points, model)
    )


def travelled(flow: Flow) -> dict[str, float]:
    """How far points of the normal go, beside straight ways and the best transport.

    The energy of a way is at least the square of the distance of its ends, and that in the mean at
    least what the cheapest pairs of the same ends cost (Tong et al. 2024, normalized path energy;
    here from the flow's own ends, so that a flow that is off the data gains nothing by it).
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    z = jax.random.normal(jax.random.key(1), (PARTICLES, flow.size))
    context = jnp.zeros((PARTICLES, 0))
    energy = OfPoints(KineticEnergy(1.0), flow.field, context)
    move = partial(
        Flow.move, to_data=True, solving=Solving("tsit5", 1e-5, 1e-5), regularizers=[energy]
    )
    moved = eqx.filter_jit(move)(flow, z, context)
    costs = cdist(z, moved.points, "sqeuclidean")
    spent = float(moved.penalty)
    return {
        "energy": spent,
        "bend": spent / float(np.trace(costs)) * PARTICLES,
        "excess": spent / float(costs[linear_sum_assignment(costs)].mean()),
    }


def exactness(density: str, points: int, model: ContinuousFlow) -> dict[str, float]:
    """What is wrong with a learnt density but its learning, at a tight tolerance.

    Returns:
        The logarithm of its integral over a grid, which is an error of its log-density, and the
        largest distance of points to themselves after the way to the data and back.
    """
    mass = _integral(model, *grid_of(density, points))
    if abs(np.log(mass)) > MISSED:  # a flow may lay some where the density has ended
        mass = _integral(model, *grid_of(density, 2 * points, 2))
    with jax.enable_x64(True):
        flow = in_precision(model.network_, True)
        z, context = jax.random.normal(jax.random.key(2), (1000, 2)), jnp.zeros((1000, 0))
        move = eqx.filter_jit(partial(Flow.move, solving=Solving("dopri8", TIGHT, TIGHT)))
        there = move(flow, z, context, to_data=True).points
        back = move(flow, there, context, to_data=False).points
        off = float(jnp.abs(back - z).max())
    return {"mass_error": abs(float(np.log(mass))), "inverse_error": off}


def _integral(model: ContinuousFlow, grid: np.ndarray, area: float) -> float:
    """Of a learnt density over the cells of a grid, in double precision at a tight tolerance."""
    roughly = model.with_tolerance(1e-2).score_samples(grid)
    some = grid[roughly > np.log(NOTHING)].astype(np.float64)
    exact = model.with_tolerance(TIGHT, "dopri8")
    return float(np.sum(np.exp(exact.score_samples(some))) * area)


def _results(protocol: Protocol, rows: list[dict[str, Any]], command: str) -> dict[str, Any]:
    groups = [
        [row for row in rows if (row["density"], row["model"]) == pair]
        for pair in product(protocol.densities, protocol.models)
    ]
    groups = list(filter(None, groups))
    table = markdown_table(list(TITLES.values()), [_cells(group) for group in groups])
    return {
        "command": command,
        "protocol": asdict(protocol),
        "note": NOTE.format(
            seeds=len(groups[0]),
            test=protocol.test,
            particles=PARTICLES,
            tight=TIGHT,
            missed=MISSED,
            grid=protocol.grid,
        ),
        "versions": versions("equinox", "optax"),
        "summary": [_summary(group) for group in groups],
        "runs": rows,
        "table": table,
        "table_file": "table.md",
    }


def _summary(group: list[dict[str, Any]]) -> dict[str, Any]:
    """One model on one density: means over the seeds, and the largest errors."""
    first = {name: group[0][name] for name in ("density", "model")}
    means = {name: float(np.mean([row[name] for row in group])) for name in FORMATS}
    worst = {name: max(row[name] for row in group) for name in ("mass_error", "inverse_error")}
    return first | {name: (first | means | worst)[name] for name in TITLES}


def _cells(group: list[dict[str, Any]]) -> list[str]:
    found = _summary(group)
    spread = {name: float(np.std([row[name] for row in group])) for name in FORMATS}
    cells = []
    for name in TITLES:
        if name in FORMATS:
            cells.append(f"{found[name]:{FORMATS[name]}} ± {spread[name]:{FORMATS[name]}}")
        else:
            cells.append(f"{found[name]:.1e}" if name.endswith("error") else found[name])
    return cells
