"""What an experiment leaves: results.json, table.md, and figures as PNG and SVG."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from isocline._version import __version__
from isocline.train.checkpoint import write_bytes


def versions(*packages: str) -> dict[str, str]:
    """Versions of Python, Isocline and the packages that are installed."""
    found = {"python": platform.python_version(), "isocline": __version__}
    for package in ("jax", *packages):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def machine() -> str:
    """What this runs on: the processor, as far as the system names it, and how many cores."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = next(iter(named), platform.processor() or platform.machine())
    return f"{processor}, {os.cpu_count()} cores"


def command_of(name: str, seeds: Sequence[int] | None, quick: bool) -> str:
    """The command that runs an experiment with these seeds, one after the other, or its own."""
    repeated = f" --seeds {len(seeds)}" if seeds else ""
    first = f" --seed {seeds[0]}" if seeds and seeds[0] else ""
    return f"isocline reproduce {name}" + repeated + first + " --quick" * quick


def run_name(*words: Any) -> str:
    """The name of a run, and of its files: "a b, K = 2" and 0 make a-b-k2-0."""
    joined = "-".join(map(str, words))
    return joined.replace(" = ", "").replace(",", "").replace(" ", "-").lower()


def silent(row: dict[str, Any]) -> None:
    """Where nobody asks for progress."""


def write_results(folder: Path, results: dict[str, Any], table: str) -> None:
    """Write the numbers, with the machine's name, and the table, each whole or not at all."""
    named = {"machine": machine()} | results
    write_bytes(folder / "results.json", (json.dumps(named, indent=1) + "\n").encode())
    write_bytes(folder / "table.md", (table.rstrip() + "\n").encode())


def kept_run(path: Path, identity: str) -> dict[str, Any] | None:
    """A run that is on disk already, if it is the very one that is asked for."""
    if not path.is_file():
        return None
    done = json.loads(path.read_text())
    return done if done["identity"] == identity else None


def answer_of(results: dict[str, Any], out: Path) -> dict[str, Any]:
    """What the command line shows of the results of an experiment, and where the others are."""
    shown = ("summary", "note", "table_file")
    return {name: results[name] for name in shown} | {"out": str(out)}


def markdown_table(titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table in Markdown; numbers have four decimals."""

    def cell(value: Any) -> str:
        return f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)

    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return "\n".join(lines + ["| " + " | ".join(map(cell, row)) + " |" for row in rows])


def save_figure(figure: Any, folder: Path, name: str) -> None:
    """Write a matplotlib figure as PNG and SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png", dpi=150)
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def frame_square(axis: Any, points: Any, margin: float = 0.1) -> None:
    """Show a square around points `(..., 2)` at equal scales, wherever other lines run off to."""
    x, y = points.reshape(-1, 2).T
    reach = (0.5 + margin) * max(x.max() - x.min(), y.max() - y.min())
    for place, limit in ((x, axis.set_xlim), (y, axis.set_ylim)):
        centre = (place.max() + place.min()) / 2
        limit(centre - reach, centre + reach)
    axis.set_aspect("equal")
