"""What depth costs an image network: memory of a gradient, and evaluations forward and backward.

Chen et al. (2018), table 1 (memory O(L) against O(1)) and figure 3c (backward evaluations against
forward ones), measured on the block of our ODE-Net.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from isocline.nn.images import ConvolutionalField, ResidualBlock
from isocline.ode import solve
from isocline.ode.tools.counting import Counter

from .results import answer_of, markdown_table, save_figure, silent, versions, write_results

SPAN = np.array([0.0, 1.0], np.float32)
ADJOINTS = ("replay", "reversible", "backsolve")
COLOURS = {
    "resnet": "#999999",
    "replay, all states": "#D55E00",
    "replay": "#E69F00",
    "reversible": "#0072B2",
    "backsolve": "#009E73",
}
NOTE = (
    "Memory: XLA's scratch memory of the compiled gradient of one block of {channels} channels at "
    "6 x 6, batch {batch}, in its input and its parameters; a ResNet has as many blocks as the "
    "solve has steps (Euler's, one evaluation each). 'replay, all states' is asked to keep them "
    "all, 'replay' may keep 4 MB, the default, and computes the others again. Evaluations: "
    "tolerance 1e-1 to 1e-6 with tsit5, a field with random weights; backward counts the times "
    "that a cotangent is pulled through the field, counted on the host."
)


@dataclass(frozen=True)
class Protocol:
    """What is measured: the defaults are the experiment, smaller values a test of it."""

    channels: int = 64
    batch: int = 128
    depths: tuple[int, ...] = (1, 3, 10, 30, 100, 300, 1000)
    deepest_resnet: int = 30
    tolerances: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


QUICK = Protocol(channels=4, batch=8, depths=(1, 100), deepest_resnet=1)


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,  # noqa: ARG001 - all experiments are called alike
    progress: Callable[[dict[str, Any]], None] | None = None,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Compile gradients of growing depth, and count evaluations at falling tolerance."""
    protocol = protocol or (QUICK if quick else Protocol())
    say = progress or silent
    memory, counts = _memory(protocol, say), _evaluations(protocol, say)
    summary = [
        {"depth": depth}
        | {row["block"]: row["megabytes"] for row in memory if row["depth"] == depth}
        for depth in protocol.depths
    ]
    table = _table(summary, counts)
    results = {
        "command": "isocline reproduce depth" + " --quick" * quick,
        "note": NOTE.format(channels=protocol.channels, batch=protocol.batch),
        "versions": versions("equinox"),
        "summary": summary,
        "memory": memory,
        "evaluations": counts,
        "table": table,
        "table_file": "table.md",
    }
    write_results(out, results, table)
    _draw(out, memory, counts)
    return answer_of(results, out)


def _table(summary: list[dict[str, Any]], counts: list[dict[str, Any]]) -> str:
    titles = ["depth", *COLOURS]
    memory = markdown_table(
        [titles[0], *(f"{name}, MB" for name in titles[1:])],
        [[_cell(row.get(title)) for title in titles] for row in summary],
    )
    evaluations = markdown_table(
        ["adjoint", "tolerance", "NFE forward", "NFE backward"],
        [
            (row["adjoint"], f"{row['tolerance']:.0e}", row["forward"], row["backward"])
            for row in counts
        ],
    )
    return f"{memory}\n\n{evaluations}"


def _cell(value: Any) -> Any:
    return f"{value:.1f}" if isinstance(value, float) else value


def _block(protocol: Protocol) -> tuple[ConvolutionalField, Any]:
    """A field that does something, and where it starts."""
    keys = jax.random.split(jax.random.key(0), 3)
    field = ConvolutionalField(protocol.channels, key=keys[0])
    spread = jnp.sqrt(2 / (9 * protocol.channels))
    kernel = spread * jax.random.normal(keys[1], field.convolutions[1].images.kernel.shape)
    field = eqx.tree_at(lambda one: one.convolutions[1].images.kernel, field, kernel)
    return field, jax.random.normal(keys[2], (protocol.batch, 6, 6, protocol.channels))


