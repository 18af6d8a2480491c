"""Both transports answer the same bytes with the same bytes: no answer by replay is another than twisted.web's.

A third server leaves to twisted.web all that it can do (``tests/helpers/reference_site.py``): it reads heads line by
line, prepares no answers, and has twisted.web write them.
"""

from __future__ import annotations

import base64
import contextlib
import re
import shutil
import socket
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.snapshot import version_of
from livefeed.feed.state import State
from livefeed.testing import make_site, publish
from livefeed.transport.connection_state import READ_BYTES
from livefeed.transport.rooms import Room
from livefeed.web.reconnect_slots import ReconnectSlots
from tests.helpers.driven import Client, DrivenReactor, make_pool, settle
from tests.helpers.reference_site import refer_to_twisted
from tests.integration.harness import Livefeed, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from livefeed.delivery import published_feed
    from livefeed.tls.development import DevelopmentCertificate
    from livefeed.web.site import Site

pytestmark = pytest.mark.chosen

DOCUMENTS = tuple(b'{"votes": [%s]}' % b", ".join(b"1.50" for _ in range(count)) for count in (20, 60))
ETAGS = tuple(b'"%s%s"' % (version_of(data).encode(), suffix) for data in DOCUMENTS for suffix in (b"", b"-gzip"))
KEY = base64.b64encode(bytes(16))
PAGES = "https://page.example"
"""The one origin whose pages may read the feed, so that answers depend on ``Origin``."""

HOST = b"Host: localhost\r\n"
GET = b"GET /feed HTTP/1.1\r\n" + HOST + b"\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
HANDSHAKE = GET[:-2] + UPGRADE + b"Sec-WebSocket-Key: " + KEY + b"\r\n\r\n"
CLOSE_FRAME = b"\x88\x82\0\0\0\0\x03\xe8"
PING_FRAME = b"\x89\x81\0\0\0\0x"


# A grammar of valid and invalid requests


def _often(*usual: bytes, seldom: Iterable[bytes]) -> st.SearchStrategy[bytes]:
    """Mostly one of the usual values."""
    return st.integers(0, 5).flatmap(lambda n: st.sampled_from([*seldom] if n == 5 else usual))


