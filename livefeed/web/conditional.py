"""Conditional requests (RFC 9110, section 13). This file is pure."""

from __future__ import annotations

import re

# entity-tag (RFC 9110, 8.8.3), then a comma or the end; empty list members are allowed (5.6.1.2).
_ENTITY_TAG = re.compile(rb'[ \t,]*(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|\Z)')


def none_match(if_none_match: bytes | None, etag: bytes) -> bool:
    """Tells whether a request's precondition holds, so that it is answered in full (RFC 9110, 13.1.2).

    Tags are compared weakly, so that one that a proxy has weakened still matches.

    :param if_none_match: the field's value, its lines joined with commas; ``None`` if it was not sent.
    :param etag: the entity tag of the selected representation, with its quotes.
    :returns: ``False`` if the client has this representation: 304. A field that is not a list of tags counts up to
        where it stops being one.
    """
    if if_none_match is None:
        return True
    if if_none_match.strip(b" \t") == b"*":
        return False
    position = 0
    while match := _ENTITY_TAG.match(if_none_match, position):
        if match[1] == etag:
            return False
        position = match.end()
    return True
