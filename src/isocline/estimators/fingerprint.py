"""A short name for data and settings, to tell whether a checkpoint belongs to them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from isocline.data import SeriesTable


def fingerprint(settings: dict[str, Any], kind: str, table: SeriesTable) -> str:
    """SHA-256 of the settings, the kind of model and every number of the table."""
    digest = hashlib.sha256(
        json.dumps([settings, kind, table.channels], sort_keys=True, default=str).encode()
    )
    for one in table.series:
        digest.update(one.name.encode())
        digest.update(one.times.tobytes())
        digest.update(one.values.tobytes())
    return digest.hexdigest()
