"""Times as text: points in time on the wire, and durations in messages."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(seconds: float) -> str:
    """Gives a point in time in the format of RFC 3339, in UTC, with milliseconds.

    :param seconds: seconds since 1970.
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def length_of(seconds: float) -> str:
    """Gives a duration in seconds as text, with one decimal place unless that is 0."""
    return f"{seconds:.1f}".removesuffix(".0")
