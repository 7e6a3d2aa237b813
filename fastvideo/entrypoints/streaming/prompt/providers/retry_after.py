"""The ``Retry-After`` header."""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """Seconds to wait from ``now_s`` (since the epoch), from a number or a date; None when there is neither."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now_s
        except (ValueError, TypeError, OverflowError, OSError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
