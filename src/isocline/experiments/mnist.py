"""Chen et al. (2018), table 1, on all of MNIST; `--quick` on its first 2,000 digits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .odenets import MAIN, MODELS, Protocol
from .odenets import run as run_protocol

FULL = Protocol("mnist", "mnist", paper=True, settings={"epochs": 15})
QUICK = Protocol(
    "mnist",
    "mnist_small",
    models={name: MODELS[name] for name in ("mlp", "no block", "resnet-1", MAIN)},
    settings={"epochs": 6},
)


def run(
    out: Path,
    *,
    quick: bool = False,
    seeds: Sequence[int] | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Train and test every model with every seed."""
    protocol = QUICK if quick else FULL
    return run_protocol(protocol, out, quick=quick, seeds=seeds, progress=progress)
