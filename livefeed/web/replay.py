"""Answers that twisted.web has rendered, repeated for requests that must have the same answer.

Rules: this module has no opinion about HTTP. It recognises requests that are so plain that only the parts in the key
can matter, and leaves all others to twisted.web. It stores only answers of which their resource said that they may be
repeated.

The key holds the fields as they were sent. Most values that a client may send there change nothing: an answer comes
with a function of its resource that tells its variant, so that a head with a tag or a coding that was never seen before
takes 12 µs of Python instead of 100.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livefeed.transport.answer import MAX_ANSWER_BYTES, Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable

    from twisted.internet.interfaces import IAddress

    from livefeed.transport.answer import Repeatable, Select
    from livefeed.transport.interfaces import RoomMember, WaitingRoom

KEYED = (b"accept", b"accept-encoding", b"if-none-match", b"origin", b"connection", b"prefer", b"a-im")
"""The fields on which an answer may depend.

``Vary`` names three of them at most: ``Accept``, ``Accept-Encoding`` and ``Origin``. Caches know the meaning of
``If-None-Match`` and ``Connection``, and let requests with ``Prefer`` or ``A-IM`` pass
(``docs/howto/proxies/index.md``).
"""

# A request with one of these fields is left to twisted.web. TE is not among them: it is about trailers and transfer
# codings, and no answer has any (RFC 9110, 10.1.4).
_FORBIDDEN = (b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"trailer", b"if-match")

TOKEN_CHARACTER = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
"""A character of a field's name, as a pattern (RFC 9110, 5.6.2)."""

FIELD_VALUE = rb"[\t\x20-\x7e\x80-\xff]*+"
"""A field's value with the white space around it, as a pattern (RFC 9110, 5.5)."""

PLAIN_HOST = rb"(?:[0-9A-Za-z._-]++|\[[0-9A-Fa-f:.]++\])(?>:[0-9]{0,5}+)?+"
"""The value of ``Host`` where it is a name or an address, as a pattern. Other spellings are left to twisted.web."""

MAX_FIELDS = 100
"""Upper limit of the fields in a head that replay recognises."""

MAX_NAME_BYTES = 64
"""Upper limit of the bytes in the name of a field that replay recognises."""

MAX_ANSWERS = 1024
"""Upper limit of the keys of stored answers."""

MAX_HEADS = 64
"""Upper limit of the heads that are looked up whole. With more different heads, hashing each would not pay."""

MAX_ROOM_KEYS = 256
"""Upper limit of the keys with which a request enters a room without a look at the meaning of its fields. Clients can
make them 4 MB."""


def _any_case(name: bytes) -> bytes:
    # The set of first letters lets the engine skip an alternative; after it, ignoring case is faster than sets.
    return b"[%c%c](?i:%s)" % (name[0], name[0] ^ 0x20, re.escape(name[1:]))


