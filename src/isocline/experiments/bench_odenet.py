"""A training step of an ODE-Net on MNIST: ours, and the public recipe on torchdiffeq, in turns.

One network (that of torchdiffeq's example) at one tolerance in both, and our own default beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray

from isocline.data import load_images
from isocline.models.ode_net import (
    WHOLE,
    Architecture,
    Network,
    ODEBlock,
    Solving,
    build_network,
    count_parameters,
    with_solving,
)
from isocline.nn.images import GroupNorm, Images, TimedConvolution

from .bench.timing import interleaved
from .bench.torch_odenet import make_step
from .results import answer_of, markdown_table, versions, write_results

BATCH, IMAGES, TOLERANCE, ENERGY = 128, 60_000, 1e-3, 0.1
WARM, REPEATS = 30, 15
NOTE = (
    "Seconds of one training step (forward, gradient, update): medians and quartiles, "
    "interleaved, after {warm} steps of training; an epoch is 469 of them. The network of "
    "torchdiffeq's example at tolerance 1e-3 in both, tsit5 here and dopri5 there. 'Default' is "
    "what ODENetClassifier does: its own stem, and one step of rk4 while it learns; 'default to "
    "1e-3' learns at that tolerance, by bosh3 (`learning=None`). 'Whole': the first step that is "
    "tried is the block's whole time, as ours is when it learns to a tolerance, and not a guess. "
    "Below ours the baselines on its stem. The last column compares with the faster of the "
    "recipe's two adjoints by dopri5, which is its method; bosh3 is beside for those who would "
    "choose it there too."
)
RECIPE = ("torchdiffeq, backpropagation", "torchdiffeq, adjoint")


class PublicField(eqx.Module):
    """Norm, ReLU, convolution, twice, and a norm: the field of torchdiffeq's example."""

    norms: tuple[GroupNorm, GroupNorm, GroupNorm]
    convolutions: tuple[TimedConvolution, TimedConvolution]

    def __init__(self, channels: int, *, key: PRNGKeyArray):
        self.norms = GroupNorm(channels), GroupNorm(channels), GroupNorm(channels)
        first, last = jax.random.split(key)
        self.convolutions = (
            TimedConvolution(channels, key=first),
            TimedConvolution(channels, key=last),
        )

    def __call__(self, t: Float[Array, ""], y: Images, args: None = None) -> Images:
        for norm, convolve in zip(self.norms, self.convolutions, strict=False):
            y = convolve(t, jax.nn.relu(norm(y)))
        return self.norms[-1](y)


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,  # noqa: ARG001 - all experiments are called alike
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Train a little with each, then time steps of all in turns."""
    warm, repeats, batch = (2, 1, 16) if quick else (WARM, REPEATS, BATCH)
    rng = np.random.default_rng(0)
    data = load_images("mnist_small")
    chosen = rng.choice(len(data.train_labels), batch, replace=False)
    images, labels = data.train_images[chosen], data.train_labels[chosen].astype(np.int32)
    calls, rows = {}, []
    for name, make in _contestants().items():
        if progress is not None:
            progress({"stage": name})
        step, evaluations, parameters = make(images, labels)
        for _ in range(warm):
            step()
        calls[name] = step
        rows.append({"name": name, "nfe": evaluations(), "parameters": parameters})
    timings = interleaved(calls, repeats)
    peers = [timings[row["name"]].median for row in rows if row["name"] in RECIPE]
    best = min(peers, default=None)
    for row in rows:
        timing = timings[row["name"]]
        row |= {"seconds": timing.median, "low": timing.low, "high": timing.high}
        row["epoch_seconds"] = timing.median * IMAGES / BATCH
        row["ratio"] = None if best is None else best / timing.median
    table = _table(rows)
    results = {
        "command": "isocline bench odenet" + " --quick" * quick,
        "note": NOTE.format(warm=warm),
        "versions": versions("jaxlib", "equinox", "torch", "torchdiffeq"),
        "summary": rows,
        "table": table,
        "table_file": "table.md",
    }
    write_results(out, results, table)
    return answer_of(results, out)


def _table(rows: list[dict[str, Any]]) -> str:
    titles = ["", "NFE forward", "parameters", "ms a step", "s an epoch", "torchdiffeq / this"]
    cells = [
        (
            row["name"],
            f"{row['nfe']:.0f}",
            row["parameters"],
            f"{1e3 * row['seconds']:.0f} ({1e3 * row['low']:.0f} to {1e3 * row['high']:.0f})",
            f"{row['epoch_seconds']:.0f}",
            None if row["ratio"] is None else f"{row['ratio']:.2f}",
        )
        for row in rows
    ]
    return markdown_table(titles, cells)


def _contestants() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {
        "isocline, the example's network": lambda *batch: _ours(batch, _public_network()),
        "isocline, the example's network, whole": lambda *batch: _ours(
            batch, _public_network(WHOLE)
        ),
        "isocline, default to 1e-3": lambda *batch: _ours(
            batch, _own_network("ode", adaptive=True)
        ),
        "isocline, default": lambda *batch: _ours(batch, _own_network("ode")),
        "the same stem, six residual blocks": lambda *batch: _ours(
            batch, _own_network("resnet", 6)
        ),
        "the same stem, one residual block": lambda *batch: _ours(batch, _own_network("resnet", 1)),
        "the same stem, no block": lambda *batch: _ours(batch, _own_network("resnet", 0)),
    }
    if find_spec("torchdiffeq") is not None:
        found |= {
            RECIPE[0]: lambda *batch: _theirs(batch),
            RECIPE[1]: lambda *batch: _theirs(batch, adjoint=True),
            "torchdiffeq, whole": lambda *batch: _theirs(batch, first_step=WHOLE),
            "torchdiffeq, bosh3": lambda *batch: _theirs(batch, method="bosh3"),
            "torchdiffeq, bosh3, whole": lambda *batch: _theirs(
                batch, method="bosh3", first_step=WHOLE
            ),
        }
    return found


def _public_network(first: float | None = None) -> Network:
    key, solving = jax.random.key(0), Solving("tsit5", TOLERANCE, TOLERANCE, dt0=first)
    network = build_network(Architecture("ode", (28, 28, 1), 10, stem="chen"), solving, key=key)
    block = ODEBlock(PublicField(64, key=key), solving)
    return eqx.tree_at(lambda one: one.block, network, block)


def _own_network(kind: str, blocks: int = 0, *, adaptive: bool = False) -> Network:
    architecture = Architecture(kind, (28, 28, 1), 10, blocks=blocks)
    solving = Solving("rk4", steps=1)
    if adaptive:
        solving = Solving("bosh3", TOLERANCE, TOLERANCE, dt0=WHOLE)
    network = build_network(architecture, solving, key=jax.random.key(0))
    return with_solving(network, solving, ENERGY)


def _ours(batch: tuple[np.ndarray, np.ndarray], network: Network) -> tuple[Any, Any, int]:
    optimizer = optax.sgd(0.1, momentum=0.9)
    arrays, static = eqx.partition(network, eqx.is_inexact_array)
    state = {"now": (arrays, optimizer.init(arrays)), "nfe": 0.0}

    @jax.jit
    def update(arrays: Any, moments: Any, images: Any, labels: Any) -> Any:
        def loss(arrays: Any) -> Any:
            outcome = eqx.combine(arrays, static)(images / jnp.float32(255))
            losses = optax.softmax_cross_entropy_with_integer_labels(outcome.logits, labels)
            return jnp.mean(losses) + outcome.penalty, outcome.nfe

        gradient, nfe = jax.grad(loss, has_aux=True)(arrays)
        changes, moments = optimizer.update(gradient, moments, arrays)
        return (optax.apply_updates(arrays, changes), moments), nfe

    def step() -> None:
        state["now"], nfe = jax.block_until_ready(update(*state["now"], *batch))
        state["nfe"] = float(nfe)

    return step, lambda: state["nfe"], count_parameters(network)


def _theirs(
    batch: tuple[np.ndarray, np.ndarray], *, adjoint: bool = False, **options: Any
) -> tuple[Any, Any, int]:
    train, parameters = make_step(adjoint=adjoint, tolerance=TOLERANCE, **options)
    evaluations = []
    return lambda: evaluations.append(train(*batch)), lambda: evaluations[-1], parameters
