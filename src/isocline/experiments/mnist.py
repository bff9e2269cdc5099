"""Chen et al. (2018), table 1, on all of MNIST; `--quick` on its first 2,000 digits."""

from __future__ import annotations

from functools import partial

from .odenets import Protocol, run_full_or_quick

FULL = Protocol(
    "mnist",
    "mnist",
    paper=True,
    rival_seeds=3,
    settings={"epochs": 15},
    small="mnist_small",
)
run = partial(run_full_or_quick, FULL)