def head_pattern(*, logged: bool = False) -> re.Pattern[bytes]:
    """Gives the pattern of a whole request head that replay may answer; its groups are the key.

    :param logged: whether it has groups for the query, for ``User-Agent`` and for ``Referer`` as well, in this order
        behind the first group. An access log needs them, and to look for them in the head would take 1 µs more.

    The key holds the path of the target, not the query: no answer that may be repeated depends on the query, and many
    clients put the time there to bypass caches.

    One pass over the head takes 1.6 µs for the 520 bytes that a browser sends. A line is, in the order in which it is
    tried: a field whose name begins with a letter that no keyed field begins with; a keyed field, once (its group must
    not have matched before); or a field that merely begins like one. Fields are as in RFC 9112, 5, with neither
    obs-fold nor white space before the colon, and Host appears exactly once and is well-formed. Lines are atomic (0.1
    µs), since Python before 3.11.5 loses its place if a possessive repetition fails half-way.
    """
    token, value = TOKEN_CHARACTER, FIELD_VALUE
    host_group = 5 if logged else 2
    initials = {name[0] for name in (*KEYED, *_FORBIDDEN, b"host", *([b"referer"] if logged else []))}
    free = bytes(c for c in range(ord("a"), ord("z") + 1) if c not in initials)
    plain = rb"[%s%s]%s{0,%d}+:%s" % (free, free.upper(), token, MAX_NAME_BYTES - 1, value)
    rest = rb"%s{0,%d}+:%s" % (token, MAX_NAME_BYTES - 12, value)
    host = rb"%s:(?(%d)(?!))()[ \t]*+%s[ \t]*+" % (_any_case(b"host"), host_group, PLAIN_HOST)

    def keyed(name: bytes, spelling: bytes) -> bytes:
        return rb"%s:(?(%d)(?!))(%s)" % (spelling, host_group + 1 + KEYED.index(name), value)

    # Frequent fields come first: to try each keyed field on them would take 0.3 µs for all lines.
    accept = rb"[Aa](?i:ccept)(?:%s|-(?:%s|[Ll]%s))" % (
        keyed(b"accept", b""),
        keyed(b"accept-encoding", b"(?i:encoding)"),
        rest,
    )
    others = [keyed(name, _any_case(name)) for name in KEYED if not name.startswith(b"accept")]
    guarded = b"|".join(_any_case(name) for name in (*KEYED, *_FORBIDDEN, b"host"))
    other = rb"(?!(?:%s):)%s{1,%d}+:%s" % (guarded, token, MAX_NAME_BYTES, value)
    common: tuple[bytes, ...] = (b"[Uu]ser-[Aa]" + rest, b"[Cc]ookie" + rest)
    if logged:
        fields = (rb"%s:(%s)" % (_any_case(name), value) for name in (b"user-agent", b"referer"))
        common = (*fields, *common)
    line = b"|".join((plain, *common, host, accept, *others, other))
    query = rb"(\?[!-~]*+)?+" if logged else rb"(?>\?[!-~]*+)?+"
    head = rb"((?:GET|HEAD) /[!->@-~]*+)%s HTTP/1\.1\r\n(?>(?:%s)\r\n){1,%d}+(?(%d)|(?!))\r\n\Z"
    return re.compile(head % (query, line, MAX_FIELDS, host_group))


match_head = head_pattern().match


