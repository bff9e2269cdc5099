"""The networks of Chen et al. (2018), table 1, on 1,437 small digits: what little data does."""

from __future__ import annotations

from functools import partial

from .odenets import Protocol, run_full_or_quick

FULL = Protocol("digits", "digits", seeds=3, settings={"epochs": 60}, quick_epochs=20)
run = partial(run_full_or_quick, FULL)
