"""Adjoints: how the gradient of a solve is formed.

Each is one function `run(rules, field, params, task) -> Outcome`.
"""

from __future__ import annotations

from .backsolve import backsolve
from .forward import forward
from .replay import replay

ADJOINTS = {"replay": replay, "backsolve": backsolve, "forward": forward}
