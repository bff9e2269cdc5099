"""Whether what was asked for goes together: the field, the method, the adjoint, the meter."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from .complex_state import Pairs, real_parts
from .field import three_arguments
from .progress import Meter
from .symplectic import check_partitioned
from .tableaus import ByDiffrax, Known, Tableau


def check_fit(method: Known, adjoint: str, meter: Meter | None, y0: Any) -> None:
    """Whether a method goes with the adjoint, the meter and the state.

    Raises:
        InputError: it does not; the message says what does.
    """
    if adjoint == "backsolve" and not isinstance(method, Tableau):
        raise InputError(
            f"adjoint='backsolve' has no way with method={method.name!r}: run backwards, a stiff "
            "equation blows up. Use adjoint='replay'."
        )
    if meter is not None and isinstance(method, ByDiffrax):
        raise InputError(
            f"progress= does not go with method={method.name!r}, which Diffrax runs: leave it out, "
            "or use a method of ours, as 'rodas5p'."
        )
    check_partitioned(method, adjoint, y0)


def field_parts(f: Any, method: Known, complex_pairs: Pairs | None = None) -> Any:
    """The field as `f(t, y, args)`, or the pair of them that an IMEX method takes.

    On real states, where those of the user are complex.
    """
    parts = _three_arguments(f, method)
    return parts if complex_pairs is None else real_parts(parts, complex_pairs)


def _three_arguments(f: Any, method: Known) -> Any:
    pairs = isinstance(method, ByDiffrax) and method.pairs
    if callable(f) and not pairs:
        return three_arguments(f)
    if pairs and isinstance(f, tuple) and len(f) == 2 and all(map(callable, f)):
        return tuple(map(three_arguments, f))
    if pairs:
        raise InputError(
            f"method={method.name!r} takes f as a pair, (explicit part, implicit part); for a "
            "field in one piece use 'kvaerno5' or 'rodas5p'."
        )
    raise InputError(
        f"f must be a function f(t, y, args); got {f!r}. A pair (explicit part, implicit part) is "
        "for method='kencarp3', 'kencarp4' and 'kencarp5'."
    )
