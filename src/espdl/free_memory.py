"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache


def give_back_memory() -> None:
    """Lets the C library return what was freed, and does nothing where it has no function for that.

    glibc keeps freed memory below what is still in use. Between phases that need large blocks for a short time, this is what the
    process would seem to need at its peak.
    """
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, or a system without one to look into
        return None
    return found
