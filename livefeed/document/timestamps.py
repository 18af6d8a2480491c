"""Points in time as they are written on the wire, and lengths of time as messages have them. This file is pure."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(seconds: float) -> str:
    """Gives a point in time as RFC 3339 has it, in UTC, with milliseconds.

    :param seconds: since 1970.
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def length_of(seconds: float) -> str:
    """Gives a length of time for a message: in seconds, with a decimal where it is not a whole number of them."""
    return f"{seconds:.1f}".removesuffix(".0")
