"""Densities on the plane: how far each flow is above the entropy floor, which no density is below.

Two circles, two moons, eight Gaussians, a pinwheel and a checkerboard; planar flows, the paper's
continuous flow with eight units, and ours by flow matching, by likelihood and by one after the
other, with and without regularizers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from isocline.data import plane_densities, plane_density

from .densities_figure import draw_densities
from .flow_runs import learn, race
from .results import answer_of, command_of, markdown_table, run_name, versions, write_results

PLANAR, CNF = "planar NF, K = 32", "CNF, M = 8"
PLANAR_MUON = f"{PLANAR}, Muon"
MATCHING, LIKELIHOOD, BOTH = "flow matching", "likelihood", "matching, then likelihood"
REGULARIZED = "likelihood, regularized"
# A planar flow wants many epochs, as in the paper, and so does the paper's field.
PLANAR_TRAINING: dict[str, Any] = {"epochs": 400, "learning_rate": 1e-2}
HYPER_TRAINING: dict[str, Any] = {"field": "hyper", "matching": 20, "likelihood": 150}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    PLANAR: ("planar", {"layers": 32} | PLANAR_TRAINING),
    PLANAR_MUON: ("planar", {"layers": 32, "optimizer": "muon"} | PLANAR_TRAINING),
    CNF: ("continuous", {"hidden_size": 8} | HYPER_TRAINING),
    BOTH: ("continuous", {"matching": 60, "likelihood": 4}),
    MATCHING: ("continuous", {"matching": 60, "likelihood": 0}),
    LIKELIHOOD: ("continuous", {"matching": 0, "likelihood": 8}),
    REGULARIZED: (
        "continuous",
        {"matching": 0, "likelihood": 8, "energy": 0.05, "jacobian": 0.05},
    ),
}
# Where the density ends at once: its bounds are known, and its edges need units.
WIDE = {"hidden_size": 128}
EDGES = {"bounds": {0: (-4.0, 4.0), 1: (-4.0, 4.0)}}
EXTRA: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "checkerboard": {
        "flow matching, 128 units, bounds": (
            "continuous",
            WIDE | {"matching": 120, "likelihood": 0} | EDGES,
        ),
        "likelihood, 128 units, bounds": (
            "continuous",
            WIDE | {"matching": 0, "likelihood": 12} | EDGES,
        ),
    }
}
TITLES = {
    "density": "density",
    "model": "model",
    "gap": "above the floor, nats",
    "nll": "NLL",
    "floor": "floor",
    "nfe": "NFE at 1e-5",
    "mass": "integral",
    "parameters": "parameters",
    "seconds": "training, s",
}
NOTE = (
    "Above the floor: the mean of log p - log q over {test:,} fresh points of the exact density p, "
    "which is KL(p || q); after the sign the standard error. NLL and floor are of the same points. "
    "NFE: evaluations a point at tolerance 1e-5, each with its own steps. Integral: of the learnt "
    "density on a grid of {grid} x {grid}. "
    "Planar flows are trained by AdamW where nothing is said, continuous ones by Muon. Seconds: of "
    "a noisy machine, compilation included."
)


@dataclass(frozen=True)
class Protocol:
    """What is run.

    Attributes:
        densities: names of `isocline.data.plane_density`.
        models: kind and settings by name.
        extra: more of them, by density.
        settings: of all models.
        train, test: points.
        grid: points to a side.
    """

    densities: tuple[str, ...] = field(default_factory=plane_densities)
    models: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=lambda: MODELS)
    extra: dict[str, dict[str, tuple[str, dict[str, Any]]]] = field(default_factory=lambda: EXTRA)
    settings: dict[str, Any] = field(default_factory=lambda: {"accept": True, "patience": None})
    train: int = 50_000
    test: int = 20_000
    grid: int = 160


QUICK = Protocol(
    densities=("moons",),
    models={
        PLANAR: ("planar", {"layers": 4, "epochs": 2}),
        BOTH: ("continuous", {"hidden_size": 16, "matching": 6, "likelihood": 1}),
    },
    train=4_000,
    test=1_000,
    grid=40,
)


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Train and test every model on every density; what is done is not done again."""
    protocol, seeds = protocol or (QUICK if quick else Protocol()), seeds or range(1)
    rows: list[dict[str, Any]] = []
    results: dict[str, Any] = {}
    # Model after model: what answers the question comes first for every density.
    more = [
        (seed, model, density)
        for seed, density in product(seeds, protocol.densities)
        for model in protocol.extra.get(density, ())
    ]
    for seed, model, density in (*product(seeds, protocol.models, protocol.densities), *more):
        rows.append(one(out, protocol, (density, model, seed), progress))
        rows.sort(key=lambda row: protocol.densities.index(row["density"]))
        results = _results(protocol, rows, command_of("densities", seeds, quick))
        write_results(out, results, results["table"])
    shown = [model for model in protocol.models if model != PLANAR_MUON]
    draw_densities(out, protocol.densities, shown, seeds[0], protocol.grid)
    return answer_of(results, out)


