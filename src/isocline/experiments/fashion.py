"""The networks of Chen et al. (2018), table 1, on Fashion-MNIST: MNIST is a toy."""

from __future__ import annotations

from functools import partial

from .odenets import PLAIN, Protocol, run_full_or_quick

FULL = Protocol(
    "fashion",
    "fashion_mnist",
    models=PLAIN,
    settings={"epochs": 15, "flip": True, "distortion": 0.3},
    small="fashion_mnist_small",
)
run = partial(run_full_or_quick, FULL)