def _memory(protocol: Protocol, say: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
    field, y0 = _block(protocol)
    rows = []
    for depth in protocol.depths:
        for name in COLOURS:
            if name == "resnet" and depth > protocol.deepest_resnet:
                continue
            say({"stage": f"depth {depth}, {name}"})
            loss, model = _deep(name, depth, field)
            compiled = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(model, y0).compile()
            analysis = compiled.memory_analysis()
            scratch = analysis.temp_size_in_bytes if analysis else 0
            rows.append({"block": name, "depth": depth, "megabytes": scratch / 1e6})
    return rows


def _deep(name: str, depth: int, field: ConvolutionalField) -> tuple[Callable[..., Any], Any]:
    """A loss of a deep block, and its trained numbers."""
    if name == "resnet":
        channels = field.norms[0].scale.size
        keys = jax.random.split(jax.random.key(1), depth)
        blocks, static = eqx.partition(
            [ResidualBlock(channels, key=key) for key in keys], eqx.is_array
        )

        def through(blocks: Any, y: Any) -> Any:
            for block in eqx.combine(blocks, static):
                y = block(y)
            return jnp.sum(y**2)

        return through, blocks
    arrays, rest = eqx.partition(field, eqx.is_array)
    adjoint, _, everything = name.partition(", ")
    record_bytes = 2**40 if everything else 2**22  # the default

    def solved(arrays: Any, y: Any) -> Any:
        solution = solve(
            eqx.combine(arrays, rest),
            y,
            SPAN,
            method="euler",
            steps=depth,
            adjoint=adjoint,  # pyright: ignore[reportArgumentType]
            max_steps=max(depth, 2),
            on_failure="return",
            record_bytes=record_bytes,
        )
        return jnp.sum(solution.ys[-1] ** 2)

    return solved, arrays


def _evaluations(protocol: Protocol, say: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
    field, y0 = _block(protocol)
    rows = []
    for adjoint in ADJOINTS:
        counter = Counter()
        counted = counter.counted(field)

        def loss(y0: Any, tolerance: Any, f: Any = counted, adjoint: Any = adjoint) -> Any:
            tolerances = {"rtol": tolerance, "atol": tolerance}
            found = solve(f, y0, SPAN, adjoint=adjoint, on_failure="return", **tolerances)
            return jnp.sum(found.ys[-1] ** 2), found.stats.nfe

        gradient = jax.jit(jax.grad(loss, has_aux=True))
        for tolerance in protocol.tolerances:
            say({"stage": f"tolerance {tolerance:.0e}, {adjoint}"})
            counter.pullbacks = 0
            _, nfe = jax.block_until_ready(gradient(y0, tolerance))
            jax.effects_barrier()
            row = {"adjoint": adjoint, "tolerance": tolerance, "forward": int(nfe)}
            rows.append(row | {"backward": counter.pullbacks})
    return rows


def _draw(out: Path, memory: list[dict[str, Any]], counts: list[dict[str, Any]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, colour in COLOURS.items():
        _line(left.loglog, memory, ("block", name), ("depth", "megabytes"), colour)
    left.set(xlabel="depth (blocks, or steps)", ylabel="memory of a gradient, MB")
    for adjoint in ADJOINTS:
        _line(right.plot, counts, ("adjoint", adjoint), ("forward", "backward"), COLOURS[adjoint])
    most = max(row["forward"] for row in counts)
    right.plot([0, most], [0, most], "--", color="#999999", label="as many as forward")
    right.set(xlabel="NFE forward", ylabel="NFE backward", ylim=(0, None))
    for axis in (left, right):
        axis.legend(frameon=False, fontsize=8)
    save_figure(figure, out, "depth")


def _line(
    plot: Callable[..., Any],
    rows: list[dict[str, Any]],
    which: tuple[str, str],
    columns: tuple[str, str],
    colour: str,
) -> None:
    """Draw two columns of the rows that have a value in another."""
    column, value = which
    points = [[row[name] for row in rows if row[column] == value] for name in columns]
    plot(*points, "o-", color=colour, label=value)
