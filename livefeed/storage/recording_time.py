"""Times in a recording, as people write them: by the clock of the night, or from the beginning."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from livefeed.exceptions import RecordingError

if TYPE_CHECKING:
    from datetime import tzinfo

MAX_LENGTH = 64
"""Characters of the longest time that is read."""

HOW = "write a time as 21:00, 21:00:30, 2026-09-20T21:00:00Z, 90m or 1h30m (from the beginning), start or end"
"""The end of messages about other texts."""

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", re.ASCII)
_SPAN = re.compile(r"\+?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,8}(?:\.\d{1,3})?)s)?", re.ASCII)
_DAY = timedelta(days=1)


def seconds_into(text: str, began_at: float, length_s: float, zone: tzinfo | None = None) -> float:
    """Gives a time in seconds from the beginning of a recording.

    :param text: a time of day, which is the first one after the beginning; a date and time (RFC 3339); a time from the
        beginning; ``start`` or ``end``.
    :param began_at: the beginning, in seconds since 1970.
    :param length_s: seconds from the beginning to the end. Later times count as the end, and earlier ones as the
        beginning.
    :param zone: the time zone of a time of day; ``None`` for that of this machine.
    :raises RecordingError: if the text is no time.
    """
    if len(text) > MAX_LENGTH:
        raise RecordingError(f"{text[:MAX_LENGTH]!r}... is no time; {HOW}")
    if text in ("start", "end"):
        return 0.0 if text == "start" else length_s
    found_s, clock = _span_s(text), _CLOCK.fullmatch(text)
    if found_s is not None:
        pass
    elif clock is not None:
        found_s = _clock_s(clock, began_at, zone)
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise RecordingError(f"{text!r} is no time; {HOW}") from None
        # A date without an offset is in the zone of the machine, as a time of day is.
        found_s = (at if at.tzinfo is not None else at.replace(tzinfo=zone)).timestamp() - began_at
    return min(max(found_s, 0.0), length_s)


def span_of(text: str) -> float:
    """Gives a duration such as ``1h30m``, ``90m`` or ``45s`` in seconds.

    :raises RecordingError: if the text is none.
    """
    found_s = _span_s(text)
    if found_s is None:
        raise RecordingError(f"{text[:MAX_LENGTH]!r} is no duration; write it as 1h, 90m, 1h30m or 45s")
    return found_s


def clock_of(at: float, zone: tzinfo | None = None) -> str:
    """Gives a time as an operator reads it, with date and offset.

    :param at: seconds since 1970.
    :param zone: the time zone; ``None`` for that of this machine.
    """
    return datetime.fromtimestamp(at, UTC).astimezone(zone).isoformat(sep=" ", timespec="seconds")


def _span_s(text: str) -> float | None:
    span = _SPAN.fullmatch(text)
    if span is None or not any(span.groups()):
        return None
    hours, minutes, seconds = (float(each or 0) for each in span.groups())
    return 3600 * hours + 60 * minutes + seconds


def _clock_s(clock: re.Match[str], began_at: float, zone: tzinfo | None) -> float:
    """Gives the seconds from a point in time to the next time of day."""
    hour, minute, second = (int(each or 0) for each in clock.groups())
    began = datetime.fromtimestamp(began_at, UTC).astimezone(zone)
    if (hour, minute, second) == (began.hour, began.minute, began.second):
        return 0.0
    # Without the zone: its offset may be another one on the next day, or some hours later.
    at = began.replace(hour=hour, minute=minute, second=second, microsecond=0, tzinfo=None)
    for _ in range(2):
        found_s = at.replace(tzinfo=zone).timestamp() - began_at
        if found_s >= 0:
            break
        at += _DAY
    return found_s