def points_of(density: str, protocol: Protocol, seed: int) -> dict[str, np.ndarray]:
    """Training and test points; the test points are of another seed than any training points."""
    exact = plane_density(density)
    draw = {"train": np.random.default_rng(seed), "test": np.random.default_rng(10_000 + seed)}
    return {
        name: exact.sample(getattr(protocol, name), rng).astype(np.float32)
        for name, rng in draw.items()
    }


def grid_of(density: str, points: int, wider: float = 1.0) -> tuple[np.ndarray, float]:
    """The midpoints of a grid over a density, so much wider than it, and the area of a cell."""
    extent = wider * plane_density(density).extent
    step = 2 * extent / points
    axis = -extent + step * (np.arange(points) + 0.5)
    x, y = np.meshgrid(axis, axis)
    return np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32), step**2


def measured(density: str, test: np.ndarray, points: int, model: Any) -> dict[str, Any]:
    """The distance to the floor on the very test points, and the integral of the density."""
    exact = plane_density(density).log_prob(test.astype(np.float64))
    # Single precision moves a point of the checkerboard over an edge now and then.
    there = np.isfinite(exact)
    gaps = exact[there] - model.score_samples(test)[there]
    grid, area = grid_of(density, points)
    return {
        "floor": -float(exact[there].mean()),
        "gap": float(gaps.mean()),
        "gap_error": float(gaps.std() / np.sqrt(len(gaps))),
        "mass": float(np.sum(np.exp(model.score_samples(grid).astype(np.float64))) * area),
    }


def one(
    out: Path,
    protocol: Protocol,
    chosen: tuple[str, str, int],
    progress: Callable[[dict[str, Any]], None] | None,
    measure: Callable[[str, np.ndarray, int, Any], dict[str, Any]] = measured,
) -> dict[str, Any]:
    """One model on one density, trained and tested.

    Args:
        chosen: density, model and seed.
        measure: what is measured of it beside its likelihood.
    """
    density, model, seed = chosen
    kind, settings = (protocol.models | protocol.extra.get(density, {}))[model]
    data = points_of(density, protocol, seed)
    done = learn(
        out,
        run_name(density, model, seed),
        kind,
        protocol.settings | settings | {"seed": seed},
        data,
        progress=progress,
        more=partial(measure, density, data["test"], protocol.grid),
    )
    return done | {"density": density, "model": model, "seed": seed}


def _results(protocol: Protocol, rows: list[dict[str, Any]], command: str) -> dict[str, Any]:
    summary = [{key: row.get(key) for key in TITLES} for row in rows]
    cells = [
        (
            row["density"],
            row["model"],
            f"{row['gap']:.3f} ± {row['gap_error']:.3f}",
            f"{row['nll']:.3f}",
            f"{row['floor']:.3f}",
            f"{row['nfe']:.0f}" if row["nfe"] else None,
            f"{row['mass']:.4f}",
            row["parameters"],
            f"{row['seconds']:.0f}",
        )
        for row in rows
    ]
    table = markdown_table(list(TITLES.values()), cells)
    speed = race(rows, "density", LIKELIHOOD, MATCHING)
    if speed:
        table += "\n\n" + markdown_table(list(speed[0]), [tuple(one.values()) for one in speed])
    return {
        "command": command,
        "protocol": asdict(protocol),
        "note": NOTE.format(test=protocol.test, grid=protocol.grid),
        "versions": versions("equinox", "optax"),
        "summary": summary,
        "speed": speed,
        "runs": rows,
        "table": table,
        "table_file": "table.md",
    }
