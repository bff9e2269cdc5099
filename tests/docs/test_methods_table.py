"""The table of methods in the docs says what the methods are."""

from __future__ import annotations

import re
from pathlib import Path

from isocline.ode import METHODS, Tableau
from isocline.ode.tableaus import Partitioned

PAGE = Path(__file__).parents[2] / "docs" / "engine.md"


def test_table_of_methods_is_true():
    """Name, order, calls a step, and whether steps adapt, of every explicit and symplectic one."""
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (\d+) \| (fixed|adaptive) \|", text, re.MULTILINE)
    kinds = (Tableau, Partitioned)
    assert rows == [
        (m.name, str(m.order), str(m.evaluations), "adaptive" if m.adaptive else "fixed")
        for m in METHODS.values()
        if type(m) in kinds
    ]
