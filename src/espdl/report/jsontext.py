"""JSON of reports: what it does not know (paths, enumerations) becomes text, infinities and NaN become null."""

from __future__ import annotations

import json
import math


def json_text(value: object) -> str:
    """``value`` as indented JSON that every reader takes."""
    return json.dumps(_finite(value), indent=2, default=str, allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
