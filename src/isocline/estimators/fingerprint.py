"""A short name for data and settings, to tell whether a checkpoint belongs to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from isocline.data import Series, SeriesTable


def digest_of(description: Any, parts: Iterable[bytes]) -> str:
    """SHA-256 of what JSON can say of something, and of its bytes."""
    digest = hashlib.sha256(json.dumps(description, sort_keys=True, default=_plain).encode())
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """A number of NumPy as a plain one, all else as text."""
    return value.item() if isinstance(value, np.generic) else str(value)


def fingerprint(settings: dict[str, Any], kind: str, table: SeriesTable) -> str:
    """SHA-256 of the settings, the kind of model and every number of the table."""
    parts = (
        part
        for one in table.series
        for part in (one.name.encode(), one.times.tobytes(), one.values.tobytes(), *_beside(one))
    )
    # Without covariates it is the name that it was before there were any.
    covariates = [list(table.columns.covariates)] if table.columns.covariates else []
    return digest_of([settings, kind, table.channels, *covariates], parts)


def _beside(series: Series) -> list[bytes]:
    beside = series.covariates
    if beside is None:
        return []
    arrays = (beside.past, beside.times, beside.known)
    return [*(array.tobytes() for array in arrays), repr(beside.static).encode()]
