"""Conditional requests (RFC 9110, 13).

Rule: this file is pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_TAGS = 64
"""Limit of the tags in a list that are parsed. A client can receive patches from 60 versions. A head of 16 KiB has room
for 3,000 short tags, which took 2.5 ms."""

# entity-tag (RFC 9110, 8.8.3), then a comma or the end; empty list members are allowed (5.6.1.2).
_ENTITY_TAG = re.compile(rb'[ \t,]*+(W/)?("[\x21\x23-\x7e\x80-\xff]*+")[ \t]*+(?=,|\Z)')


def listed_tags(if_none_match: bytes | None) -> list[bytes]:
    """Gives the entity tags in ``If-None-Match``, without the marks of weak tags (RFC 9110, 13.1.2).

    :param if_none_match: the value of the field, its lines joined with commas; ``None`` if it was not sent. Text that
        is not a list of tags ends the list, and so does the limit :data:`MAX_TAGS`: a client with more tags may be
        answered in full.
    :returns: the tags with their quotes; ``*`` alone, without quotes, if that is the value.
    """
    if if_none_match is None:
        return []
    if if_none_match.strip(b" \t") == b"*":
        return [b"*"]
    return [tag for _, tag in _members(if_none_match)]


def _members(tags: bytes) -> Iterator[tuple[bool, bytes]]:
    """Gives each tag in a list, up to the limit: whether it is weak, and the tag without that mark."""
    position = 0
    for _ in range(MAX_TAGS):
        match = _ENTITY_TAG.match(tags, position)
        if match is None:
            return
        yield match[1] is not None, match[2]
        position = match.end()


def is_list_of_tags(value: bytes) -> bool:
    """Tells whether the value of a field is ``*``, or a list of entity tags that is parsed up to its end."""
    if value.strip(b" \t") == b"*":
        return True
    position = count = 0
    while count < MAX_TAGS and (match := _ENTITY_TAG.match(value, position)) is not None:
        position, count = match.end(), count + 1
    return count > 0 and not value[position:].strip(b" \t,")


def strong_tags(if_match: bytes) -> list[bytes]:
    """Gives the entity tags in ``If-Match`` that can match (RFC 9110, 13.1.1): the strong ones.

    :param if_match: the value of the field, its lines joined with commas.
    :returns: the tags with their quotes, at most :data:`MAX_TAGS`; ``*`` alone, without quotes, if that is the value.
    """
    if if_match.strip(b" \t") == b"*":
        return [b"*"]
    return [tag for is_weak, tag in _members(if_match) if not is_weak]


def matching_tag(tags: Sequence[bytes], etags: Sequence[bytes]) -> bytes | None:
    """Gives the tag of the representation that a client has, so that the answer is 304 (RFC 9110, 13.1.2).

    Tags are compared weakly, so that a tag that a proxy has weakened still matches.

    :param tags: the tags in ``If-None-Match``, as :func:`listed_tags` gives them.
    :param etags: the entity tags of all representations, with their quotes, that of the selected one first.
    :returns: one of *etags*; ``None`` if the client has none of them, and is answered in full.
    """
    if not tags:
        return None
    if tags == [b"*"]:
        return etags[0]
    return next((etag for etag in etags if etag in tags), None)


def is_another(if_match: bytes | None, etag: bytes) -> bool:
    """Tells whether a client asks for another representation than the selected one: the answer is 412.

    See RFC 9110, 13.1.1. Tags are compared strongly: a weak tag matches nothing. Nor does a tag behind
    :data:`MAX_TAGS` others.

    :param if_match: the value of the field, its lines joined with commas; ``None`` if it was not sent.
    :param etag: the entity tag of the selected representation, with its quotes.
    """
    if if_match is None or if_match.strip(b" \t") == b"*":
        return False
    return (False, etag) not in _members(if_match)
