"""Times as text: points in time on the wire, and durations in messages."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_RFC3339 = re.compile(
    r"(?:19[7-9]|[2-8]\d\d)\d-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?(?:[Zz]|[+-]\d{2}:\d{2})", re.ASCII
)


def timestamp(seconds: float) -> str:
    """Gives a point in time in the format of RFC 3339, in UTC, with milliseconds.

    :param seconds: seconds since 1970.
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def length_of(seconds: float) -> str:
    """Gives a duration in seconds as text, with one decimal place unless that is 0."""
    return f"{seconds:.1f}".removesuffix(".0")


def parse_timestamp(text: str) -> float:
    """Reads a point in time in the format of RFC 3339, and gives its seconds since 1970.

    :raises ValueError: if it is none, such as without an offset from UTC, or not in the years 1970 to 8999.
    """
    if not _RFC3339.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text.upper()).timestamp()
