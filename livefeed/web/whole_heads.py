"""Request heads that arrive whole and are plain: read in one pass, where twisted.web goes line by line.

A head is plain in the sense of :mod:`livefeed.web.replay`, whose pattern recognises it. All other heads, and those that
come in pieces or with others, are left to twisted.web, which reads a plain one in the same way: the tests of the
transports send every head to both.

Rule: nothing here answers a request.
"""

from __future__ import annotations

from functools import lru_cache

from twisted.web.http_headers import Headers

from livefeed.web.negotiation import KeyedFields, RequestFields
from livefeed.web.replay import match_head

KEPT = 256
"""Upper limit of the combinations of keyed fields that are kept parsed. Clients can make them 4 MB, since a head has at
most 16 KB. A browser's take 9 µs to parse, and 0.4 µs to find."""

_KEYED_GROUPS = range(3, 3 + len(KeyedFields._fields))


def read_whole_head(data: bytes) -> tuple[bytes, bytes, RequestFields] | None:
    """Reads a whole request head; gives ``None`` if the data is anything else than one plain head.

    :param data: all that was received since the last request.
    :returns: the method, the target with its query, and the parsed fields. The version is ``HTTP/1.1``.
    """
    match = match_head(data)
    if match is None:
        return None
    method, target, _ = data[: data.index(b"\r\n")].split(b" ")
    return method, target, _parsed(match.group(*_KEYED_GROUPS))


@lru_cache(maxsize=KEPT)
def _parsed(values: tuple[bytes | None, ...]) -> RequestFields:
    """Parses the keyed fields of a plain head, which has none of the others that matter.

    :param values: the values with the white space around them.
    """
    return RequestFields.of_keyed(KeyedFields._make(None if value is None else value.strip(b" \t") for value in values))


def headers_of(head: bytes) -> Headers:
    """Gives the fields of a plain head as twisted.web has them.

    :param head: the whole head; nothing for no fields.
    """
    headers = Headers()
    for line in head.split(b"\r\n")[1:-2]:
        name, _, value = line.partition(b":")
        headers.addRawHeader(name, value.strip(b" \t"))
    return headers


def values_in(head: bytes, name: bytes) -> list[bytes]:
    """Gives the values of the lines of a plain head with one name, without the white space around them.

    To make :func:`headers_of` takes 8 µs more for a browser's head.

    :param name: the name of the field.
    """
    lower, wanted = head.lower(), b"\r\n%b:" % name.lower()
    values, at = [], lower.find(wanted)
    while at >= 0:
        begin = at + len(wanted)
        end = head.index(b"\r\n", begin)
        values.append(head[begin:end].strip(b" \t"))
        at = lower.find(wanted, end)
    return values