_methods = _often(
    b"GET",
    b"HEAD",
    seldom=(b"OPTIONS", b"POST", b"PUT", b"get", b"GETX", b"", b"TRACE", b"CONNECT", b"G\xc3\xa4T", b"G@T"),
)
_targets = _often(
    b"/feed",
    b"/feed.json",
    b"/feed?a=b",
    b"/feed.json?_=1764400000",
    seldom=(
        b"/",
        b"/feed?" + b"q" * 3000,
        b"/feed/",
        b"//feed",
        b"/feed#x",
        b"/FEED",
        b"/%66eed",
        b"/feed%00",
        b"/feed;x",
        b"/fe\x80ed",
        b"/-/page/page.css",
        b"/-/problems/",
        b"/-/problems/expired",
        b"/-/problems/nothing",
        b"/feed.ws",
        b"/nope",
        b"http://localhost/feed",
        b"HTTPS://other.example/feed?x",
        b"http://localhost",
        b"http:///feed",
        b"http://user@localhost/feed",
        b"ftp://localhost/feed",
        b"*",
        b"feed",
        b"localhost:80",
        b'/feed?"<>\\^`{|}',
    ),
)
_versions = _often(
    b"HTTP/1.1",
    seldom=(b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b"HTTP/1.1 ", b"", b"HTTP/01.1"),
)
_hosts = _often(
    b"Host: localhost",
    b"host:localhost:8443",
    b"HOST: \t[::1]:443 ",
    seldom=(
        b"Host:",
        b"Host: a b",
        b"Host: a,b",
        b"Host: user@a",
        b"Host: a/b",
        b"Host: a:1:2",
        b"Host: a:123456",
        b"Host: [::1",
        b"Host: [::g]",
        b"Host: []",
        b"Host: a~b%41!$",
        b"Host: a_b.-",
        b"Host: \xc3\xa4",
        b"Host: a\x0b",
        b"Host : a",
        b" Host: a",
        b"X-Host: a",
        b"Host: a\r\nhost: a",
        b"Host: a\r\n",
        b"X: y",
    ),
)
_tag_lists = st.lists(
    st.sampled_from(
        (*ETAGS, *(b"W/" + tag for tag in ETAGS), b'"other"', b'"another"', b"*", b"", b'W/"', b"nonsense", b'"\xff"')
    ),
    max_size=3,
).map(b", ".join)
_codings = st.lists(
    st.tuples(
        st.sampled_from((b"gzip", b"GZip", b"x-gzip", b"br", b"zstd", b"identity", b"*", b"", b"\xe4")),
        st.sampled_from((b"", b";q=1", b";q=0", b"; q=0.5", b";Q=0.001", b";q=1.5", b";q=x", b";x=y;q=0.7")),
    ).map(b"".join),
    max_size=4,
).map(b", ".join)
_keyed = st.one_of(
    st.tuples(st.sampled_from((b"If-None-Match", b"if-none-match", b"IF-NONE-MATCH")), _tag_lists),
    st.tuples(st.sampled_from((b"Accept-Encoding", b"accept-encoding", b"aCCEPT-eNCODING")), _codings),
    st.tuples(
        st.sampled_from((b"Origin", b"origin")),
        st.sampled_from((PAGES.encode(), b"HTTPS://PAGE.example", b"https://evil.example", b"null", b"", b"*")),
    ),
    st.tuples(
        st.sampled_from((b"Connection", b"connection")),
        st.sampled_from(
            (b"keep-alive", b"close", b"Close", b"upgrade", b"close, x", b"TE,close", b"keep-alive, Upgrade", b"")
        ),
    ),
    st.tuples(
        st.sampled_from((b"Accept", b"accept")),
        st.sampled_from(
            (b"*/*", b"text/event-stream", b"a, b;q=0", b"text/event-stream;q=0, */*", b"x/y, Text/Event-Stream")
        ),
    ),
    st.tuples(
        st.sampled_from((b"Prefer", b"prefer")), st.sampled_from((b"wait=1", b"wait=0", b"wait=x", b"respond-async"))
    ),
    st.tuples(
        st.sampled_from((b"A-IM", b"a-im")),
        st.sampled_from((b"json-patch", b"gzip", b"livefeed-splices", b"json-patch;q=0, livefeed-splices, json-patch")),
    ),
)
_others = st.sampled_from(
    (
        (b"User-Agent", b"Mozilla/5.0 (X11; Linux x86_64)"),
        (b"Cookie", b"a=b; c=d"),
        (b"Sec-Fetch-Mode", b"cors"),
        (b"Referer", b"https://page.example/a?b=c"),
        (b"X-Forwarded-For", b"10.0.0.1"),
        (b"Authorization", b"Basic Og=="),
        (b"Range", b"bytes=0-1"),
        (b"If-Modified-Since", b"Sat, 29 Oct 1994 19:43:31 GMT"),
        (b"Cache-Control", b"no-cache"),
        (b"Acceptable", b"x"),
        (b"Host-Not", b"x"),
        (b"Tea", b"x"),
        (b"TE", b"trailers"),
        (b"te", b"trailers, deflate;q=0.5"),
        (b"Y" * 128, b"x"),
        (b"X-Empty", b""),
        (b"X-Text", b"\xe4\xff \t\x80"),
    )
)
_bad_fields = st.sampled_from(
    (
        (b"Content-Length", b"0"),
        (b"Content-Length", b"3"),
        (b"content-length", b"-1"),
        (b"Content-Length", b"9" * 30),
        (b"Transfer-Encoding", b"chunked"),
        (b"Transfer-Encoding", b"identity"),
        (b"transfer-encoding", b"gzip, chunked"),
        (b"Expect", b"100-continue"),
        (b"Trailer", b"X"),
        (b"Upgrade", b"websocket"),
        (b"upgrade", b"h2c, WebSocket"),
        (b"If-Match", b"*"),
        (b"if-match", b'"other"'),
        (b"Y" * 129, b"x"),
        (b"Z" * 600, b"x"),
        (b"Content-Length ", b"3"),
        (b"X-Control", b"a\x01b"),
        (b"X-Null", b"a\0b"),
        (b"X-Del", b"\x7f"),
        (b"X-CR", b"a\rb"),
        (b"X-LF", b"a\nb"),
        (b"X-Folded", b"a\r\n b"),
        (b"X-Folded", b"a\r\n\tb"),
        (b"X-Smuggled", b"a\nContent-Length: 3"),
        (b"", b"nameless"),
        (b"(X)", b"x"),
        (b"X\xe4", b"x"),
        (b"X\tY", b"x"),
        (b"!#$%&'*+-.^_`|~", b"x"),
        (b"_", b"x"),
        (b"1", b"x"),
        (b"X-Long", b"y" * 9000),
        (b"X-Longer", b"y" * 17_000),
    )
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Gives a request, most often one that could be answered by replay."""
    kind = draw(st.sampled_from(("plain",) * 5 + ("fields",) * 5 + ("hostile", "hostile", "upgrade", "noise")))
    if kind == "plain":
        return draw(st.sampled_from((GET, GET.replace(b"GET", b"HEAD"))))
    if kind == "upgrade":
        return draw(st.sampled_from((HANDSHAKE, HANDSHAKE[:-2], HANDSHAKE + PING_FRAME + CLOSE_FRAME, HANDSHAKE + GET)))
    if kind == "noise":
        return draw(st.sampled_from((b"\r\n", b"\r\n\r\n", b"\n", b"G", b"\0", b"0\r\n\r\n", b"abc", GET[:-2])))
    fields = draw(st.lists(_keyed, max_size=3))
    fields += draw(st.lists(_others, max_size=2))
    if kind == "fields":
        return get(
            *(b"%s: %s" % pair for pair in dict(fields).items()),
            target=draw(st.sampled_from((b"/feed", b"/feed.json"))),
        )
    if kind == "hostile":
        fields += draw(st.lists(_bad_fields, min_size=1, max_size=2))
    if draw(st.integers(0, 15)) == 7:
        fields += [(b"X-Many", b"%d" % number) for number in range(draw(st.sampled_from((95, 98, 99, 100, 101))))]
    lines = [
        b"%s%s%s"
        % (
            name,
            draw(
                _often(b": ", b":", seldom=(b" : ", b":\t ")),
            ),
            value,
        )
        for name, value in fields
    ]
    lines.insert(draw(st.integers(0, len(lines))), draw(_hosts))
    line = b" ".join((draw(_methods), draw(_targets), draw(_versions)))
    end = draw(_often(b"\r\n", seldom=(b"\n", b"\r", b" \r\n", b"\r\r\n")))
    request = end.join((line, *lines, b"", b""))
    if draw(st.integers(0, 7)) == 5:
        place = draw(st.integers(0, len(request)))
        request = request[:place] + draw(st.binary(max_size=3)) + request[place + draw(st.integers(0, 2)) :]
    return request + draw(_often(b"", seldom=(b"abc", b"3\r\nabc\r\n0\r\n\r\n", GET)))


@dataclass(frozen=True)
class Play:
    """The actions of a client: the segments that it sends, again and again, and the events meanwhile.

    :ivar segments: each is one write of the client's.
    :ivar events: by the number of the segment they come before: a publication, a failed pull, a second that passes.
    :ivar times: how often the whole is done, each time on a new connection.
    :ivar half_closes: whether the client says that it sends no more.
    """

    segments: tuple[bytes, ...]
    events: tuple[tuple[int, str], ...] = ()
    times: int = 3
    half_closes: bool = False


@st.composite
def plays(draw: st.DrawFn) -> Play:
    """Gives requests, one to a segment or pipelined, cut at random places."""
    segments = [b""]
    for request in draw(st.lists(requests(), min_size=1, max_size=5)):
        if draw(st.integers(0, 7)) == 5:
            segments[-1] += request
        else:
            segments.append(request)
    pieces: list[bytes] = []
    for segment in segments:
        cuts = draw(st.lists(st.integers(0, len(segment)), max_size=2)) if draw(st.integers(0, 7)) == 5 else []
        pieces += [segment[start:end] for start, end in pairwise([0, *sorted(cuts), len(segment)])]
    sent = tuple(piece for piece in pieces if piece)
    times = draw(st.integers(2, 4))
    happenings = st.tuples(
        st.integers(0, len(sent) * times),
        st.sampled_from(("same", "other", "stale", "expired", "held", "withdrawn", "second")),
    )
    return Play(sent, tuple(draw(st.lists(happenings, max_size=2))), times, draw(st.booleans()))


def whole(*requests: bytes, times: int = 3, half_closes: bool = False) -> Play:
    """Gives a play in which each request is one segment, and nothing happens meanwhile."""
    return Play(requests, (), times, half_closes)


def get(*lines: bytes, target: bytes = b"/feed", method: bytes = b"GET") -> bytes:
    """Gives a plain request with these fields, besides Host."""
    return b"".join(
        (method, b" ", target, b" HTTP/1.1\r\n", HOST, *(line + b"\r\n" for line in lines), b"\r\n"),
    )


# Where it is sent


@dataclass(slots=True)
class PublishedFeed:
    """A feed, served on each of the transports from one reactor."""

    reactor: DrivenReactor = field(default_factory=DrivenReactor)
    directory: str = field(default_factory=tempfile.mkdtemp)
    paths: list[str] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)
    feeds: list[published_feed.PublishedFeed] = field(default_factory=list)
    ports: list[Any] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    document: int = 0

    def __enter__(self) -> Self:
        for name, listening in (
            ("fast", make_pool(self.reactor)),
            ("twisted", self.reactor),
            ("reference", self.reactor),
        ):
            # One each, since those that wait count as one subscriber or as several.
            made = make_site(clock=self.reactor, origins=[PAGES])
            if name == "reference":
                refer_to_twisted(made.site)
            self.feeds += made.published
            self.sites.append(made.site)
            self.paths.append(str(Path(self.directory) / name))
            self.ports.append(listening.listenUNIX(self.paths[-1], made.site))
        self.happen("same")
        return self

    def __exit__(self, *details: object) -> None:
        for client in self.clients:
            client.close()
        for port in self.ports:
            port.stopListening()
        self.reactor.settle()
        self.reactor.advance(5)
        self.reactor.close()
        shutil.rmtree(self.directory)

    def happen(self, event: str) -> None:
        """Lets something happen that both transports have to notice."""
        if event == "second":
            self.reactor.advance(1)
            return
        self.document ^= event == "other"
        for each in self.feeds:
            each.feed.gone_after_s = 0.0 if event == "expired" else inf
            each.feed.decide(State(event) if event in ("held", "withdrawn") else None)
            if event in ("stale", "expired"):
                each.feed.mark_stale()
            else:
                publish(each.feed, DOCUMENTS[self.document])

    def connect(self) -> list[Client]:
        """Gives a client of each transport."""
        clients = []
        for path in self.paths:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(path)
            clients.append(Client(sock))
        self.clients += clients
        settle(self.reactor, *clients)
        return clients

    def counts(self) -> list[Counter[Any]]:
        """Gives the counts of each site."""
        for site in self.sites:
            site.forget_answers()
        return [site.counts() for site in self.sites]


_DATE = re.compile(rb"\r\nDate: [A-Z][a-z]{2}, [0-9A-Za-z: ]+ GMT\r\n")
# At the beginning of a stream, or in place of one. The end of a stream is the same on both.
_RETRY = re.compile(rb"(\r\n\r\n(?:[0-9a-f]+\r\n)?)retry: [6-9][0-9]{3}\n")
# The close frame of a WebSocket without a subprotocol, whose code is a slot by chance.
_AWAY = re.compile(
    rb"\x88[\x00-\x7d]..the document (?:has expired|is withdrawn); see [a-z/-]+; come back in [0-9]+ ms", re.DOTALL
)


def masked(answers: bytes) -> bytes:
    """Removes the known differences."""
    return _AWAY.sub(b"\x88", _RETRY.sub(rb"\1retry: -\n", _DATE.sub(b"\r\nDate: -\r\n", answers)))


# Answered alike where there is no document, but for those that ask for something else.
NOTHING = (
    GET,
    get(b"If-None-Match: " + ETAGS[0]),
    get(b"Prefer: wait=9", b"A-IM: json-patch", b"Accept-Encoding: gzip"),
    get(b"Accept: text/event-stream;q=0, */*", b"Origin: " + PAGES.encode()),
    get(target=b"/feed/votes"),
    get(method=b"HEAD"),
    get(b"If-Match: *"),
    get(b"Connection: close"),
)

# A client leaves while its request waits, and there is a new version a moment later.
WAITING = Play(
    segments=(GET, GET, GET, GET, get(b'If-None-Match: "%s"' % version_of(DOCUMENTS[0]).encode(), b"Prefer: wait=1")),
    events=((5, "other"),),
    times=2,
    half_closes=False,
)


# Fields that are longer than the part that is read.
LONG = (
    get(b"Accept-Encoding: " + b"," * 15_000),
    get(b"Accept-Encoding: gzip" + b"," * 63),
    get(b"Accept-Encoding: gzip" + b"," * 64),
    get(b"Accept-Encoding: gzip" + b";" * 15_000),
    get(b"Accept: " + b"a/b;q=0.5," * 1_000 + b"text/event-stream"),
    get(b"If-None-Match: " + b'"x",' * 63 + ETAGS[0]),
    get(b"If-None-Match: " + b'"x",' * 64 + ETAGS[0]),
    get(b"If-None-Match: " + b'"",' * 5_000),
    get(b"If-None-Match: " + b"," * 15_000 + ETAGS[0]),
    get(b"If-Match: " + b'"x",' * 64 + ETAGS[0]),
    get(b"Prefer: " + b"x," * 7_000 + b"wait=1", b"If-None-Match: *"),
    get(b"A-IM: " + b"x," * 7_000 + b"json-patch"),
    get(*(b"X-%d: y" % number for number in range(99))),
    get(b"Connection: " + b"x," * 7_000 + b"close"),
    get(*(b"If-None-Match: " + ETAGS[0] for _ in range(400))),
)
FAR = (
    b"/feed?" + b"%41=%41&" * 1_800,
    b"/feed.sse?" + b"x=&" * 64 + b"delta=1",
    b"/feed/votes" + b"/" * 15_000,
    b"/feed" + b"/a" * 7_000,
    b"/feed/" + b"%2F" * 5_000,
    b"http://localhost" + b"/a" * 7_000,
)


class TransportsAgreeTests(SynchronousTestCase):
    """Both transports in one process and on one clock, so that only the transports differ."""

    def perform(self, play: Play) -> tuple[int, list[Counter[Any]]]:
        """Fails unless the two transports answer alike; gives the number of replayed answers, and the counts."""
        events: dict[int, list[str]] = {}
        for number, event in play.events:
            events.setdefault(number, []).append(event)
        number = 0
        with PublishedFeed() as served:
            for _ in range(play.times):
                clients = served.connect()
                for segment in play.segments:
                    for event in events.get(number, ()):
                        served.happen(event)
                    if len(segment) > READ_BYTES:
                        # The fast transport reads it in pieces: an event that is not over would come between these.
                        settle(served.reactor, *clients)
                    number += 1
                    for client in clients:
                        client.send(segment)
                    settle(served.reactor, *clients)
                    self.assert_agree(clients, segment)
                if play.half_closes:
                    for client in clients:
                        client.sock.shutdown(socket.SHUT_WR)
                    settle(served.reactor, *clients)
                    self.assert_agree(clients, b"")
                for client in clients:
                    client.close()
                served.reactor.settle()
            fast, twisted, reference = served.counts()
            self.assertEqual(fast, reference)
            self.assertEqual(twisted, reference)
            replayed = [sum(site.replays[False].counts().values()) for site in served.sites]
            self.assertEqual(replayed[1:], [0, 0])
        self.assertEqual(self.flushLoggedErrors(), [])
        return replayed[0], [fast, twisted]

    def assert_agree(self, clients: list[Client], segment: bytes) -> None:
        fast, twisted, reference = clients
        for each in (twisted, fast):
            self.assertEqual((segment, masked(each.received)), (segment, masked(reference.received)))
            self.assertEqual((segment, each.ended), (segment, reference.ended))

    @given(plays())
    @settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @example(WAITING)
    @example(whole(GET, GET))
    @example(whole(GET * 3, GET))
    @example(whole(GET, get(b"Y" * 129 + b": x")))
    @example(whole(GET, get(b"Y" * 128 + b": x")))
    @example(whole(GET, b"\r\n", GET, b"\r\n", GET))
    @example(whole(GET, b"\r\n" + GET))
    @example(whole(GET, get(b"Host: localhost")))
    @example(whole(GET, GET.replace(b"Host: localhost", b"Host: a b")))
    @example(whole(GET, GET.replace(b"Host: localhost\r\n", b"")))
    @example(whole(GET, GET.replace(b"\r\n", b"\n")))
    @example(whole(GET, get(b"X: a\nb")))
    @example(whole(GET, get(b"X: a\0b")))
    @example(whole(GET, get(b"X: a\r\n b")))
    @example(whole(GET, get(b"X : a")))
    @example(whole(GET, GET.replace(b"1.1", b"1.0")))
    @example(whole(GET, get(target=b"http://localhost/feed")))
    @example(whole(get(b"Connection: close")))
    @example(whole(GET, get(b"Connection: close"), GET))
    @example(whole(get(b"Connection: TE,close"), GET))
    @example(whole(GET, get(b"If-Match: *"), get(b'If-Match: "other"'), get(b"If-Match: " + ETAGS[0])))
    @example(whole(GET, get(method=b"HEAD"), GET.replace(b"GET", b"HEAD").replace(HOST, b"")))
    @example(whole(GET, get(target=b"/" + b"x" * 17_000)))
    @example(whole(GET, get(method=b"HEAD", target=b"/" + b"x" * 17_000)))
    @example(whole(GET, get(b"Transfer-Encoding: identity")))
    @example(whole(GET, get(target=b"http://user@localhost/feed")))
    @example(whole(GET, HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0")))
    @example(whole(get(b"Accept-Encoding: gzip"), get(b"Accept-Encoding: gzip", b"Accept-Encoding: identity")))
    @example(whole(GET, get(b"Content-Length: 3") + b"abc"))
    @example(whole(GET, get(b"Content-Length: 0"), GET))
    @example(whole(GET, get(b"Transfer-Encoding: chunked") + b"0\r\n\r\n", GET))
    @example(whole(GET, get(b"Expect: 100-continue"), GET))
    @example(whole(GET, HANDSHAKE, PING_FRAME, CLOSE_FRAME))
    @example(whole(GET, HANDSHAKE + PING_FRAME))
    @example(whole(GET, get(*(b"X: %d" % n for n in range(99))), get(*(b"X: %d" % n for n in range(100)))))
    @example(whole(GET, get(b"X: " + b"a" * 17_000)))
    @example(whole(GET, get(b"X: " + b"a" * 16_000), GET))
    @example(whole(GET, get(method=b"HEAD"), get(method=b"OPTIONS"), get(method=b"POST")))
    @example(whole(*(get(method=b"OPTIONS", target=target) for target in (b"/feed.ws", b"/feed.ws/votes"))))
    @example(whole(GET, *LONG))
    @example(whole(get(b"Accept-Encoding: gzip"), *LONG))
    @example(whole(*(get(target=target, method=method) for target in FAR for method in (b"GET", b"HEAD"))))
    @example(
        whole(get(b"If-None-Match: " + ETAGS[0]), GET, get(b"If-None-Match: W/" + ETAGS[0]), get(b"If-None-Match: *"))
    )
    @example(whole(get(b"If-None-Match: " + ETAGS[1], b"Accept-Encoding: gzip")))
    @example(whole(get(b"Origin: " + PAGES.encode()), GET, get(b"Origin: null")))
    @example(Play((GET, GET), ((1, "other"), (2, "stale"), (3, "second")), 3))
    @example(Play((GET, get(b"Accept: text/event-stream")), ((0, "expired"),)))
    @example(Play((*NOTHING, *NOTHING), ((1, "expired"), (17, "second"), (30, "same")), 3))
    @example(Play((*NOTHING, *NOTHING), ((0, "expired"), (17, "stale"), (30, "other")), 3, half_closes=True))
    @example(Play((HANDSHAKE, GET), ((1, "expired"), (3, "expired")), 4))
    @example(Play((*NOTHING, *NOTHING), ((0, "withdrawn"), (17, "held"), (30, "other")), 3))
    @example(whole(GET[:10], GET[10:], GET, GET[:-1], GET[-1:]))
    @example(whole(GET, half_closes=True))
    @example(whole(GET, GET[:-3], half_closes=True))
    def test_same_bytes_are_answered_the_same(self, play: Play) -> None:
        """Both transports answer the same bytes alike, for any cuts, and after any earlier answers and events."""
        self.perform(play)

    def test_replay_takes_part(self) -> None:
        """A repeated request is replayed, and counted as if its answer had been rendered."""
        replayed, (counts, _) = self.perform(whole(GET, get(b"User-Agent: x"), get(b"If-None-Match: *"), times=4))
        self.assertEqual(replayed, 10)
        self.assertEqual(counts, {(200, "http", "identity"): 8, (304, "http", "identity"): 4})

    def test_replay_takes_part_where_there_is_nothing(self) -> None:
        """The 410 answers are replayed, for any version that a client has and any coding, until a document returns."""
        asked = (GET, get(b"If-None-Match: *"), get(b"Prefer: wait=9", b"A-IM: json-patch", b"Accept-Encoding: gzip"))
        replayed, (counts, _) = self.perform(Play(asked, ((0, "expired"), (9, "same")), times=4))
        self.assertEqual(replayed, 8)
        self.assertEqual((counts[410, "http", "identity"], sum(counts.values())), (9, 12))

    def test_generated_requests_are_replayed(self) -> None:
        """The property above would prove nothing if hardly any request met an answer to be repeated."""
        replayed = []

        @given(plays())
        @settings(deadline=None, max_examples=50, database=None, derandomize=True)
        def count(play: Play) -> None:
            replayed.append(self.perform(play)[0])

        count()
        self.assertGreater(sum(replayed), len(replayed) / 2)
        self.assertGreater(sum(each > 0 for each in replayed), len(replayed) / 5)


# Requests that wait, of several clients at a time

COUNT = 4
PAUSE_BYTES = 16_000
"""A client that sent more while it waits may not be read any further."""
_KNOWN = tuple(b"If-None-Match: " + tag for tag in ETAGS)
LONGEST_WAIT_S = 3
_WAITS = (
    *(get(known, b"Prefer: wait=%d" % wait_s) for known in _KNOWN[::2] for wait_s in (1, 1, 1, 3)),
    get(b"If-None-Match: " + b", ".join(ETAGS[::2]), b"Prefer: wait=3"),
    get(b"If-None-Match: *", b"Prefer: wait=1"),
    get(_KNOWN[0], b"Prefer: wait=1", b"User-Agent: x"),
    get(_KNOWN[0], b"Prefer: wait=1", b"Connection: close"),
    get(_KNOWN[0], b"Prefer: wait=1", method=b"HEAD"),
    get(_KNOWN[1], b"Prefer: wait=1", b"Accept-Encoding: gzip"),
    get(b'If-None-Match: "%s"' % version_of(b"1.50").encode(), b"Prefer: wait=1", target=b"/feed/votes/0"),
)
# Requests that wait together with the first of these, since none of these differences changes an answer.
_TOGETHER = (
    get(_KNOWN[0], b"Prefer: wait=1"),
    get(b"If-None-Match:  W/" + ETAGS[0] + b" , ", b"Prefer: respond-async,wait = 1"),
    get(_KNOWN[0], b'Prefer: wait="1", wait=3', b"Accept: */*", b"Origin: https://elsewhere.example"),
    get(_KNOWN[0], b"Prefer: wait=1", b"Accept-Encoding: br;q=0, *;q=0", b"Connection: keep-alive", b"Origin: null"),
    get(_KNOWN[0], b"Prefer: wait=1", b"A-IM: feed", b"Accept-Encoding: deflate", b"Cookie: x", target=b"/feed?_=1"),
)
# Requests that do not wait with these, but with each other: a patch or a permission makes another answer.
_APART = (
    (
        get(_KNOWN[0], b"Prefer: wait=1", b"Accept-Encoding: gzip, br"),
        get(_KNOWN[0], b"Prefer: wait=1", b"Accept-Encoding: br;q=0.3, x-gzip;q=.3, GZIP;q=0.3, zstd;q=0"),
    ),
    (
        get(_KNOWN[0], b"Prefer: wait=1", b"Accept-Encoding: gzip;q=0.5, br"),
        get(_KNOWN[0], b"Prefer: wait=1", b"Accept-Encoding: br;q=0.9, gzip;q=0.1, identity;q=0.1"),
    ),
    (
        get(_KNOWN[0], b"Prefer: wait=1", b"A-IM: json-patch"),
        get(_KNOWN[0], b"Prefer: wait=1", b"A-IM: feed, json-patch;q=0.1", b"Origin: https://elsewhere.example"),
    ),
    (
        get(_KNOWN[0], b"Prefer: wait=1", b"A-IM: livefeed-splices"),
        get(_KNOWN[0], b"Prefer: wait=1", b"A-IM: livefeed-splices;q=0.1, json-patch"),
    ),
    (
        get(_KNOWN[0], b"Prefer: wait=1", b"Origin: " + PAGES.encode()),
        get(_KNOWN[0], b"Prefer: wait=1", b"origin:" + PAGES.encode(), b"Accept: text/html"),
    ),
    (
        get(b"If-None-Match: *", b"Prefer: wait=1"),
        get(b"If-None-Match:* ", b"Prefer: wait=1", b"Accept: application/json"),
    ),
    (
        get(_KNOWN[0], b"Prefer: wait=1", b"Connection: close"),
        get(_KNOWN[0], b"Prefer: wait=1", b"Connection: close", b"Accept: x/y"),
    ),
)
_VARIANTS = (*_TOGETHER, *(each for pair in _APART for each in pair))
_STREAM = get(target=b"/feed.sse")
_PIPELINED = (GET, _WAITS[0] + GET, GET[:20], GET[20:], b"\r\n", get(b"X: " + b"x" * 16_000), HANDSHAKE)

Step = tuple[str, int, bytes]
"""The action, the client, and the bytes that it sends."""

_steps = st.one_of(
    *[st.tuples(st.just("send"), st.integers(0, COUNT - 1), st.sampled_from(_WAITS))] * 4,
    *[st.tuples(st.just("send"), st.integers(0, COUNT - 1), st.sampled_from(_VARIANTS))] * 3,
    st.tuples(st.just("send"), st.integers(0, COUNT - 1), st.sampled_from((*_PIPELINED, _STREAM))),
    st.tuples(st.sampled_from(("half", "leave", "reset")), st.integers(0, COUNT - 1), st.just(b"")),
    st.tuples(
        st.sampled_from(
            ("second", "second", "other", "other", "same", "stale", "expired", "held", "withdrawn", "stop")
        ),
        st.just(0),
        st.just(b""),
    ),
)


def _all(*sent: bytes) -> list[Step]:
    """All clients send the same."""
    return [("send", client, each) for each in sent for client in range(COUNT)]


def _each(requests: Iterable[bytes]) -> list[Step]:
    """Each client sends one of these, and the first of them another one if there are more."""
    return [("send", number % COUNT, request) for number, request in enumerate(requests)]


SECOND: Step = ("second", 0, b"")
OTHER: Step = ("other", 0, b"")
BIG: Step = ("send", 1, get(b"X: " + b"x" * 16_000))


class WaitingTogetherTests(SynchronousTestCase):
    """Several clients of each transport, most of which wait for the same."""

    def perform(self, steps: list[Step], limit: int = 0) -> int:
        """Fails unless each client is answered alike on both transports; gives how many were let into rooms."""
        joined = 0
        join = Room.join

        def count(room: Room, connection: Any) -> bool:
            nonlocal joined
            let_in = join(room, connection)
            joined += let_in
            return let_in

        with PublishedFeed() as where, patch.object(Room, "join", count):
            for each in where.feeds:
                each.max_subscribers = limit
            pairs = [where.connect() for _ in range(COUNT)]
            sent_bytes = [0] * COUNT
            # While reading is paused, Twisted's reactor does not notice that a client has gone: the answer is still
            # rendered and counted. epoll tells livefeed's pool at once.
            unread_leave = False
            for step in steps:
                sent_bytes[step[1]] += len(step[2])
                unread_leave |= step[0] in ("leave", "reset") and sent_bytes[step[1]] > PAUSE_BYTES
                self.take(step, where, pairs)
                for first, *others in pairs:
                    if first.sock.fileno() >= 0:
                        for other in others:
                            self.assertEqual((step, masked(first.received)), (step, masked(other.received)))
                            self.assertEqual((step, first.ended), (step, other.ended))
                followers = [
                    Counter(dict(enumerate(delivery.followers() for delivery in each))) for each in where.feeds
                ]
                self.agree(step, *followers, unread_leave=unread_leave)
            for pair in pairs:
                for client in pair:
                    client.close()
            unread_leave |= max(sent_bytes) > PAUSE_BYTES
            where.reactor.advance(LONGEST_WAIT_S if unread_leave else 1)
            self.assertEqual([each.delivery.polls.count() for each in where.feeds], [0, 0, 0])
            self.assertEqual([len(site.replays[False].rooms) for site in where.sites], [0, 0, 0])
            self.agree("end", *where.counts(), unread_leave=unread_leave)
        self.assertEqual(self.flushLoggedErrors(), [])
        return joined

    def agree(self, when: object, fast: Counter[Any], *others: Counter[Any], unread_leave: bool) -> None:
        """Fails unless all count the same, or Twisted's transport more where it may not know that a client left."""
        for twisted in others:
            if not (unread_leave and fast <= twisted):
                self.assertEqual((when, fast), (when, twisted))

    def take(self, step: Step, where: PublishedFeed, pairs: list[list[Client]]) -> None:
        """Lets one thing be done."""
        what, number, sent = step
        there = [client for pair in pairs for client in pair if client.sock.fileno() >= 0]
        for client in pairs[number] if pairs[number][0] in there else []:
            if what == "send":
                client.send(sent)
            elif what == "half":
                with contextlib.suppress(OSError):
                    client.sock.shutdown(socket.SHUT_WR)
            elif what == "leave":
                client.close()
            elif what == "reset":
                client.reset()
        if what == "stop":
            for each in where.feeds:
                each.let_go(ReconnectSlots())
        elif what in ("second", "other", "same", "stale", "expired", "held", "withdrawn"):
            where.happen(what)
        settle(where.reactor, *(client for client in there if client.sock.fileno() >= 0))

    @given(st.lists(_steps, min_size=3, max_size=30), st.sampled_from((0, 0, 0, 2)))
    @settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @example([*_all(_WAITS[0]), OTHER], 0)
    @example([*_all(_WAITS[0]), OTHER], 2)
    @example([*_all(_WAITS[0]), ("expired", 0, b""), *_all(_WAITS[0], GET), SECOND, OTHER, *_all(GET)], 0)
    @example([*_all(_WAITS[0]), ("withdrawn", 0, b""), *_all(_WAITS[0], GET), SECOND, OTHER, *_all(GET)], 0)
    @example([*_all(_WAITS[0]), SECOND], 0)
    @example([*_all(_WAITS[0])[:2], *_all(_WAITS[3])[2:], SECOND, SECOND, *_all(GET), SECOND, OTHER], 0)
    @example([*_all(_WAITS[0])[:2], ("half", 0, b""), ("half", 1, b""), OTHER], 0)
    @example([*_all(_WAITS[0]), *[(what, 0, b"") for what in ("leave", "other")]], 0)
    @example([*_all(_WAITS[0]), *[(what, 1, b"") for what in ("reset", "second")]], 0)
    @example([*_all(_WAITS[0], GET), OTHER], 0)
    @example([*_all(_WAITS[0]), BIG, BIG, BIG, OTHER], 0)
    @example([*_all(_WAITS[0]), BIG, BIG, ("half", 1, b""), OTHER], 0)
    @example([*_all(_WAITS[0]), BIG, BIG], 0)
    @example([*_all(_WAITS[0]), BIG, BIG, ("leave", 1, b""), OTHER], 0)
    @example([*_all(_WAITS[0], GET[:20]), OTHER, *_all(GET[20:]), ("half", 2, b"")], 0)
    @example([*_all(_WAITS[0], GET), ("half", 2, b""), ("half", 0, b"")], 0)
    @example([*_all(_WAITS[0], HANDSHAKE), OTHER], 0)
    @example([*_all(_WAITS[0]), ("stop", 0, b""), *_all(_WAITS[0])], 0)
    @example([*_all(_WAITS[0], GET), ("stop", 0, b""), SECOND, *_all(GET)], 0)
    @example([*_all(_STREAM), OTHER, SECOND, ("stop", 0, b""), *_all(_STREAM)], 0)
    @example([*_all(_STREAM)[:2], *_all(_WAITS[0])[2:], ("stop", 0, b""), SECOND], 0)
    @example([*_all(_WAITS[-4]), OTHER], 0)
    @example([*_all(HANDSHAKE), SECOND, ("expired", 0, b"")], 0)
    @example([*_all(_WAITS[-1]), OTHER, SECOND], 0)
    @example([*_each(_TOGETHER), OTHER, *_each(_TOGETHER)], 0)
    @example([*_each(_TOGETHER[::-1]), ("half", 1, b""), SECOND, *_each(_TOGETHER)], 0)
    @example([*_each(_TOGETHER), ("leave", 0, b""), ("stop", 0, b"")], 0)
    @example([*[step for pair in _APART[:2] for step in _each(pair * 2)], OTHER, SECOND], 0)
    @example([*_each(_APART[0] + _APART[1]), OTHER], 0)
    @example([*_each(_APART[2] + _APART[3]), OTHER], 0)
    @example([*_each(_APART[4] + _APART[5]), OTHER, *_each(_APART[4] + _APART[5])], 0)
    def test_each_is_answered_as_if_alone(self, steps: list[Step], limit: int) -> None:
        """Each member of the room is answered and counted as if it were alone, whatever any member sends meanwhile."""
        self.perform(steps, limit)

    def test_requests_wait_together(self) -> None:
        """The property above would prove nothing if each client waited alone."""
        self.assertEqual(self.perform([*_all(_WAITS[0]), OTHER, *_all(_WAITS[4]), SECOND]), 2 * (COUNT - 1))

    def test_what_differs_in_nothing_that_matters_waits_together(self) -> None:
        """Requests with the same meaning wait together, in any spelling and order, and with irrelevant fields."""
        for first in range(len(_TOGETHER)):
            in_turn = (*_TOGETHER[first:], *_TOGETHER[:first])
            self.assertEqual(self.perform([*_each(in_turn[:COUNT]), OTHER]), COUNT - 1)
        for pair, others in pairwise(_APART):
            self.assertEqual(self.perform([*_each(pair + others), OTHER, SECOND]), 2)
        for _, other in _APART:
            self.assertEqual(self.perform([*_each((_TOGETHER[0], other, _TOGETHER[2])), OTHER, SECOND]), 1)


# The same over real TLS, between processes

LAST = get(b"Connection: close")
_DIFFERENT = re.compile(rb"\r\n(Date|Livefeed-At|Livefeed-Age|Livefeed-Next|Livefeed-Sequence|retry): [^\r\n]+")


@pytest.fixture(scope="module")
def servers(certificate: DevelopmentCertificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Livefeed]]:
    """A livefeed on each of the transports, with the same document."""
    document = tmp_path_factory.mktemp("agree") / "feed.json"
    replace_file(document, DOCUMENTS[0])
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                Livefeed(
                    *("--transport", transport, "--push", "change", "--source", f"file:{document}"),
                    *("--allow-origin", PAGES),
                    directory=tmp_path_factory.mktemp(transport),
                    certificate=certificate,
                )
            )
            for transport in ("fast", "twisted")
        ]


