"""Planar flows of K layers against continuous flows of M units (Chen et al. 2018, figures 4 and 5).

Figure 4 matches densities that are known up to a factor, by KL(q || p). Figure 5 learns from
samples by likelihood; there we give the distance to the entropy floor, which is KL(p || q).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from isocline.estimators.storing import leaves_of, write_model
from isocline.models.flow import Flow
from isocline.models.flow_losses import Learning, reverse_divergence
from isocline.models.planar import PlanarFlow
from isocline.models.solving import Solving
from isocline.nn import HyperField
from isocline.train import Problem, Settings, train
from isocline.train.checkpoint import write_bytes

from . import densities
from .flow_targets import TARGETS, log_constant, log_density
from .flows_figure import draw_likelihood, draw_matching, draw_particles
from .results import (
    answer_of,
    command_of,
    kept_run,
    markdown_table,
    run_name,
    versions,
    write_results,
)

KINDS = ("planar", "continuous")
STEPS_AN_EPOCH, BATCH, TESTED = 100, 256, 20_000
TITLES = ("target", "model", "KL", "training, s")
NOTE = (
    "U1 to U4: KL(q || p) from {tested:,} points of q, the constant of p from a grid; the others: "
    "KL(p || q), the distance of the NLL to the entropy floor; after the sign the standard error. "
    "Steps: {planar} of a planar flow (the paper's: 500,000) and {continuous} of a continuous one "
    "(the paper's: 10,000) at tolerance 1e-4 for U1 to U4. The paper gives its figures as "
    "pictures only. On U1 to U4 all are trained by AdamW, on the others continuous flows by Muon. "
    "Seconds: of a noisy machine, compilation included."
)


@dataclass(frozen=True)
class Protocol:
    """What is run.

    Attributes:
        targets: of KL(q || p).
        sampled: names of `isocline.data.plane_density`.
        sizes: K and M.
        planar, continuous: epochs of so many steps, on the targets.
        fit_planar, fit_continuous: settings of the estimators, on samples.
        train, test: points sampled.
        grid: points to a side, of the pictures.
    """

    targets: tuple[str, ...] = tuple(TARGETS)
    sampled: tuple[str, ...] = ("circles", "moons")
    sizes: tuple[int, ...] = (2, 8, 32)
    planar: int = 500
    continuous: int = 100
    fit_planar: dict[str, Any] = field(default_factory=lambda: densities.PLANAR_TRAINING)
    fit_continuous: dict[str, Any] = field(default_factory=lambda: densities.HYPER_TRAINING)
    train: int = 50_000
    test: int = 20_000
    grid: int = 160


QUICK = Protocol(
    ("U1",),
    ("moons",),
    (2,),
    planar=2,
    continuous=1,
    fit_planar={"epochs": 2},
    fit_continuous={"field": "hyper", "matching": 2, "likelihood": 1},
    train=2_000,
    test=500,
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
    """Train all flows on all targets; what is done is not done again."""
    protocol, seeds = protocol or (QUICK if quick else Protocol()), seeds or range(1)
    command = command_of("flows", seeds, quick)
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        for target, size, kind in product(protocol.targets, protocol.sizes, KINDS):
            rows.append(_matched(out, protocol, target, (kind, size), seed, progress))
            _write(out, protocol, rows, command)
        sampled = _sampled(protocol)
        for density, model in product(protocol.sampled, sampled.models):
            done = densities.one(out, sampled, (density, model, seed), progress)
            kept = {name: done[name] for name in ("model", "gap", "gap_error", "nll", "seconds")}
            rows.append({"target": density, "seed": seed} | kept)
            _write(out, protocol, rows, command)
    draw_matching(out, protocol, seeds[0])
    draw_likelihood(out, protocol, seeds[0])
    draw_particles(out, protocol, seeds[0])
    return answer_of(_write(out, protocol, rows, command), out)


def model_name(kind: str, size: int) -> str:
    """What a flow is called in tables."""
    return f"planar NF, K = {size}" if kind == "planar" else f"CNF, M = {size}"


def build(kind: str, size: int, seed: int) -> Flow | PlanarFlow:
    """An untrained flow, from the normal to points of the target."""
    key = jax.random.key(seed)
    if kind == "planar":
        return PlanarFlow(2, size, from_data=False, key=key)
    return Flow(HyperField(2, size, key=key), 2)


def _sampled(protocol: Protocol) -> densities.Protocol:
    """What is learnt from samples, as an experiment on densities."""
    models: dict[str, tuple[str, dict[str, Any]]] = {}
    for size in protocol.sizes:
        settings = {"layers": size} | protocol.fit_planar
        models[model_name("planar", size)] = ("planar", settings)
        settings = {"hidden_size": size} | protocol.fit_continuous
        models[model_name("continuous", size)] = ("continuous", settings)
    return densities.Protocol(
        densities=protocol.sampled,
        models=models,
        train=protocol.train,
        test=protocol.test,
        grid=protocol.grid,
    )


def _matched(
    out: Path,
    protocol: Protocol,
    target: str,
    which: tuple[str, int],
    seed: int,
    progress: Callable[[dict[str, Any]], None] | None,
) -> dict[str, Any]:
    kind, size = which
    name = run_name(target, model_name(kind, size), seed)
    epochs = getattr(protocol, kind)
    identity = json.dumps([target, kind, size, seed, epochs, BATCH])
    path = out / "runs" / f"{name}.json"
    if (done := kept_run(path, identity)) is not None:
        return done
    jax.clear_caches()
    began = time.perf_counter()
    trained = train(
        build(kind, size, seed),
        _problem(target),
        Settings(
            epochs=epochs,
            steps=STEPS_AN_EPOCH,
            learning_rate=5e-3,
            weight_decay=0.0,
            clip=10.0,
            patience=None,
            average=0.99,
            catch_up=True,
        ),
        seed=seed,
        progress=None if progress is None else lambda row: progress(row | {"run": name}),
    )
    seconds = time.perf_counter() - began
    gaps = np.asarray(_gaps(trained.model, target, jax.random.key(seed + 1)), np.float64)
    gaps += log_constant(target)
    done = {
        "identity": identity,
        "target": target,
        "model": model_name(kind, size),
        "seed": seed,
        "gap": float(gaps.mean()),
        "gap_error": float(gaps.std() / np.sqrt(len(gaps))),
        "seconds": seconds,
        "history": trained.history,
    }
    write_model(out / "models" / name, {"kind": kind}, leaves_of("network", trained.model))
    write_bytes(path, json.dumps(done).encode())
    return done


def _problem(target: str) -> Problem:
    held = jax.random.normal(jax.random.key(7), (1000, 2))

    def loss(model: Any, z: Any, key: Any, weight: Any) -> Any:  # noqa: ARG001
        return reverse_divergence(model, z, log_density(target), Learning(), key)

    return Problem(
        lambda key: jax.random.normal(key, (BATCH, 2)),
        loss,
        lambda model: loss(model, held, jax.random.key(0), 1.0)[0],
    )


def _gaps(model: Any, target: str, key: Any) -> Any:
    """log q - log p, p without its constant, at points of q."""
    z = jax.random.normal(key, (TESTED, 2))
    context = jnp.zeros((TESTED, 0))
    if isinstance(model, Flow):
        solved = partial(Flow.push, solving=Solving("tsit5", 1e-5, 1e-5))
        found, moved = eqx.filter_jit(solved)(model, z, context)
        points = moved.points
    else:
        found, points = eqx.filter_jit(type(model).push)(model, z, context)
    return found - log_density(target)(points)


def _write(
    out: Path, protocol: Protocol, rows: list[dict[str, Any]], command: str
) -> dict[str, Any]:
    summary = [
        {name: row.get(name) for name in ("target", "model", "gap", "gap_error", "nll", "seconds")}
        for row in rows
    ]
    cells = [
        (
            row["target"],
            row["model"],
            f"{row['gap']:.3f} ± {row['gap_error']:.3f}",
            f"{row['seconds']:.0f}",
        )
        for row in rows
    ]
    results = {
        "command": command,
        "protocol": asdict(protocol),
        "note": NOTE.format(
            tested=TESTED,
            planar=protocol.planar * STEPS_AN_EPOCH,
            continuous=protocol.continuous * STEPS_AN_EPOCH,
        ),
        "versions": versions("equinox", "optax"),
        "summary": summary,
        "runs": rows,
        "table": markdown_table(TITLES, cells),
        "table_file": "table.md",
    }
    write_results(out, results, results["table"])
    return results
