"""A short name for data and settings, to tell whether a checkpoint belongs to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from isocline.data import SeriesTable


def digest_of(description: Any, parts: Iterable[bytes]) -> str:
    """SHA-256 of what JSON can say of something, and of its bytes."""
    digest = hashlib.sha256(json.dumps(description, sort_keys=True, default=str).encode())
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def fingerprint(settings: dict[str, Any], kind: str, table: SeriesTable) -> str:
    """SHA-256 of the settings, the kind of model and every number of the table."""
    parts = (
        part
        for one in table.series
        for part in (one.name.encode(), one.times.tobytes(), one.values.tobytes())
    )
    return digest_of([settings, kind, table.channels], parts)