def answers(server: Livefeed, segments: Iterable[bytes]) -> bytes:
    """Sends segments, each in one TLS record or more, and a request that is the last; gives all that is answered."""
    with server.wire() as wire:
        # The server closes where it refuses, and then does not take the rest.
        with contextlib.suppress(OSError):
            for segment in segments:
                wire.send(segment)
            wire.send(LAST)
        return _DIFFERENT.sub(rb"\r\n\1: -", wire.rest())


def _ends_by_itself(play: Play) -> bool:
    """Tells whether a play ends soon: a WebSocket waits for its closing handshake, and events never end."""
    sent = b"".join(play.segments).lower()
    return not any(endless in sent for endless in (b"sec-websocket-key", b"event-stream", b"sse"))


class TestTransportsAgreeOverTls:
    """Two processes, as an operator starts them."""

    @given(plays().filter(_ends_by_itself))
    @settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @example(whole(GET, GET, GET * 3))
    @example(whole(get(b"Accept-Encoding: gzip"), get(b"If-None-Match: " + ETAGS[0]), get(method=b"HEAD")))
    @example(whole(GET, b"\r\n", GET, b"\r\n", GET))
    @example(whole(GET, HANDSHAKE, PING_FRAME, CLOSE_FRAME))
    @example(whole(GET, GET[:-1], GET[-1:], get(b"X: a\0b")))
    def test_same_bytes_are_answered_the_same(self, servers: list[Livefeed], play: Play) -> None:
        """The answers are equal at each repetition, except for times and the name of the process's counter."""
        for _ in range(play.times):
            fast, twisted = (answers(server, play.segments) for server in servers)
            assert fast.startswith(b"HTTP/1.")
            assert fast == twisted

    def test_requests_wait_together(self, certificate: DevelopmentCertificate, tmp_path: Path) -> None:
        """Each is answered once, with the next version, even if others leave, and continues on the same connection."""
        document = tmp_path / "feed.json"
        replace_file(document, DOCUMENTS[0])
        waits = [get(b"If-None-Match: " + ETAGS[number], b"Prefer: wait=50") for number in (0, 2)]
        with (
            Livefeed("--source", f"file:{document}", directory=tmp_path, certificate=certificate) as server,
            contextlib.ExitStack() as stack,
        ):
            wires = [stack.enter_context(server.wire()) for _ in range(40)]
            for number, wire in enumerate(wires):
                wire.send(GET)
                assert wire.response().body == DOCUMENTS[0]
                wire.send(waits[0] + (GET if number == 7 else b""))
                if number == 9:
                    wire.send(GET)
            wires.pop(3).sock.close()
            replace_file(document, DOCUMENTS[1])
            for wire in wires:
                first = wire.response()
                assert (first.body, first.headers["preference-applied"]) == (DOCUMENTS[1], "wait=50")
                wire.send(waits[1])
            replace_file(document, DOCUMENTS[0])
            for number, wire in enumerate(wires):
                if number in (6, 8):
                    # Requests that came while it waited are answered after it, and before the next one.
                    assert "preference-applied" not in wire.response().headers
                assert wire.response().body == DOCUMENTS[0]
