"""Answers that twisted.web has rendered, given again to requests that cannot be answered otherwise.

Rules: this file has no opinion about HTTP. It recognises requests that are so plain that nothing in them could
matter but what the key holds; everything else is twisted.web's. And it stores only what the resource said may be
repeated.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from livefeed.transport.connection import Connection
    from livefeed.transport.rooms import Room

KEYED = (b"accept", b"accept-encoding", b"if-none-match", b"origin", b"connection", b"prefer", b"a-im")
"""The fields on which an answer may depend. The answer's ``Vary`` names those of them that it did depend on."""

_FORBIDDEN = (b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"te", b"trailer", b"if-match")

MAX_FIELDS = 100
MAX_NAME_BYTES = 64
MAX_ANSWERS = 1024
MAX_HEADS = 64
MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""All stored answers together; one that would be more is rendered each time."""


def _any_case(name: bytes) -> bytes:
    # The set of first letters lets the engine pass over an alternative; after it, ignoring case is faster than sets.
    return b"[%c%c](?i:%s)" % (name[0], name[0] ^ 0x20, re.escape(name[1:]))


def _head_pattern() -> re.Pattern[bytes]:
    """Gives what matches a whole request head that may be answered by replay; its groups are the key.

    One pass over the head takes 1.6 µs for the 520 bytes that a browser sends. A line is, in the order in which it is
    tried: a field whose name begins with a letter that no keyed field begins with; a keyed field, once (its group
    must not have matched before); or a field that merely begins like one. Fields are as in RFC 9112, 5, with neither
    obs-fold nor white space before the colon, and Host is there exactly once and well-formed. Lines are atomic (0.1
    µs), since Python before 3.11.5 loses its place where what is repeated possessively fails half-way.
    """
    token, value = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]", rb"[\t\x20-\x7e\x80-\xff]*+"
    initials = {name[0] for name in (*KEYED, *_FORBIDDEN, b"host")}
    free = bytes(c for c in range(ord("a"), ord("z") + 1) if c not in initials)
    plain = rb"[%s%s]%s{0,%d}+:%s" % (free, free.upper(), token, MAX_NAME_BYTES - 1, value)
    rest = rb"%s{0,%d}+:%s" % (token, MAX_NAME_BYTES - 12, value)
    name = rb"(?:[0-9A-Za-z._-]++|\[[0-9A-Fa-f:.]++\])(?>:[0-9]{0,5}+)?+"
    host = rb"%s:(?(2)(?!))()[ \t]*+%s[ \t]*+" % (_any_case(b"host"), name)

    def keyed(name: bytes, spelling: bytes) -> bytes:
        return rb"%s:(?(%d)(?!))(%s)" % (spelling, 3 + KEYED.index(name), value)

    # What many send is found here first: to be tried as each of the keyed fields would take 0.3 µs for all lines.
    accept = rb"[Aa](?i:ccept)(?:%s|-(?:%s|[Ll]%s))" % (
        keyed(b"accept", b""),
        keyed(b"accept-encoding", b"(?i:encoding)"),
        rest,
    )
    others = [keyed(name, _any_case(name)) for name in KEYED if not name.startswith(b"accept")]
    guarded = b"|".join(_any_case(name) for name in (*KEYED, *_FORBIDDEN, b"host"))
    other = rb"(?!(?:%s):)%s{1,%d}+:%s" % (guarded, token, MAX_NAME_BYTES, value)
    common = (b"[Uu]ser-[Aa]" + rest, b"[Cc]ookie" + rest)
    line = b"|".join((plain, *common, host, accept, *others, other))
    head = rb"((?:GET|HEAD) /[!-~]*+) HTTP/1\.1\r\n(?>(?:%s)\r\n){1,%d}+(?(2)|(?!))\r\n\Z"
    return re.compile(head % (line, MAX_FIELDS))


match_head = _head_pattern().match


@dataclass(slots=True, eq=False)
class Answer:
    """Bytes that answer every request with one key.

    :ivar data: the head and the body, as twisted.web wrote them.
    :ivar label: what it counts as.
    :ivar last: whether the connection ends after it.
    :ivar times: how often it was given again.
    """

    data: bytes
    label: Hashable
    last: bool
    times: int = 0


@dataclass(slots=True, eq=False)
class Replay:
    """The answers that may be repeated now.

    It is emptied with each version, each change of state, and each quarter of a second, since answers tell the time.

    :ivar rooms: the requests that wait, by their keys: see :mod:`livefeed.transport.rooms`.
    :ivar generation: how often it was emptied.
    :ivar missed: the key of the request that was last looked for in vain; ``None`` if it is none that may be answered
        by replay at all.
    """

    missed: bytes | None = None
    rooms: dict[bytes, Room] = field(default_factory=dict)
    generation: int = 0
    _forgotten: Counter[Hashable] = field(default_factory=Counter)
    _answers: dict[bytes, Answer] = field(default_factory=dict)
    _heads: dict[bytes, Answer] = field(default_factory=dict)
    _bytes: int = 0

    def find(self, head: bytes) -> Answer | None:
        """Gives the answer to a request, and counts it as given.

        :param head: what was received: all of it, and nothing before or after it on the connection.
        """
        # Many clients of one kind send the same head: then a look-up does instead of a match. Only while there are
        # few: where all heads differ, hashing each in vain would cost a third of a microsecond.
        heads = self._heads
        are_few = len(heads) < MAX_HEADS
        answer = heads.get(head) if are_few else None
        if answer is None:
            match = match_head(head)
            if match is None:
                self.missed = None
                return None
            # Neither CR nor LF can be in a group. One string is hashed and compared more quickly than a tuple is.
            key = b"\r".join(match.groups(b"\n"))
            answer = self._answers.get(key)
            if answer is None:
                self.missed = key
                return None
            if are_few:
                heads[head] = answer
        answer.times += 1
        return answer

    def store(self, key: bytes, data: bytes, label: Hashable, *, last: bool = False) -> None:
        """Remembers what a request with this key was answered, unless too much is remembered already.

        :param label: what it counts as.
        :param last: whether the connection ended after it.
        """
        if len(self._answers) < MAX_ANSWERS and self._bytes + len(data) <= MAX_ANSWER_BYTES:
            self._answers[key] = Answer(data, label, last)
            self._bytes += len(data)

    def join(self, key: bytes, connection: Connection) -> bool:
        """Has a connection wait with others, whose requests have the same key; tells whether there are any."""
        room = self.rooms.get(key)
        return room is not None and room.join(connection)

    def count(self, label: Hashable, times: int) -> None:
        """Counts answers that were given to several requests, and not rendered for them."""
        self._forgotten[label] += times

    def counts(self) -> Counter[Hashable]:
        """Gives how often answers were given again, by their labels."""
        counts = self._forgotten.copy()
        for answer in self._answers.values():
            if answer.times:
                counts[answer.label] += answer.times
        return counts

    def clear(self) -> None:
        """Forgets all answers."""
        self.generation += 1
        self._forgotten = self.counts()
        self._answers.clear()
        self._heads.clear()
        self._bytes = 0
