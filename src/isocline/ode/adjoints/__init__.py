"""Adjoints: how the gradient of a solve is formed.

Each is one function `run(rules, field, params, task) -> Outcome`.
"""

from __future__ import annotations

from .backsolve import backsolve
from .forward import forward
from .replay import replay
from .reversible import check_reversible as check_reversible
from .reversible import reversible

ADJOINTS = {
    "replay": replay,
    "reversible": reversible,
    "backsolve": backsolve,
    "forward": forward,
}
