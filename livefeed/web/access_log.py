"""The access log: one line for each answered request, also for those that replay answers.

Rules: no line costs more than a tenth of a replayed request. A line has three parts, all of which are kept as bytes.
The client's address makes the first one. The request line and the answer make the second one, which has the time, too.
The fields ``Referer`` and ``User-Agent`` make the last one. So an answer that is repeated for a head that was seen
before adds its peer to a list, and the lines of all of them are joined and handed on each quarter of a second: lines of
different requests may change places within that time. All that a client sent is escaped, and ``Authorization`` and
other fields than those two are never read. A query with a token is left out.

Without an access log none of this is used: :class:`LoggedSite` and the connections of
:mod:`livefeed.transport.logged` take the place of the classes without it.
"""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from livefeed.transport.addresses import host_of
from livefeed.transport.peer import pack_peer, unpack_peer
from livefeed.web.credentials import IN_URL
from livefeed.web.replay import KEYED, Replay, head_pattern
from livefeed.web.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable

    from twisted.internet.interfaces import IAddress

    from livefeed.transport.answer import Answer
    from livefeed.transport.interfaces import RoomMember
    from livefeed.web.channel import Channel
    from livefeed.web.forwarded import Forwarded
    from livefeed.web.request import Request

FormatName = Literal["common", "combined", "json"]

MAX_VALUE_BYTES = 2048
"""Limit of each part of a line that a client sent, before it is escaped. The rest is cut off."""

MAX_PARTS = 8192
"""Upper limit of the parts of lines that are kept, apart from those that many lines share: 1 MB."""

MAX_BEGINNINGS = 65_536
"""Upper limit of the connections whose first parts are kept, with 150 bytes each. Beyond it all are forgotten."""

MAX_ENDS = 2048
"""Upper limit of the pairs of ``Referer`` and ``User-Agent`` whose last parts are kept. Beyond it all are forgotten."""