@dataclass(slots=True, eq=False)
class Replay:
    """The answers that may be repeated now.

    It is emptied with each version, each change of state, and each quarter of a second, since answers tell the time.

    :ivar rooms: the requests that wait, by the keys of their rooms; see :mod:`livefeed.transport.rooms`.
    :ivar generation: how often it was emptied.
    :ivar used: called when it was empty, and is so no more; ``None`` to call nothing.
    :ivar missed: the key of the last request that had no stored answer; ``None`` if replay must not answer it at all.
    :ivar peer: the peer that asks, as connections with an access log set it.
    """

    missed: bytes | None = None
    peer: int | IAddress = 0
    rooms: dict[bytes, WaitingRoom] = field(default_factory=dict)
    generation: int = 0
    used: Callable[[], object] | None = None
    _forgotten: Counter[Hashable] = field(default_factory=Counter)
    _stored: list[Answer] = field(default_factory=list)
    _answers: dict[bytes, Answer] = field(default_factory=dict)  # by key
    _heads: dict[bytes, Answer] = field(default_factory=dict)
    _waiting: dict[bytes, bytes] = field(default_factory=dict)  # the keys of heads that wait, while no answer is new
    _selects: dict[bytes, Select] = field(default_factory=dict)  # by method and path, as in the next
    _variants: dict[tuple[bytes, Hashable], Answer] = field(default_factory=dict)
    _bytes: int = 0
    _places: dict[bytes, dict[Hashable, WaitingRoom]] = field(default_factory=dict)  # by method and path, then variant

    def find(self, head: bytes) -> Answer | None:
        """Gives the answer to a request, and counts it as given.

        :param head: all received bytes. Nothing came before or after them on the connection.
        """
        # Many clients of one kind send the same head: then a look-up replaces the match. Only while there are few
        # heads: if all differ, hashing each in vain costs a third of a microsecond.
        heads = self._heads
        are_few = len(heads) < MAX_HEADS
        answer = heads.get(head) if are_few else None
        if answer is None:
            if self._waiting and (waiting := self._waiting.get(head)) is not None:
                self.missed = waiting
                return None
            match = match_head(head)
            if match is None:
                self.missed = None
                return None
            # Neither CR nor LF can be in a group. One string is hashed and compared faster than a tuple.
            key = b"\r".join(match.groups(b"\n"))
            answer = self._answers.get(key) or self._find_variant(key)
            if answer is None:
                self.missed = key
                if key in self.rooms and len(self._waiting) < MAX_HEADS:
                    # Clients that have waited together send the same head again.
                    self._waiting[head] = key
                return None
            if are_few:
                heads[head] = answer
        answer.times += 1
        return answer

    def _find_variant(self, key: bytes) -> Answer | None:
        """Gives the answer to a request whose fields were never seen before, if their variant was."""
        target, fields = _parts_of(key)
        select = self._selects.get(target)
        if select is None:
            return None
        variant = select(fields)
        answer = None if variant is None else self._variants.get((target, variant))
        if answer is not None and len(self._answers) < MAX_ANSWERS:
            self._answers[key] = answer
        return answer

    def store(self, key: bytes, data: bytes, repeatable: Repeatable, *, body: bytes = b"", last: bool = False) -> None:
        """Stores the answer to a request with this key, unless that would exceed a limit.

        :param body: the body, if it is not in the data.
        :param last: whether the connection ended after it.
        """
        size = len(data) + len(body)
        if len(self._answers) >= MAX_ANSWERS or self._bytes + size > MAX_ANSWER_BYTES:
            return
        answer = self._answers[key] = Answer(data, repeatable.label, last, body)
        self._waiting.clear()
        self._stored.append(answer)
        self._bytes += size
        if self.used is not None and len(self._stored) == 1:
            self.used()
        if repeatable.select is not None:
            target, fields = _parts_of(key)
            variant = repeatable.select(fields)
            if variant is not None:
                self._selects[target] = repeatable.select
                self._variants[target, variant] = answer

    def join(self, key: bytes, connection: RoomMember) -> bool:
        """Lets a connection join the room of requests that have the same answer. Returns whether there is one."""
        room = self.rooms.get(key)
        if room is not None and room.join(connection):
            return True
        other = self._room_of_variant(key)
        if other is None or other is room or not other.join(connection):
            return False
        if len(self.rooms) < MAX_ROOM_KEYS:
            self.rooms[key] = other
            other.other_keys[key] = None
        return True

    def _room_of_variant(self, key: bytes) -> WaitingRoom | None:
        """Gives the room of the requests that have the same variant."""
        rooms = self._places.get(key.partition(b"\r")[0])
        if rooms is None:
            return None
        variant = next(iter(rooms.values())).host.select(_parts_of(key)[1])
        return None if variant is None else rooms.get(variant)

    def open_room(self, room: WaitingRoom) -> None:
        """Lets requests into a room. It replaces another room for the same requests."""
        self.rooms[room.key] = room
        if self.used is not None:
            self.used()
        target, fields = _parts_of(room.key)
        variant = room.host.select(fields)
        if variant is not None:
            room.place = target, variant
            self._places.setdefault(target, {})[variant] = room

    def close_room(self, room: WaitingRoom) -> None:
        """Lets no more requests into a room."""
        for key in (room.key, *room.other_keys):
            if self.rooms.get(key) is room:
                del self.rooms[key]
        if room.place is not None:
            target, variant = room.place
            rooms = self._places.get(target, {})
            if rooms.get(variant) is room:
                del rooms[variant]
                if not rooms:
                    del self._places[target]

    def answered(self, answer: Answer, head: bytes, connections: Collection[RoomMember]) -> None:
        """Counts an answer that is written to several requests at once."""
        self._forgotten[answer.label] += len(connections)

    def counts(self) -> Counter[Hashable]:
        """Gives the number of repeated answers by label."""
        counts = self._forgotten.copy()
        for answer in self._stored:
            if answer.times:
                counts[answer.label] += answer.times
        return counts

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that tells the time: no answer, and no room with requests that wait for one."""
        return not (self._stored or self.rooms)

    def clear(self) -> None:
        """Forgets all answers."""
        self.generation += 1
        self._forgotten = self.counts()
        for memory in (self._stored, self._answers, self._heads, self._waiting, self._selects, self._variants):
            memory.clear()
        self._bytes = 0


def _parts_of(key: bytes) -> tuple[bytes, list[bytes | None]]:
    """Gives the method and path that a key begins with, and the values of the keyed fields."""
    target, _, *values = key.split(b"\r")  # in between is the group of Host, which is empty
    return target, [None if value == b"\n" else value.strip(b" \t") for value in values]
