"""Durations and points in time on the command line, and the words in which they are repeated to the operator.

Rules: a time without an offset is in the local time zone, which is always said aloud. A time that has passed, that does
not exist, or that two moments share is refused: a guess would publish an hour early.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from livefeed.cli.tables import duration, printable
from livefeed.exceptions import CommandError

MAX_DURATION_S = 7 * 86_400.0
"""Seconds of the longest duration, a week: a longer one is a change of the configuration."""

MAX_AHEAD_S = 366 * 86_400.0
"""Seconds until the latest time, a year: a later one is a wrong year."""

_UNITS_S = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:(\d{1,7})d)?(?:(\d{1,7})h)?(?:(\d{1,7})m)?(?:(\d{1,7})s)?", re.ASCII)
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", re.ASCII)
_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?) ?([Zz]|[+-]\d{2}:\d{2})?", re.ASCII)
_FORMS = "a time is 21:30, +10m (from now on), or 2026-11-30T21:30:00+01:00 (RFC 3339)"


@dataclass(frozen=True, slots=True)
class ChosenTime:
    """A point in time of the command line.

    :ivar at: the point in time, in the local time zone.
    :ivar note: a sentence about it that the operator must not miss; empty if there is none.
    """

    at: datetime
    note: str = ""

    @property
    def rfc3339(self) -> str:
        """The point in time in UTC, as it is sent."""
        return self.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_duration(text: str) -> float:
    """Reads a duration such as ``90s``, ``10m`` or ``1h30m``, and gives its seconds.

    :raises CommandError: if it is none, is zero, or exceeds :data:`MAX_DURATION_S`.
    """
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        raise CommandError(f"{printable(text)!r} is no duration: write 90s, 10m, 2h or 1h30m")
    seconds = float(sum(int(each or 0) * unit for each, unit in zip(found.groups(), _UNITS_S.values(), strict=True)))
    if not 0 < seconds <= MAX_DURATION_S:
        raise CommandError(f"{text}: a duration has at least a second, and {duration(MAX_DURATION_S)} at most")
    return seconds


def parse_time(text: str, now: datetime) -> ChosenTime:
    """Reads a point in time: a time of day, a duration from now on, or a date with a time (RFC 3339).

    :param now: the present time, in the local time zone.
    :raises CommandError: if it is none of these, has passed, is a year ahead, or is not clear in the local time zone.
    """
    if text.startswith("+"):
        return _within_limits(text, ChosenTime(now + timedelta(seconds=parse_duration(text[1:]))), now)
    if (found := _CLOCK.fullmatch(text)) is not None:
        hours, minutes, seconds = (int(each or 0) for each in found.groups())
        today = datetime.combine(now.date(), time(hours, minutes, seconds))
        chosen = ChosenTime(_local(text, today))
        if chosen.at <= now:
            at = _local(text, today + timedelta(days=1))
            chosen = ChosenTime(at, f"Note: {text} is over today, so this is TOMORROW, {at:%A %Y-%m-%d}.")
        return _within_limits(text, chosen, now)
    if (found := _DATE.fullmatch(text)) is not None:
        date, clock, offset = found.groups()
        try:
            at = datetime.fromisoformat(f"{date}T{clock}{(offset or '').upper()}")
            at = at.astimezone() if offset else _local(text, at)
        except (ValueError, OverflowError):
            raise CommandError(f"{text}: there is no such time; {_FORMS}") from None
        return _within_limits(text, ChosenTime(at), now)
    raise CommandError(f"{printable(text)!r} is no time: {_FORMS}")


def _within_limits(text: str, chosen: ChosenTime, now: datetime) -> ChosenTime:
    ahead_s = (chosen.at - now).total_seconds()
    if ahead_s <= 0:
        raise CommandError(f"{text} was {duration(-ahead_s)} ago: it is {moment(now)} now")
    if ahead_s > MAX_AHEAD_S:
        raise CommandError(f"{text} is more than a year ahead; is the year right?")
    return chosen


def _local(text: str, at: datetime) -> datetime:
    """Gives a time without an offset in the local time zone.

    :raises CommandError: if clocks are set forwards over it, or backwards so that it comes twice.
    """
    first, second = at.astimezone(), at.replace(fold=1).astimezone()
    if first.utcoffset() != second.utcoffset():
        if first.replace(tzinfo=None) != at:
            raise CommandError(f"{text}: there is no such time on {at:%Y-%m-%d}, as clocks are set forwards over it")
        both = f"{first.isoformat(timespec='seconds')} or {second.isoformat(timespec='seconds')}"
        raise CommandError(f"{text} comes twice on {at:%Y-%m-%d}, as clocks are set back; write {both}")
    return first


def moment(at: datetime) -> str:
    """Gives a point in time with its date, in the local time zone, with the name of the zone and its offset."""
    local = at.astimezone()
    offset = f"{local:%z}"
    zone = "UTC" if f"{local:%Z}" == "UTC" else f"{local:%Z} (UTC{offset[:3]}:{offset[3:5]})"
    return f"{local:%Y-%m-%d %H:%M:%S} {zone}"


def clock(text: object, now: datetime) -> str:
    """Gives a point in time of a report, in the local time zone, with its date unless that is today.

    :param text: the point in time in the format of RFC 3339. Any other text is given as it is.
    :param now: the present time.
    """
    try:
        at = datetime.fromisoformat(str(text)).astimezone()
    except (ValueError, OverflowError):
        return printable(str(text))
    date = "" if at.date() == now.astimezone().date() else f"{at:%Y-%m-%d} "
    return f"{date}{at:%H:%M:%S} {at:%Z}"


def here() -> datetime:
    """Gives the present time, in the local time zone."""
    return datetime.now(UTC).astimezone()
