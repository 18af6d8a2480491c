"""The time for which an answer holds, and how to ask whether it still does (RFC 9111, RFC 9110).

Rule: it is never wrong to ask too often. Whatever is unclear counts as 'ask again'.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    class Fields(Protocol):
        """The fields of an answer; Twisted's ``Headers``."""

        def getRawHeaders(self, name: bytes, /) -> Sequence[bytes] | None:
            """Gives the lines of a field."""


MAX_FRESH_S = 60.0
"""The longest time in seconds for which an answer is taken for granted, whatever the origin says."""

SETTLED_S = 2
"""A version whose ``Last-Modified`` is so old when it is sent will not be followed by another with the same one."""

_MAX_DELTA = 2**31  # what larger numbers stand for (RFC 9111, 1.2.2)
_DIRECTIVE = re.compile(rb"""([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s,;"]*)))?\s*(?:,|\Z)""")


@dataclass(frozen=True, slots=True)
class Validators:
    """The fields by which a version is asked for.

    :ivar etag: as it came; ``None`` if there is none.
    :ivar modified: the value of ``Last-Modified``, where there is no tag.
    """

    etag: bytes | None = None
    modified: bytes | None = None

    @classmethod
    def of(cls, fields: Fields) -> Validators:
        """Gives what tells this version from others; nothing if what there is cannot be relied upon.

        A time has the grain of a second, and so have the tags that a web server makes of a file's time and size: while
        the second lasts, another version can get the same (RFC 9110, 8.8.2.2). So what has just been modified is read
        once more, and asked for with a condition when it has settled.
        """
        etag, modified, date = (_only(fields, name) for name in (b"ETag", b"Last-Modified", b"Date"))
        age_s = _seconds_between(modified, date)
        if modified is not None and age_s is not None and age_s < SETTLED_S:
            return cls()
        if etag is not None and re.fullmatch(rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"', etag):
            return cls(etag=etag)
        return cls(modified=modified) if age_s is not None else cls()

    def conditions(self) -> list[tuple[bytes, bytes]]:
        """Gives the fields that a request has for it."""
        if self.etag is not None:
            return [(b"If-None-Match", self.etag)]
        return [] if self.modified is None else [(b"If-Modified-Since", self.modified)]


def fresh_s(fields: Fields) -> float:
    """Gives how long an answer holds without being asked for again: seconds from 0 to :data:`MAX_FRESH_S`.

    ``s-maxage`` counts more than ``max-age``, since livefeed serves many; ``Age`` is what caches on the way have used
    up. ``no-store``, ``no-cache`` and ``private``, and whatever is malformed or said twice, make it 0.
    """
    said = _directives(b",".join(fields.getRawHeaders(b"Cache-Control") or ()))
    if said is None or said.keys() & {b"no-store", b"no-cache", b"private"}:
        return 0.0
    lifetime = said.get(b"s-maxage", said.get(b"max-age"))
    age = _only(fields, b"Age") or b"0"
    if lifetime is None or not re.fullmatch(rb"[0-9]{1,20}", lifetime) or not re.fullmatch(rb"[0-9]{1,20}", age):
        return 0.0
    return float(min(max(min(int(lifetime), _MAX_DELTA) - int(age), 0), MAX_FRESH_S))


def _directives(value: bytes) -> dict[bytes, bytes] | None:
    """Takes Cache-Control apart; ``None`` if it is malformed or contradicts itself."""
    found: dict[bytes, bytes] = {}
    rest = value.strip(b" \t,")
    while rest:
        match = _DIRECTIVE.match(rest)
        if match is None:
            return None
        name, said = match[1].lower(), (match[2] if match[3] is None else match[3]) or b""
        if found.setdefault(name, said) != said:
            return None
        rest = rest[match.end() :].lstrip(b" \t,")
    return found


def _only(fields: Fields, name: bytes) -> bytes | None:
    """Gives the value of a field that is there once."""
    lines = fields.getRawHeaders(name) or ()
    return lines[0].strip() if len(lines) == 1 else None


def _seconds_between(earlier: bytes | None, later: bytes | None) -> float | None:
    try:
        times = [parsedate_to_datetime((text or b"").decode("ascii")) for text in (earlier, later)]
        return (times[1] - times[0]).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
