"""Freshness and validation of an origin's answers (RFC 9111, RFC 9110).

Rule: asking too often is never wrong. Everything unclear counts as 'ask again'.
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
"""Longest freshness lifetime in seconds, even if the origin gives a longer one."""

SETTLED_S = 2
"""Age of ``Last-Modified`` in seconds from which no other version with the same time can follow."""

_MAX_DELTA = 2**31  # the value of all larger numbers (RFC 9111, 1.2.2)
_DIRECTIVE = re.compile(rb"""([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s,;"]*)))?\s*(?:,|\Z)""")


@dataclass(frozen=True, slots=True)
class Validators:
    """The validators of a version, of which conditional requests are made.

    :ivar etag: the value of ``ETag``; ``None`` if there is none.
    :ivar modified: the value of ``Last-Modified``, if there is no tag.
    """

    etag: bytes | None = None
    modified: bytes | None = None

    @classmethod
    def of(cls, fields: Fields) -> Validators:
        """Gives the validators of an answer; none if they are not reliable.

        Times have a resolution of one second, and so have the tags that web servers make of a file's time and size:
        within the second, another version can get the same validator (RFC 9110, 8.8.2.2). So a version that has just
        been modified has no validators, and is read once more.
        """
        etag, modified, date = (_only(fields, name) for name in (b"ETag", b"Last-Modified", b"Date"))
        age_s = _seconds_between(modified, date)
        if modified is not None and age_s is not None and age_s < SETTLED_S:
            return cls()
        if etag is not None and re.fullmatch(rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"', etag):
            return cls(etag=etag)
        return cls(modified=modified) if age_s is not None else cls()

    def conditions(self) -> list[tuple[bytes, bytes]]:
        """Gives the fields of a conditional request for this version."""
        if self.etag is not None:
            return [(b"If-None-Match", self.etag)]
        return [] if self.modified is None else [(b"If-Modified-Since", self.modified)]


def fresh_s(fields: Fields) -> float:
    """Gives the freshness lifetime of an answer, in seconds from 0 to :data:`MAX_FRESH_S`.

    ``s-maxage`` overrides ``max-age``, since livefeed is a shared cache. ``Age``, the time in caches on the way, is
    subtracted. ``no-store``, ``no-cache``, ``private``, and malformed or contradictory values make it 0.
    """
    directives = _directives(b",".join(fields.getRawHeaders(b"Cache-Control") or ()))
    if directives is None or directives.keys() & {b"no-store", b"no-cache", b"private"}:
        return 0.0
    lifetime = directives.get(b"s-maxage", directives.get(b"max-age"))
    age = _only(fields, b"Age") or b"0"
    if lifetime is None or not re.fullmatch(rb"[0-9]{1,20}", lifetime) or not re.fullmatch(rb"[0-9]{1,20}", age):
        return 0.0
    return float(min(max(min(int(lifetime), _MAX_DELTA) - int(age), 0), MAX_FRESH_S))


def _directives(text: bytes) -> dict[bytes, bytes] | None:
    """Parses Cache-Control; ``None`` if it is malformed or contradicts itself."""
    found: dict[bytes, bytes] = {}
    rest = text.strip(b" \t,")
    while rest:
        match = _DIRECTIVE.match(rest)
        if match is None:
            return None
        name, value = match[1].lower(), (match[2] if match[3] is None else match[3]) or b""
        if found.setdefault(name, value) != value:
            return None
        rest = rest[match.end() :].lstrip(b" \t,")
    return found


def _only(fields: Fields, name: bytes) -> bytes | None:
    """Gives the value of a field if it has exactly one line."""
    lines = fields.getRawHeaders(name) or ()
    return lines[0].strip() if len(lines) == 1 else None


def _seconds_between(earlier: bytes | None, later: bytes | None) -> float | None:
    try:
        times = [parsedate_to_datetime((text or b"").decode("ascii")) for text in (earlier, later)]
        return (times[1] - times[0]).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
