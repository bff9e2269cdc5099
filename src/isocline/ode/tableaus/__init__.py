"""The methods, one row each. To add one, write its `Tableau` and name it here."""

from __future__ import annotations

from ...errors import InputError
from ._low_order import bosh3, euler, heun, midpoint, ralston, rk4, ssprk3, three_eighths
from ._low_storage import ck54, rdpk3sp35
from ._order_eight import dopri8
from ._order_five import cash_karp, dopri5, fehlberg, tsit5
from ._order_seven import vern7
from ._partitioned import Partitioned as Partitioned
from ._partitioned import blanes_moan4, blanes_moan6, leapfrog, yoshida4
from ._reversible import Reversible as Reversible
from ._reversible import reversible as reversible
from ._tableau import Tableau as Tableau

METHODS: dict[str, Tableau] = {
    method.name: method
    for method in (
        *(euler, midpoint, heun, ralston, bosh3, ssprk3, rdpk3sp35, rk4, three_eighths, ck54),
        *(fehlberg, cash_karp, dopri5, tsit5, vern7, dopri8),
        *(leapfrog, yoshida4, blanes_moan4, blanes_moan6),
    )
}


def find(method: str | Tableau) -> Tableau:
    """The tableau of a name, or the tableau itself; InputError lists the names there are."""
    if isinstance(method, Tableau):
        return method
    if not isinstance(method, str) or method not in METHODS:
        raise InputError(f"method={method!r} is not known; choose one of: {', '.join(METHODS)}.")
    return METHODS[method]
