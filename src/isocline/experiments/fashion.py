"""The networks of Chen et al. (2018), table 1, on Fashion-MNIST: MNIST is a toy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .odenets import MAIN, MODELS, Protocol
from .odenets import run as run_protocol

FULL = Protocol(
    "fashion", "fashion_mnist", settings={"epochs": 15, "flip": True, "distortion": 0.3}
)
QUICK = Protocol(
    "fashion",
    "fashion_mnist_small",
    models={name: MODELS[name] for name in ("mlp", "no block", "resnet-1", MAIN)},
    settings={"epochs": 6, "flip": True, "distortion": 0.3},
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