MAX_HEADS = 256
"""Upper limit of the heads that are looked up whole, with the rests of their lines. It is larger than that of
:mod:`livefeed.web.replay`, since a look-up in vain takes less than to find the fields again."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNSAFE = re.compile(rb"[^\x20\x21\x23-\x5b\x5d-\x7e]")
# In UTF-8: the control characters that JSON may contain as they are, and the line ends of Unicode.
_CONTROL = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")
# A parameter with a token, which a page may send to any path, and in ``Referer``. It takes 0.5 µs for a query with the
# time in it.
_INITIALS = b"".join(sorted({name[:1] + name[:1].upper() for name in IN_URL}))
_finds_token = re.compile(rb"[?&;](?=[%s])(?i:%s)=" % (_INITIALS, b"|".join(sorted(IN_URL)))).search
_match_head = head_pattern(logged=True).match
_key_groups = itemgetter(0, *range(4, 5 + len(KEYED)))


class Format:
    """A format of lines.

    :param name: its name. ``common`` and ``combined`` are those of the Apache HTTP Server; the time is always UTC.
    """

    def __init__(self, name: FormatName) -> None:
        self._is_json = name == "json"
        self._is_combined = name == "combined"
        self._second = -1
        self._time = b""

    def beginning(self, client: str) -> bytes:
        """Gives the beginning of a line.

        :param client: the client's address; ``""`` if it has none.
        """
        if self._is_json:
            return b'{"client":%s,' % msgspec.json.encode(client)
        return b"%s - - " % (client.encode("ascii", "backslashreplace") or b"-")

    def sides(
        self, request_line: tuple[bytes, bytes, bytes] | None, status: int, size: int | None, now: float
    ) -> tuple[bytes, bytes]:
        """Gives the second part of a line as two pieces: up to the end of the target, and what is behind it.

        :param request_line: the method, the target and the version of the protocol; ``None`` if they are not known.
        :param size: the bytes of the content that was sent; ``None`` if they are not counted.
        :param now: the time, in seconds since 1970.
        """
        if int(now) != self._second:
            self._second = int(now)
            self._time = self._time_of(self._second)
        if not self._is_json:
            outcome = b'" %d %s' % (status, b"%d" % size if size else b"-")
            if request_line is None:
                return b'[%s] "-' % self._time, outcome
            method, target, version = request_line
            parts = self._time, _escaped(method), _escaped(_without_token(target))
            return b'[%s] "%s %s' % parts, b" %s%s" % (_escaped(version), outcome)
        if request_line is None:
            unknown = {"time": self._time.decode(), "method": None, "target": None, "version": None}
            return _json({**unknown, "status": status, "bytes": size})[1:-1], b""
        method, target, version = request_line
        target = _without_token(target)
        method_text, target_text, version_text = map(_text, (method, target, version))
        begin = {"time": self._time.decode(), "method": method_text, "target": target_text}
        # The first part of the line has opened the object, and the last one closes it.
        rest = {"version": version_text, "status": status, "bytes": size}
        return _json(begin)[1:-2], b'",' + _json(rest)[1:-1]

    def end(self, referer: bytes | None, agent: bytes | None) -> bytes:
        """Gives the last part of a line, with its end.

        :param referer: the field ``Referer``; ``None`` if it was not sent.
        :param agent: the field ``User-Agent``; ``None`` if it was not sent.
        """
        if self._is_json:
            referer = None if referer is None else _without_token(referer)
            fields = {"referer": _text_or_none(referer), "user_agent": _text_or_none(agent)}
            return b",%s\n" % _json(fields)[1:]
        if self._is_combined:
            return b' "%s" "%s"\n' % (_escaped(_without_token(referer or b"-")), _escaped(agent or b"-"))
        return b"\n"

    def _time_of(self, second: int) -> bytes:
        at = time.gmtime(second)
        if self._is_json:
            return time.strftime("%Y-%m-%dT%H:%M:%SZ", at).encode()
        # %b of strftime depends on the locale.
        return time.strftime(f"%d/{_MONTHS[at.tm_mon - 1]}/%Y:%H:%M:%S +0000", at).encode()


def _escaped(value: bytes) -> bytes:
    """Gives a value in which quotes, backslashes and all bytes that are not printable ASCII are escaped."""
    value = value[:MAX_VALUE_BYTES]
    return _UNSAFE.sub(_escape, value) if _UNSAFE.search(value) else value


def _without_token(url: bytes) -> bytes:
    """Gives a URL without its query, if that has a token."""
    url = url[:MAX_VALUE_BYTES]
    return url.partition(b"?")[0] + b"?(hidden)" if _finds_token(url) else url


def _escape(match: re.Match[bytes]) -> bytes:
    byte = match[0]
    return b"\\" + byte if byte in b'"\\' else b"\\x%02x" % byte[0]


def _json(value: object) -> bytes:
    """Gives a value as JSON without control characters, which terminals and readers of lines would obey."""
    return _CONTROL.sub(lambda match: b"\\u%04x" % ord(match[0].decode()), msgspec.json.encode(value))


def _text(value: bytes) -> str:
    return value[:MAX_VALUE_BYTES].decode(errors="backslashreplace")


def _text_or_none(value: bytes | None) -> str | None:
    return None if value is None else _text(value)


class AccessLog:
    """The lines that wait to be written.

    :param form: the format.
    :param write: writes whole lines: their bytes, and their number.
    :param wall: gives the time, in seconds since 1970.
    :ivar parts: the parts of lines, in their order.
    :ivar beginnings: the first parts of lines, by the peers of connections.
    :ivar gatherers: called before the lines are written; each adds the parts of lines that wait elsewhere.
    """

    def __init__(self, form: Format, write: Callable[[bytes, int], object], wall: Callable[[], float]) -> None:
        self.form = form
        self.wall = wall
        self.parts: list[bytes] = []
        self.beginnings: dict[int | IAddress, bytes] = {}
        self.gatherers: list[Callable[[], object]] = []
        self._write = write

    def beginning_of(self, peer: int | IAddress) -> bytes:
        """Gives the first part of the lines about a peer, as a connection keeps it, and remembers it."""
        if len(self.beginnings) >= MAX_BEGINNINGS:
            self.beginnings.clear()
        beginning = self.beginnings[peer] = self.form.beginning(host_of(unpack_peer(peer)))
        return beginning

    def add(self, facts: Facts) -> None:
        """Adds a line about a request that was rendered."""
        before, after = self.form.sides(facts.request_line, facts.status, facts.size, self.wall())
        end = self.form.end(facts.referer, facts.agent)
        self.parts += (self.form.beginning(facts.client), before, after, end)
        self.limit()

    def limit(self) -> None:
        """Writes the lines if there are many."""
        if len(self.parts) >= MAX_PARTS:
            self.flush()

    def flush(self) -> None:
        """Writes the lines."""
        for gather in self.gatherers:
            gather()
        if self.parts:
            data = b"".join(self.parts)
            # It stays the same list, which stores of answers refer to.
            self.parts.clear()
            self._write(data, data.count(b"\n"))


class LoggedReplay(Replay):
    """The answers that may be repeated, with a line for each time that one is.

    :param log: gets the lines.
    """

    __slots__ = ("_beginnings", "_ends", "_known", "_log", "_look_up", "_parts", "_repeated", "_sides")

    def __init__(self, log: AccessLog) -> None:
        Replay.__init__(self)
        self._log = log
        self._beginnings = log.beginnings
        self._parts = log.parts
        # By head, with the function that adds a peer to the list below.
        self._known: dict[bytes, tuple[Answer, Callable[[int | IAddress], object]]] = {}
        self._look_up: Callable[[bytes], Any] = self._known.get
        # The peers to whom an answer was repeated since the last lines, with the rest of their lines.
        self._repeated: list[tuple[Answer, bytes, list[int | IAddress]]] = []
        self._sides: dict[Answer, tuple[bytes, bytes, bytes]] = {}  # two pieces, and both together
        self._ends: dict[tuple[bytes, bytes], bytes] = {}  # by the fields
        log.gatherers.append(self._gather)

    def find(self, head: bytes) -> Answer | None:
        """AnswerStore API. The same as that of the base, with the parts of a line.

        To call that of the base, and to look for the fields afterwards, takes twice as long.
        """
        found: tuple[Answer, Callable[[int | IAddress], object]] | None = self._look_up(head)
        if found is not None:
            # It is counted with the lines.
            answer, add = found
            add(self.peer)
            return answer
        match = _match_head(head)
        if match is None:
            self.missed = None
            return None
        groups = match.groups(b"\n")
        key = b"\r".join(_key_groups(groups))
        stored = self._answers.get(key) or self._find_variant(key)
        if stored is None:
            self.missed = key
            return None
        answer = stored
        target, query, agent, referer = groups[:4]
        before, after, both = self._sides.get(answer) or self._new_sides(answer, target)
        end = self._ends.get((referer, agent)) or self._new_end(referer, agent)
        if query != b"\n":
            # Many clients put the time there. The pieces of all other lines are shared.
            both = before + _escaped(_without_token(query)) + after
            self._log.limit()
        known = self._known
        if len(known) < MAX_HEADS:
            peers = [self.peer]
            self._repeated.append((answer, both + end, peers))
            known[head] = answer, peers.append
            if len(known) == MAX_HEADS:
                # To hash each head in vain takes longer than to give it to a list that keeps nothing.
                self._look_up = deque[bytes](maxlen=0).append
        else:
            self._parts += (self._beginnings.get(self.peer) or self._log.beginning_of(self.peer), both, end)
            answer.times += 1
        return answer

    def _gather(self) -> None:
        """Adds the lines of the answers that were repeated, and counts these."""
        beginnings, beginning_of = self._beginnings, self._log.beginning_of
        for answer, rest, peers in self._repeated:
            if not peers:
                continue
            try:
                # It takes a quarter of the time of a look at each.
                lines = rest.join(map(beginnings.__getitem__, peers))
            except KeyError:
                lines = rest.join([beginnings.get(peer) or beginning_of(peer) for peer in peers])
            self._parts += (lines, rest)
            answer.times += len(peers)
            peers.clear()

    def counts(self) -> Counter[Hashable]:
        """Gives the number of repeated answers by label."""
        self._gather()
        return Replay.counts(self)

    def answered(self, answer: Answer, head: bytes, connections: Collection[RoomMember]) -> None:
        """AnswerStore API. The heads of those that waited are not kept: their lines name the target of the first."""
        Replay.answered(self, answer, head, connections)
        middle = b"".join(self._new_sides(answer, head[: head.index(b" HTTP/1.1\r\n")])[:2])
        end = self._log.form.end(None, None)
        for connection in connections:
            peer = connection._peer  # noqa: SLF001 - as rooms do
            self._parts += (self._beginnings.get(peer) or self._log.beginning_of(peer), middle, end)
        self._log.limit()

    def clear(self) -> None:
        """Forgets all answers, and hands on the lines about them."""
        Replay.clear(self)
        # The second parts have the time in them.
        self._known.clear()
        self._repeated.clear()
        self._look_up = self._known.get
        self._sides.clear()
        self._log.flush()

    def _new_sides(self, answer: Answer, line: bytes) -> tuple[bytes, bytes, bytes]:
        """Makes the two pieces of the second part of the line about an answer, and keeps them.

        :param line: the request line without its version; here without the query, which differs.
        """
        method, target = line.split(b" ")
        data = answer.data
        size = len(data) + len(answer.body) - data.index(b"\r\n\r\n") - 4
        request_line = method, target, b"HTTP/1.1"
        before, after = self._log.form.sides(request_line, int(data[9:12]), size, self._log.wall())
        sides = self._sides[answer] = before, after, before + after
        return sides

    def _new_end(self, referer: bytes, agent: bytes) -> bytes:
        """Makes a last part, and keeps it.

        :param referer: the field, with the white space around it; a line end if it was not sent, as of *agent*.
        """
        self._log.limit()
        sent = (None if value == b"\n" else value.strip(b" \t") for value in (referer, agent))
        if len(self._ends) >= MAX_ENDS:
            self._ends.clear()
        end = self._ends[referer, agent] = self._log.form.end(*sent)
        return end


class ForwardedReplay(LoggedReplay):
    """The same where proxies name the clients of their requests.

    :param log: gets the lines.
    :param forwarded: the rule by which the client is found.
    """

    __slots__ = ("_forwarded", "_lines_of", "_peers", "_trusts")

    def __init__(self, log: AccessLog, forwarded: Forwarded) -> None:
        super().__init__(log)
        self._forwarded = forwarded
        # A line end is the literal beginning, which the engine looks for fast.
        self._lines_of = re.compile(rb"\r\n(?i:%s):[ \t]*([^\r\n]*)" % forwarded.field.encode()).findall
        self._trusts: dict[int | IAddress, bool] = {}
        self._peers: dict[tuple[int | IAddress, bytes], int | IAddress] = {}  # of the clients that proxies have named

    def find(self, head: bytes) -> Answer | None:
        """AnswerStore API. A request from a trusted proxy takes 2 µs more."""
        peer = self.peer
        trusts = self._trusts.get(peer)
        if trusts is None:
            if len(self._trusts) >= MAX_BEGINNINGS:
                self._trusts.clear()
            trusts = self._trusts[peer] = self._forwarded.trusted.has_address(unpack_peer(peer))
        if trusts:
            values = self._lines_of(head)
            if values:
                self.peer = self._peer_of(peer, values)
        return LoggedReplay.find(self, head)

    def _peer_of(self, peer: int | IAddress, values: list[bytes]) -> int | IAddress:
        key = peer, b",".join(values)
        client = self._peers.get(key)
        if client is None:
            if len(self._peers) >= MAX_ENDS:
                self._peers.clear()
            host = host_of(self._forwarded.client(unpack_peer(peer), values))
            # The port is left out, so that all connections of a client share the beginning of their lines.
            client = self._peers[key] = pack_peer((host, 0) if host else "")
        return client


class Facts(NamedTuple):
    """The facts of a line about a request that was rendered.

    :ivar client: the client's address; ``""`` if it has none.
    :ivar request_line: the method, the target and the version of the protocol; ``None`` if they are not known.
    :ivar status: the status code.
    :ivar size: the bytes of the content that was sent; ``None`` if they are not counted.
    :ivar referer: the field ``Referer``; ``None`` if it was not sent.
    :ivar agent: the field ``User-Agent``; ``None`` if it was not sent.
    """

    client: str
    request_line: tuple[bytes, bytes, bytes] | None
    status: int
    size: int | None
    referer: bytes | None
    agent: bytes | None

    @classmethod
    def of(cls, request: Request, size: int | None) -> Facts:
        """Gives the facts of a request that was answered."""
        request_line = request.method, request.uri, request.clientproto
        client = host_of(request.getClientAddress())
        return cls(client, request_line, request.code, size, *_fields_of(request))

    @classmethod
    def of_refusal(cls, channel: Channel, forwarded: Forwarded | None, status: int, size: int) -> Facts:
        """Gives the facts of bytes that were refused: those about the request as far as it has arrived.

        :param forwarded: the rule by which proxies name clients; ``None`` if they do not.
        """
        client, request_line = channel.transport.getPeer(), channel.request_line
        if request_line is None:
            return cls(host_of(client), None, status, size, None, None)
        request = channel.requests[-1]
        if forwarded is not None:
            values = request.lines_of(forwarded.field.encode())
            client = forwarded.client(client, values)
        return cls(host_of(client), request_line, status, size, *_fields_of(request))


def _fields_of(request: Request) -> tuple[bytes | None, bytes | None]:
    """Gives the fields ``Referer`` and ``User-Agent`` of a request; ``None`` for one that was not sent."""
    unsent = (None,)
    return (request.lines_of(b"Referer") or unsent)[0], (request.lines_of(b"User-Agent") or unsent)[0]


class LoggedSite(Site):
    """A site with an access log.

    :param log: gets the lines.
    :param forwarded: the rule by which proxies name clients; ``None`` if they do not.
    :param arguments: those of the site.
    """

    def __init__(self, log: AccessLog, forwarded: Forwarded | None, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._log = log
        self._forwarded = forwarded
        make_replay = partial(LoggedReplay, log) if forwarded is None else partial(ForwardedReplay, log, forwarded)
        self.replays = {secure: make_replay() for secure in (False, True)}
        self.upgrades = None  # a line needs the request

    def log(self, request: Request) -> None:  # type: ignore[override]
        """HTTPFactory API. Counts an answer, and adds its line."""
        super().log(request)
        if not request.channel.has_waited:
            self._log.add(Facts.of(request, request.sentLength))

    def count_refusal(self, channel: Channel, status: int, size: int) -> None:
        """ChannelSite API. Adds its line, too."""
        super().count_refusal(channel, status, size)
        self._log.add(Facts.of_refusal(channel, self._forwarded, status, size))

    def handed_over(self, request: Request) -> Callable[[], object]:
        """ChannelSite API. The line is added when the connection ends."""
        super().log(request)
        # Not the request itself, which would be kept for as long.
        return partial(self._log.add, Facts.of(request, None))
