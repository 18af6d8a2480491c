"""The answers of HTTP/1, read as little as they need: a status, a few fields, and where the content ends.

Rules: the head is searched, not parsed. Its size is bounded. Whatever is not understood is an :class:`AnswerError`, and
is counted by its text, which is therefore the same for all answers with the same defect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_HEAD_BYTES = 65_536
"""The largest head of an answer in bytes."""

MAX_INTERIM = 8
"""The largest number of interim answers (1xx) before an answer."""

HEAD_END = b"\r\n\r\n"

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*\bchunked[ \t]*(?=\r\n)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[^\r\n]*\bclose\b", re.IGNORECASE)
_KEEP_ALIVE = re.compile(rb"\r\nconnection:[^\r\n]*\bkeep-alive\b", re.IGNORECASE)
_NO_CONTENT = frozenset({204, 304})
_SWITCHING = 101
_FIRST_FINAL = 200


class AnswerError(Exception):
    """An answer cannot be understood."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an answer.

    :ivar data: all of it, with the empty line at its end.
    :ivar status: the status.
    :ivar length: the bytes of the content; ``None`` if the head does not say it.
    :ivar is_chunked: whether the content comes in chunks.
    :ivar is_last: whether the connection ends after the answer.
    """

    data: bytes
    status: int
    length: int | None
    is_chunked: bool
    is_last: bool

    def field(self, name: bytes) -> bytes | None:
        """Gives the value of the first field with a name; ``None`` if there is none."""
        found = re.search(rb"\r\n%s:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)" % re.escape(name), self.data, re.IGNORECASE)
        return found[1] if found else None

    def text(self, name: bytes) -> str | None:
        """Gives the value of a field as text."""
        value = self.field(name)
        return None if value is None else value.decode("latin-1")


def read_head(data: bytearray) -> Head | None:
    """Takes a head from the beginning of received bytes, which lose it; interim answers before it are dropped.

    :returns: the head; ``None`` if more bytes are needed.
    :raises AnswerError: if it is too large, or no head of HTTP/1.
    """
    for _ in range(MAX_INTERIM):
        end = data.find(HEAD_END, 0, MAX_HEAD_BYTES)
        if end < 0:
            if len(data) >= MAX_HEAD_BYTES:
                raise AnswerError("a head without end")
            if data[:5] != b"HTTP/"[: len(data)]:
                raise AnswerError("no answer of HTTP/1")
            return None
        head = head_of(bytes(data[: end + len(HEAD_END)]))
        del data[: end + len(HEAD_END)]
        if head.status >= _FIRST_FINAL or head.status == _SWITCHING:
            return head
    raise AnswerError("interim answers without end")


def head_of(data: bytes) -> Head:
    """Reads a whole head.

    :raises AnswerError: if it is none of HTTP/1.
    """
    found = _STATUS_LINE.match(data)
    if found is None:
        raise AnswerError("no answer of HTTP/1")
    status = int(found[2])
    is_chunked = _CHUNKED.search(data) is not None
    length = _LENGTH.search(data)
    is_last = _CLOSE.search(data) is not None or (found[1] == b"0" and _KEEP_ALIVE.search(data) is None)
    known = 0 if status in _NO_CONTENT else int(length[1]) if length and not is_chunked else None
    return Head(data, status, known, is_chunked and status not in _NO_CONTENT, is_last)
