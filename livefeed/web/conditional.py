"""Conditional requests (RFC 9110, section 13). This file is pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# entity-tag (RFC 9110, 8.8.3), then a comma or the end; empty list members are allowed (5.6.1.2).
_ENTITY_TAG = re.compile(rb'[ \t,]*(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|\Z)')


def listed_tags(if_none_match: bytes | None) -> list[bytes]:
    """Gives the tags that ``If-None-Match`` names, without their marks of weakness (RFC 9110, 13.1.2).

    :param if_none_match: the field's value, its lines joined with commas; ``None`` if it was not sent. One that is not
        a list of tags counts up to where it stops being one.
    """
    tags, position = [], 0
    while match := _ENTITY_TAG.match(if_none_match or b"", position):
        tags.append(match[1])
        position = match.end()
    return tags


def matching_tag(if_none_match: bytes | None, etags: Sequence[bytes]) -> bytes | None:
    """Gives the tag of what a client has already, so that it is answered 304 (RFC 9110, 13.1.2).

    Tags are compared weakly, so that one that a proxy has weakened still matches.

    :param if_none_match: the field's value, its lines joined with commas; ``None`` if it was not sent.
    :param etags: the entity tags of all representations, with their quotes, the selected one's first.
    :returns: one of *etags*; ``None`` if the client has none of them, and is answered in full.
    """
    if if_none_match is not None and if_none_match.strip(b" \t") == b"*":
        return etags[0]
    listed = listed_tags(if_none_match)
    return next((etag for etag in etags if etag in listed), None)
