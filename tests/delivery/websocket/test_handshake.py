"""The opening handshake: accepted and refused requests, and negotiated extensions and subprotocols."""

from __future__ import annotations

import base64
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.websocket.framed import FramedSubscriber
from livefeed.delivery.websocket.handshake import AGREEMENTS, DELTA, DELTA_2, MAX_OFFERS_BYTES
from livefeed.document.codings import MAX_MEMBERS
from livefeed.document.snapshot import version_of
from livefeed.feed.state import State
from livefeed.testing import Response, publish, request
from livefeed.web.reconnect_slots import ReconnectSlots
from tests.helpers.guarded import protect
from tests.helpers.handshake_heads import KEY, head
from tests.helpers.transports import Transport
from tests.helpers.websocket_client import (
    FIRST,
    SECOND,
    THIRD,
    Client,
    WebSocketTestCase,
    text,
)

PATHS = (b"/feed.ws", b"/feed")
OFFERS = (
    b"permessage-deflate",
    b"permessage-deflate; client_max_window_bits",
    b"permessage-deflate; server_max_window_bits=15",
    b"permessage-deflate; server_max_window_bits=9",
    b"x-unknown",
    b"",
)


class HandshakeTests(WebSocketTestCase):
    FIELDS = (
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: " + base64.b64encode(b"0123456789abcdef"),
    )

    def handshake(self, *fields: bytes, without: bytes = b"-", line: bytes = b"GET /feed.ws HTTP/1.1") -> Response:
        kept = [field for field in self.FIELDS if not field.startswith(without)]
        return request(self.site, b"\n".join([line, *kept, *fields]))

    def test_server_that_is_stopped(self) -> None:
        """Each client is refused with a time of its own at which to come back, as all transports are."""
        self.factory.let_go(ReconnectSlots())
        response = self.handshake()
        self.assertEqual(response.status, 503)
        self.assertGreaterEqual(int(response.headers["retry-after"]), 0)
        self.assertEqual(self.feed.tally.refused, {"stopping": 1})

    def test_handshake_is_accepted(self) -> None:
        """The key is answered as RFC 6455, 1.3, has it; no unknown extension and no subprotocol is agreed on."""
        response = self.handshake(
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            b"Sec-WebSocket-Extensions: x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=10",
            b"Sec-WebSocket-Protocol: chat, chat",
            without=b"Sec-WebSocket-Key",
        )
        self.assertEqual(response.status, 101)
        self.assertEqual(response.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        self.assertEqual(response.headers["upgrade"].lower(), "websocket")
        self.assertEqual(response.headers["connection"].lower(), "upgrade")
        self.assertNotIn("sec-websocket-extensions", response.headers)
        self.assertNotIn("sec-websocket-protocol", response.headers)

    def test_deflate_is_agreed_on_where_it_can_be(self) -> None:
        """One frame is made for all, so neither side keeps a context, and no window is limited (RFC 7692, 7.1)."""
        for offer, accepted in (
            (b"permessage-deflate", True),
            (b"permessage-deflate; client_max_window_bits", True),
            (b"Permessage-Deflate;client_max_window_bits=10 ; server_no_context_takeover", True),
            (b"permessage-deflate; server_max_window_bits=9, permessage-deflate", True),
            (b"permessage-deflate; server_max_window_bits=9", False),
            (b"permessage-deflate; unknown", False),
            (b"permessage-deflate; client_no_context_takeover; client_no_context_takeover", False),
            (b"permessage-bzip2", False),
            (b"permessage-deflate; client_max_window_bits=15", True),
            (b'permessage-deflate; client_max_window_bits="8"', True),
            (b'permessage-deflate; client_max_window_bits="1\\0"', True),
            (b", permessage-deflate ,, x; y=z,", True),
            (b"permessage-deflate; client_max_window_bits=7", False),
            (b"permessage-deflate; client_max_window_bits=16", False),
            (b"permessage-deflate; client_max_window_bits=08", False),
            (b"permessage-deflate; client_max_window_bits=x", False),
            (b"permessage-deflate; client_max_window_bits; client_max_window_bits=9", False),
            (b"permessage-deflate; client_no_context_takeover=1", False),
            (b"permessage-deflate; server_no_context_takeover=true", False),
            (b"permessage-deflate; server_max_window_bits", False),
            (b"permessage-deflate; client_max_window_bits=99, permessage-deflate", True),
            (b"x-permessage-deflate", False),
        ):
            response = self.handshake(b"Sec-WebSocket-Extensions: " + offer)
            self.assertEqual(response.status, 101)
            agreed = response.headers.get("sec-websocket-extensions")
            expected = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            self.assertEqual((offer, agreed), (offer, expected if accepted else None))

    def test_window_that_limits_nothing_is_granted(self) -> None:
        """The answer names the window, as it must (RFC 7692, 7.1.2.1), and only if the accepted offer asks for it."""
        granted = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        whole = "permessage-deflate; server_no_context_takeover; server_max_window_bits=15; client_no_context_takeover"
        for offer, agreed in (
            # The defaults of Boost.Beast and wsproto.
            (b"permessage-deflate; server_max_window_bits=15; client_max_window_bits=15", whole),
            (b"permessage-deflate; client_max_window_bits=15; server_max_window_bits=15", whole),
            (b'permessage-deflate; server_max_window_bits = "15"', whole),
            (b"permessage-deflate; server_max_window_bits=14, permessage-deflate", granted),
            (b"permessage-deflate, permessage-deflate; server_max_window_bits=15", granted),
            *((b"permessage-deflate; server_max_window_bits=%d" % bits, None) for bits in (*range(15), 16, 115, 150)),
            (b"permessage-deflate; server_max_window_bits=15; server_max_window_bits=15", None),
            (b'permessage-deflate; server_max_window_bits="015"', None),
        ):
            response = self.handshake(b"Sec-WebSocket-Extensions: " + offer)
            self.assertEqual((offer, response.headers.get("sec-websocket-extensions")), (offer, agreed))

    def test_malformed_extensions_end_the_handshake(self) -> None:
        """RFC 6455, 9.1; nothing in quotes is taken for an offer."""
        for offers in (
            b" ,",
            b";,;=,",
            b"permessage-deflate;",
            b"permessage-deflate; ;",
            b"permessage-deflate; client_max_window_bits=",
            b'permessage-deflate; client_max_window_bits="',
            b'permessage-deflate; client_max_window_bits=""',
            b'permessage-deflate; client_max_window_bits="8',
            b'x; y=", permessage-deflate, "',
            b"permessage deflate",
            b"permessage-deflate/",
            b"\xff",
            b"x," * (MAX_OFFERS_BYTES // 2) + b"x",
        ):
            response = self.handshake(b"Sec-WebSocket-Extensions: " + offers)
            self.assertEqual((offers, response.status), (offers, 400))
        response = self.handshake(b"Sec-WebSocket-Extensions:")
        self.assertEqual((response.status, response.headers.get("sec-websocket-extensions")), (101, None))
        response = self.handshake(b"Sec-WebSocket-Extensions: x; y=z", b"Sec-WebSocket-Extensions: permessage-deflate")
        self.assertIn("sec-websocket-extensions", response.headers)

    def test_long_lists_of_offers(self) -> None:
        """An offer behind as many as are looked at is not taken up, nor is one with more parameters than that."""
        others, deflate = b"x," * (MAX_MEMBERS - 1), b"permessage-deflate"
        for offers, taken in (
            (others + deflate, True),
            (b"x," + others + deflate, False),
            (deflate + b"; x" * 300, False),
        ):
            response = self.handshake(b"Sec-WebSocket-Extensions: " + offers)
            self.assertEqual((offers, response.status), (offers, 101))
            self.assertEqual((offers, "sec-websocket-extensions" in response.headers), (offers, taken))
        for protocols, taken in ((others + DELTA.encode(), True), (b"x," + others + DELTA.encode(), False)):
            response = self.handshake(b"Sec-WebSocket-Protocol: " + protocols)
            self.assertEqual((protocols, "sec-websocket-protocol" in response.headers), (protocols, taken))

    def test_subprotocol_is_one_that_was_offered(self) -> None:
        """The name must match exactly, and the answer has it once; without an offer it has none (RFC 6455, 4.2.2)."""
        name = DELTA.encode()
        for offered, agreed in (
            (b"Sec-WebSocket-Protocol: other, " + name + b", chat", DELTA),
            (b"Sec-WebSocket-Protocol: other\nSec-WebSocket-Protocol: " + name, DELTA),
            # The first known one of the client's list is the one that it prefers (11.3.4).
            (b"Sec-WebSocket-Protocol: other, %s, %s" % (DELTA_2.encode(), name), DELTA_2),
            (b"Sec-WebSocket-Protocol: %s, %s" % (name, DELTA_2.encode()), DELTA),
            (b"Sec-WebSocket-Protocol: " + name.upper(), None),
            (b"Sec-WebSocket-Protocol: " + name + b".x", None),
            (b"X: y", None),
        ):
            response = self.handshake(offered)
            self.assertEqual(response.status, 101)
            self.assertEqual((offered, response.headers.get("sec-websocket-protocol")), (offered, agreed))

    def test_answer_to_a_handshake_has_no_length(self) -> None:
        """Nor is it chunked (RFC 9110, 8.6, and RFC 9112, 6.1)."""
        headers = self.handshake().headers
        self.assertEqual({"content-length", "transfer-encoding"} & {*headers}, set())

    def test_lists_and_other_cases_are_understood(self) -> None:
        """Firefox sends 'keep-alive, Upgrade'."""
        self.assertEqual(self.handshake(b"Connection: keep-alive, UPGRADE", without=b"Connection").status, 101)
        self.assertEqual(self.handshake(b"Upgrade: WebSocket", without=b"Upgrade").status, 101)

    def test_request_that_is_no_handshake_is_told_what_is(self) -> None:
        """RFC 9110, 15.5.22."""
        for response in (self.handshake(without=b"Upgrade"), self.handshake(b"Upgrade: h2c", without=b"Upgrade")):
            self.assertEqual(response.status, 426)
            self.assertEqual(response.headers["upgrade"], "websocket")
            self.assertEqual(response.headers["content-type"], "application/problem+json")

    def test_incomplete_handshakes_are_refused(self) -> None:
        """twisted.web refuses them itself, so that Autobahn never sees them."""
        for response in (
            self.handshake(without=b"Connection"),
            self.handshake(without=b"Sec-WebSocket-Key"),
            self.handshake(b"Sec-WebSocket-Key: c2hvcnQ=", without=b"Sec-WebSocket-Key"),
            self.handshake(b"Sec-WebSocket-Key: !" + b"a" * 23, without=b"Sec-WebSocket-Key"),
            self.handshake(self.FIELDS[3]),
            self.handshake(line=b"HEAD /feed HTTP/1.1"),
        ):
            self.assertEqual(response.status, 400)

    def test_upgrade_is_ignored_in_http_1_0(self) -> None:
        """RFC 9110, 7.8; and HTTP/1.0 knows no 1xx (15.2)."""
        publish(self.feed, FIRST)
        self.assertEqual(self.handshake(line=b"GET /feed.ws HTTP/1.0").status, 426)
        response = self.handshake(line=b"GET /feed HTTP/1.0")
        self.assertEqual((response.status, response.body), (200, FIRST))

    def test_other_versions_are_told_ours(self) -> None:
        """RFC 6455, 4.2.2."""
        for version in (b"8", b"14", b"13, 8", b"x"):
            response = self.handshake(b"Sec-WebSocket-Version: " + version, without=b"Sec-WebSocket-Version")
            self.assertEqual((response.status, response.headers["sec-websocket-version"]), (426, "13"))
        self.assertEqual(self.handshake(without=b"Sec-WebSocket-Version").status, 426)
        for first, second in ((b"8", b"13"), (b"13", b"8"), (b"13", b"13")):
            lines = (b"Sec-WebSocket-Version: " + first, b"Sec-WebSocket-Version: " + second)
            self.assertEqual(self.handshake(*lines, without=b"Sec-WebSocket-Version").status, 426)

    def test_wrong_method_and_content_are_refused(self) -> None:
        """A handshake is a GET without content."""
        response = self.handshake(line=b"POST /feed.ws HTTP/1.1")
        self.assertEqual((response.status, response.headers["allow"]), (405, "GET, OPTIONS"))
        self.assertEqual(self.handshake(b"Content-Length: 5").status, 413)

    def test_origin_is_checked(self) -> None:
        """Programs send none; pages must be of an allowed origin, or of this server (RFC 6455, 10.2)."""
        self.serve("https://a.example")
        self.assertEqual(self.handshake().status, 101)
        for origin, status in (
            (b"https://a.example", 101),
            (b"https://localhost", 101),
            (b"https://localhost:8443", 403),
            (b"https://evil.example", 403),
            (b"http://a.example", 403),
            (b"null", 403),
        ):
            self.assertEqual((origin, self.handshake(b"Origin: " + origin).status), (origin, status))
        self.assertEqual(self.feed.tally.refused, {"origin": 4})

    def test_origin_is_compared_with_the_target_that_is_absolute(self) -> None:
        """The origin is not compared with Host, which is ignored then (RFC 9112, 3.2.2)."""
        self.serve("https://a.example")
        line = b"GET https://b.example/feed.ws HTTP/1.1"
        for origin, status in ((b"https://b.example", 101), (b"https://localhost", 403)):
            self.assertEqual((origin, self.handshake(b"Origin: " + origin, line=line).status), (origin, status))

    def test_part_that_is_not_there_is_no_websocket(self) -> None:
        """Below /feed.ws are the parts of the document, and nothing else."""
        publish(self.feed, FIRST)
        self.assertEqual(self.handshake(line=b"GET /feed.ws/x HTTP/1.1").status, 404)

    def test_document_that_is_withdrawn(self) -> None:
        """A client whose subprotocol has states may open a WebSocket; others are refused, and not soon again."""
        publish(self.feed, FIRST)
        self.feed.decide(State.WITHDRAWN)
        refused = self.handshake()
        self.assertEqual((refused.status, refused.headers["livefeed-state"]), (410, "withdrawn"))
        self.assertEqual((refused.headers["cache-control"], "retry-after" in refused.headers), ("no-store", False))
        self.assertEqual(self.feed.tally.refused["withdrawn"], 1)
        self.assertEqual(self.handshake(b"Sec-WebSocket-Protocol: " + DELTA.encode()).status, 101)
        self.feed.decide(State.HELD)
        self.assertEqual(Client(self.site).receive(), [text(FIRST)])

    def test_document_that_is_too_old(self) -> None:
        """A client whose subprotocol has states may open a WebSocket; others are refused with 410."""
        self.feed.gone_after_s = 10
        publish(self.feed, FIRST)
        self.clock.advance(10)
        for line in (b"GET /feed.ws HTTP/1.1", b"GET /feed HTTP/1.1"):
            refused = self.handshake(line=line)
            told = refused.headers["livefeed-state"], refused.headers["retry-after"], refused.headers["cache-control"]
            self.assertEqual((refused.status, *told), (410, "expired", "1", "no-store"))
        self.assertEqual(self.handshake(b"Sec-WebSocket-Protocol: " + DELTA.encode()).status, 101)
        publish(self.feed, FIRST)
        self.assertEqual(Client(self.site).receive(), [text(FIRST)])


class QuickTestCase(WebSocketTestCase):
    """Handshakes that are accepted without twisted.web: answers, counts and subscribers are those of the long way."""

    def setUp(self) -> None:
        super().setUp()
        publish(self.feed, FIRST)
        self.teach()

    def teach(self) -> None:
        """Has each path learned from a first handshake."""
        for path in PATHS:
            self.slowly(head(line=b"GET %s HTTP/1.1" % path))

    def slowly(self, data: bytes) -> Transport:
        """Has twisted.web read a head."""
        transport = Transport()
        channel: Any = self.site.buildProtocol(None)
        transport.protocol = channel
        channel.makeConnection(transport)
        channel.dataReceived(data)
        return transport

    def quickly(self, data: bytes) -> Transport | None:
        """Accepts a handshake without twisted.web; gives ``None`` if it is left to that."""
        begun = self.site.upgrade(data, False)
        if begun is None:
            return None
        transport = Transport()
        protocol: Any
        protocol, begin = begun
        transport.protocol = protocol
        protocol.makeConnection(transport)
        begin(data)
        return transport

    def assert_same(self, data: bytes) -> None:
        """Both ways write the same bytes, count the same answers, and make subscribers that are sent the same."""
        before = Counter(self.site.counts())
        quick = self.quickly(data)
        between = Counter(self.site.counts())
        slow = self.slowly(data)
        assert quick is not None
        self.assertEqual(between - before, Counter(self.site.counts()) - between)
        for document in (SECOND, THIRD):
            self.assertEqual(quick.value(), slow.value())
            publish(self.feed, document)
        self.assertEqual(quick.value(), slow.value())
        for each in (quick, slow):
            self.assertIsInstance(each.protocol, FramedSubscriber)
            self.assertIn(each.protocol, self.made.subscribers.protocols_open)

    def assert_left(self, data: bytes) -> None:
        """The head is left to twisted.web, and nothing was begun or counted."""
        counts, open_ = Counter(self.site.counts()), len(self.factory.protocols_open)
        refused, subscriptions = dict(self.feed.tally.refused), len(self.feed.subscriptions)
        self.assertIsNone(self.quickly(data))
        self.assertEqual((Counter(self.site.counts()), len(self.factory.protocols_open)), (counts, open_))
        self.assertEqual((dict(self.feed.tally.refused), len(self.feed.subscriptions)), (refused, subscriptions))


class QuickHandshakeTests(QuickTestCase):
    def test_all_that_can_be_agreed_on(self) -> None:
        """Both paths, plain and by delta, with and without compression and a version that the client has."""
        for path in PATHS:
            for query in (b"", b"?have=" + version_of(FIRST).encode(), b"?have=unknown"):
                for names in (None, b"chat", DELTA.encode(), b"chat, " + DELTA.encode()):
                    for offer in (None, *OFFERS):
                        more = [] if names is None else [b"Sec-WebSocket-Protocol: " + names]
                        more += [] if offer is None else [b"Sec-WebSocket-Extensions: " + offer]
                        publish(self.feed, FIRST)
                        self.teach()
                        self.assert_same(head(*more, line=b"GET %s%s HTTP/1.1" % (path, query)))

    def test_what_needs_the_request(self) -> None:
        """Clients by livefeed.delta.v2, and offers that are malformed or long."""
        for more in (
            b"Sec-WebSocket-Protocol: " + DELTA_2.encode(),
            b"Sec-WebSocket-Extensions: ;",
            b"Sec-WebSocket-Extensions: " + b"x" * (MAX_OFFERS_BYTES + 1),
            b"Sec-WebSocket-Protocol: " + b"x" * (MAX_OFFERS_BYTES + 1),
        ):
            self.assert_left(head(more))

    def test_agreements_are_remembered_within_a_limit(self) -> None:
        """Any number of offers is understood."""
        for number in range(AGREEMENTS + 2):
            self.assertIsNotNone(self.quickly(head(b"Sec-WebSocket-Protocol: chat-%d" % number)))

    def test_paths_are_forgotten_with_the_answers(self) -> None:
        """With each version, and with each change of state."""
        self.assertIsNotNone(self.quickly(head()))
        publish(self.feed, SECOND)
        self.assert_left(head())

    def test_refusals(self) -> None:
        """Whatever would be refused is: by the origin, by the limit, during a stop, and without a document to show."""
        self.serve("https://a.example")
        publish(self.feed, FIRST)
        self.teach()
        self.assert_same(head(b"Origin: https://a.example"))
        self.teach()
        self.assert_same(head(b"Origin: https://example.org:8443"))
        self.teach()
        self.assert_left(head(b"Origin: https://evil.example"))
        delivery: Any = next(iter(self.factory.protocols_open)).delivery
        full, delivery.full = delivery.full, lambda: True
        self.assert_left(head())
        delivery.full = full
        self.assertIsNotNone(self.quickly(head()))
        self.feed.decide(State.WITHDRAWN)
        self.slowly(head(b"Sec-WebSocket-Protocol: " + DELTA.encode()))
        self.assert_left(head())
        self.assert_left(head(line=b"GET /feed HTTP/1.1"))
        self.feed.decide(State.HELD)
        self.teach()
        self.factory.let_go(ReconnectSlots())
        self.assert_left(head())

    def test_withdrawn_document_by_delta(self) -> None:
        """The state is told at once."""
        self.feed.decide(State.WITHDRAWN)
        data = head(b"Sec-WebSocket-Protocol: " + DELTA.encode())
        self.slowly(data)
        self.assert_same(data)

    def test_stop_that_announces_returns(self) -> None:
        """No handshake is accepted without a channel, which knows of the stop."""
        self.site.announce_returns(lambda: 1)
        self.teach()
        self.assert_left(head())

    def test_protected_feed_and_parts(self) -> None:
        """Each client is judged, and each part is found, anew."""
        self.slowly(head(line=b"GET /feed/n HTTP/1.1"))
        self.assert_left(head(line=b"GET /feed/n HTTP/1.1"))
        protect(self.made.published[0], self.site)
        self.site.forget_answers()
        offer = b"Sec-WebSocket-Protocol: livefeed.bearer.c2hvcnQtdG9rZW4"
        self.assertIn(b" 101 ", self.slowly(head(offer)).value())
        self.assert_left(head(offer))
        self.assert_left(head())


class PropertyTests(SynchronousTestCase):
    """Heads of all kinds: whatever is accepted without twisted.web, twisted.web accepts with the same bytes."""

    _VALUES = st.sampled_from(
        [b"", b" ", b"websocket", b"Upgrade", b"upgrade, x", b"keep-alive, Upgrade", b"13", KEY, b"a b", b"localhost:",
         b"[::1]:8", b"chat", DELTA.encode(), b"permessage-deflate", b"x;y=z", b",", b"https://a.example", b"\xff"]
    )  # fmt: skip
    _NAMES = st.sampled_from(
        [b"Host", b"upgrade", b"Connection", b"Sec-WebSocket-Version", b"Sec-WebSocket-Key", b"ORIGIN", b"Cookie",
         b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Extensions", b"Content-Length", b"TE", b"X", b"Accept", b"Prefer"]
    )  # fmt: skip
    _LINES = st.sampled_from(
        [b"GET /feed.ws HTTP/1.1", b"GET /feed HTTP/1.1", b"GET /feed.ws?have=a HTTP/1.1", b"GET /feed.ws/n HTTP/1.1",
         b"GET //feed.ws HTTP/1.1", b"GET /feed.ws/ HTTP/1.1"]
    )  # fmt: skip

    @settings(max_examples=150, deadline=None)
    @given(line=_LINES, changes=st.lists(st.tuples(_NAMES, _VALUES), max_size=3), replaces=st.booleans())
    def test_nothing_more_is_accepted(self, line: bytes, changes: list[tuple[bytes, bytes]], replaces: bool) -> None:
        case = QuickHandshakeTests("test_refusals")
        case.setUp()
        try:
            names = {name.rpartition(b"-")[2].lower().decode(): b"" for name, _ in changes} if replaces else {}
            data = head(*(b"%s: %s" % change for change in changes), line=line, **names)
            quick = case.quickly(data)
            if quick is not None:
                self.assertEqual(quick.value(), case.slowly(data).value())
        finally:
            case.doCleanups()
