"""Long-polling, driven in memory: requests that are answered at the next version, or when their time is over."""

from __future__ import annotations

import gc
import socket
import tempfile
from collections import Counter
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery import long_polls
from livefeed.document.snapshot import version_of
from livefeed.feed.fanout import SLICE
from livefeed.feed.parts import MAX_PARTS
from livefeed.feed.state import State
from livefeed.testing import RecordingSubscriber, Response, make_site, publish
from livefeed.transport.rooms import BATCH, Room
from livefeed.transport.rooms import SLICE as ROOM_SLICE
from livefeed.web.channel import Channel
from livefeed.web.negotiation import MAX_WAIT_S
from livefeed.web.reconnect_slots import ReconnectSlots
from livefeed.web.rendering import render_waited
from livefeed.web.replay import Replay
from livefeed.web.request import Request
from tests.helpers.driven import Client, DrivenReactor, connections_of, make_pool
from tests.helpers.driven_site import DrivenSite
from tests.helpers.garbage import garbage
from tests.helpers.guarded import SHORT_AUTHORIZATION, SHORT_S, protect

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.delivery.delivery import Delivery
    from livefeed.web.request import Request
    from livefeed.web.site import Site

FIRST, SECOND, THIRD = (
    b'{"votes": [' + b", ".join(b"%d.50" % n for n in range(count)) + b"]}" for count in (9, 99, 999)
)


def tag(document: bytes, suffix: str = "") -> bytes:
    return f'"{version_of(document)}{suffix}"'.encode()


class Connection:
    """A connection to the site in memory."""

    def __init__(self, site: Site) -> None:
        self.transport = StringTransport()
        channel = site.buildProtocol(None)
        assert isinstance(channel, Channel)
        self.channel = channel
        channel.makeConnection(self.transport)

    def ask(self, *fields: bytes, method: bytes = b"GET", path: bytes = b"/feed") -> None:
        """Sends a request."""
        lines = [method + b" " + path + b" HTTP/1.1", b"Host: localhost", *fields, b"", b""]
        self.channel.dataReceived(b"\r\n".join(lines))

    def answers(self, *methods: bytes) -> list[Response]:
        """Gives the answers since the last time, to requests that had no body in the answer if their method is HEAD."""
        data = self.transport.value()
        self.transport.clear()
        found: list[Response] = []
        while data:
            head, _, rest = data.partition(b"\r\n\r\n")
            response = Response.parse(head + b"\r\n\r\n")
            method = methods[len(found)] if len(found) < len(methods) else b"GET"
            bare = method == b"HEAD" or response.status == 304
            length = 0 if bare else int(response.headers["content-length"])
            assert len(rest) >= length, data
            found.append(Response(response.status, response.headers, rest[:length]))
            data = rest[length:]
        return found

    def answer(self, method: bytes = b"GET") -> Response:
        """Gives the one answer that there is."""
        (response,) = self.answers(method)
        return response

    def leave(self) -> None:
        self.channel.connectionLost(Failure(ConnectionDone()))


class WaitingTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        made = make_site(clock=self.clock, upgrade=self.upgrade)
        self.feed, self.site, (self.served,) = made.feed, made.site, made.published
        self.polls = self.served.delivery.polls
        publish(self.feed, FIRST)

    def upgrade(self, upgrading: Request, delivery: Delivery) -> int:
        raise AssertionError("nobody asked for a WebSocket")

    def connect(self) -> Connection:
        return Connection(self.site)

    def wait(
        self,
        wait_s: int = 10,
        tags: bytes | None = None,
        *fields: bytes,
        method: bytes = b"GET",
        path: bytes = b"/feed",
    ) -> Connection:
        """Sends a request that is to wait; for want of other tags, it has the newest version."""
        assert self.feed.snapshot is not None
        connection = self.connect()
        known = tag(self.feed.snapshot.data) if tags is None else tags
        connection.ask(b"If-None-Match: " + known, b"Prefer: wait=%d" % wait_s, *fields, method=method, path=path)
        return connection

    def assert_waits(self, *connections: Connection) -> None:
        """None of them has been answered."""
        for connection in connections:
            self.assertEqual(connection.transport.value(), b"")
        self.assertEqual(len(self.polls.waiting), len(connections))

    def assert_nobody_waits(self) -> None:
        """The requests that waited have left neither subscriptions nor timers."""
        self.assertEqual((len(self.polls.waiting), len(self.feed.subscriptions)), (0, 0))
        for connection in tuple(self.site.channels):
            connection.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WaitTests(WaitingTestCase):
    def test_request_is_answered_at_the_next_version(self) -> None:
        """In full, as a request that comes then would be, and told that its wish was granted."""
        connection = self.wait(10)
        self.clock.advance(3)
        self.assert_waits(connection)
        publish(self.feed, SECOND)
        response = connection.answer()
        self.assertEqual((response.status, response.body), (200, SECOND))
        self.assertEqual(response.headers["preference-applied"], "wait=10")
        plain = self.connect()
        plain.ask()
        expected = plain.answer()
        self.assertEqual({**expected.headers, "preference-applied": "wait=10"}, response.headers)
        self.assert_nobody_waits()

    def test_request_is_answered_304_when_its_time_is_over(self) -> None:
        """The request is answered 304 exactly after its wait, with the tag of the version that the client has."""
        connection = self.wait(10)
        self.clock.pump([1.0] * 9)
        self.assert_waits(connection)
        self.clock.advance(1)
        response = connection.answer()
        self.assertEqual((response.status, response.body), (304, b""))
        self.assertEqual(response.headers["preference-applied"], "wait=10")
        self.assertEqual(response.headers["etag"].encode(), tag(FIRST))
        publish(self.feed, SECOND)
        self.assertEqual(connection.answers(), [])
        self.assert_nobody_waits()

    def test_tick_without_change_answers_nobody(self) -> None:
        """Nor does one that failed, or one at which the feed recovers."""
        connection = self.wait(30)
        for _ in range(5):
            self.clock.advance(1)
            publish(self.feed, FIRST)
            self.clock.advance(1)
            self.feed.mark_stale()
        self.assert_waits(connection)
        self.clock.advance(20)
        response = connection.answer()
        self.assertEqual((response.status, response.headers["livefeed-state"]), (304, "stale"))
        self.assertEqual(response.headers["livefeed-age"], "21")

    def test_version_after_a_failure_answers(self) -> None:
        """The feed is live again then."""
        connection = self.wait(30)
        self.feed.mark_stale()
        publish(self.feed, SECOND)
        response = connection.answer()
        self.assertEqual((response.status, response.body, response.headers["livefeed-state"]), (200, SECOND, "live"))

    def test_request_with_another_version_is_answered_at_once(self) -> None:
        """An older one, none at all, or no tag: there is something for it already."""
        publish(self.feed, SECOND)
        for tags in (tag(FIRST), b'"unknown"', b"", b"nonsense", version_of(SECOND).encode()):
            response = self.wait(10, tags).answer()
            self.assertEqual((tags, response.status, response.body), (tags, 200, SECOND))
            self.assertEqual(response.headers["preference-applied"], "wait=10")
        connection = self.connect()
        connection.ask(b"Prefer: wait=10")
        self.assertEqual(connection.answer().body, SECOND)
        self.assert_nobody_waits()

    def test_request_without_preference_does_not_wait(self) -> None:
        """Nor one that has another, or none that is understood."""
        for prefer in (b"X: y", b"Prefer: respond-async", b"Prefer: wait=-1", b"Prefer: wait"):
            connection = self.connect()
            connection.ask(b"If-None-Match: " + tag(FIRST), prefer)
            response = connection.answer()
            self.assertEqual((prefer, response.status), (prefer, 304))
            self.assertNotIn("preference-applied", response.headers)
        self.assert_nobody_waits()

    def test_no_time_is_no_wait(self) -> None:
        """wait=0 is granted at once."""
        response = self.wait(0).answer()
        self.assertEqual((response.status, response.headers["preference-applied"]), (304, "wait=0"))
        self.assert_nobody_waits()

    def test_what_is_granted_is_said(self) -> None:
        """A wait above the maximum is shortened, and Preference-Applied has the shortened value."""
        connection = self.wait(3600)
        self.clock.advance(MAX_WAIT_S - 1)
        self.assert_waits(connection)
        self.clock.advance(1)
        self.assertEqual(connection.answer().headers["preference-applied"], f"wait={MAX_WAIT_S}")

    def test_several_lines_are_one_list(self) -> None:
        """RFC 9110, 5.3; the first wait counts."""
        connection = self.connect()
        connection.ask(b"If-None-Match: " + tag(FIRST), b"Prefer: respond-async", b"Prefer: wait=7", b"Prefer: wait=3")
        self.clock.advance(6)
        self.assert_waits(connection)
        self.clock.advance(1)
        self.assertEqual(connection.answer().headers["preference-applied"], "wait=7")

    def test_head_waits_as_well(self) -> None:
        """A HEAD request waits, and is answered without the body."""
        for is_new, status in ((True, 200), (False, 304)):
            connection = self.wait(10, method=b"HEAD")
            self.assert_waits(connection)
            if is_new:
                publish(self.feed, SECOND)
            else:
                self.clock.advance(10)
            response = connection.answer(b"HEAD")
            self.assertEqual((response.status, response.body), (status, b""))
            self.assertEqual(response.headers["preference-applied"], "wait=10")
            connection.leave()
        self.assert_nobody_waits()

    def test_every_name_of_the_document_waits(self) -> None:
        """/feed.json too; a stream does not: it goes on by itself."""
        connection = self.wait(10, path=b"/feed.json")
        self.assert_waits(connection)
        publish(self.feed, SECOND)
        self.assertEqual(connection.answer().body, SECOND)
        connection = self.wait(10, path=b"/feed.sse")
        self.assertIn(b"text/event-stream", connection.transport.value())
        self.assertEqual(len(self.polls.waiting), 0)

    def test_other_methods_do_not_wait(self) -> None:
        """They are answered, or refused, at once."""
        for method, status in ((b"OPTIONS", 204), (b"POST", 405)):
            connection = self.wait(10, method=method)
            self.assertEqual(Response.parse(connection.transport.value()).status, status)
        self.assert_nobody_waits()

    def test_nothing_to_wait_with_is_503_at_once(self) -> None:
        """Before the first good pull no client can have the newest version."""
        self.feed.snapshot = None
        for tags in (tag(FIRST), b"*"):
            connection = self.connect()
            connection.ask(b"If-None-Match: " + tags, b"Prefer: wait=10")
            self.assertEqual(connection.answer().status, 503)
        self.assert_nobody_waits()

    def test_document_that_expires_is_410_at_once(self) -> None:
        """Requests for an expired document or part are answered 410 at once, before their wait is over."""
        self.feed.gone_after_s = 10
        publish(self.feed, SECOND)
        self.feed.mark_stale()
        whole, part = self.wait(50), self.connect()
        part.ask(b"Prefer: wait=50", b"If-None-Match: *", path=b"/feed/votes")
        self.assertEqual([each.transport.value() for each in (whole, part)], [b"", b""])
        self.clock.advance(10)
        for connection in (whole, part):
            response = connection.answer()
            self.assertEqual((response.status, response.headers["livefeed-state"]), (410, "expired"))
        self.assert_nobody_waits()

    def test_withdrawal_is_410_at_once(self) -> None:
        """Requests that wait for the next version of a withdrawn document or part are answered at once."""
        publish(self.feed, SECOND)
        whole, part = self.wait(50), self.connect()
        part.ask(b"Prefer: wait=50", b"If-None-Match: *", path=b"/feed/votes")
        self.feed.decide(State.WITHDRAWN)
        for connection in (whole, part):
            response = connection.answer()
            self.assertEqual((response.status, response.headers["livefeed-state"]), (410, "withdrawn"))
        self.assert_nobody_waits()

    def test_preflight_and_answers_let_pages_do_so(self) -> None:
        """A page of another origin may send Prefer, and may read Preference-Applied."""
        connection = self.connect()
        connection.ask(b"Origin: https://a.example", b"Access-Control-Request-Method: GET", method=b"OPTIONS")
        allowed = Response.parse(connection.transport.value()).headers["access-control-allow-headers"]
        self.assertIn("Prefer", allowed.split(", "))
        answered = self.wait(0).answer()
        self.assertIn("Preference-Applied", answered.headers["access-control-expose-headers"].split(", "))


class TagTests(WaitingTestCase):
    def test_tag_of_any_coding_waits(self) -> None:
        """Weakened too, and among others; whichever coding is asked for now."""
        publish(self.feed, SECOND)
        for known in (tag(SECOND, "-gzip"), tag(SECOND, "-br"), b"W/" + tag(SECOND, "-zstd"), b"W/" + tag(SECOND)):
            for tags in (known, b'"other", ' + known + b' , W/"another"'):
                connection = self.wait(10, tags, b"Accept-Encoding: gzip")
                self.assert_waits(connection)
                self.clock.advance(10)
                response = connection.answer()
                self.assertEqual(response.status, 304)
                self.assertEqual(response.headers["etag"].encode(), known.removeprefix(b"W/"))

    def test_next_version_comes_in_the_coding_that_was_asked_for(self) -> None:
        """The coding is the same as for an immediate answer."""
        connection = self.wait(10, tag(FIRST), b"Accept-Encoding: gzip")
        publish(self.feed, THIRD)
        response = connection.answer()
        self.assertEqual((response.status, response.headers["content-encoding"]), (200, "gzip"))
        self.assertEqual(response.headers["etag"].encode(), tag(THIRD, "-gzip"))

    def test_asterisk_waits_for_the_next_version(self) -> None:
        """An asterisk matches any version (RFC 9110, 13.1.2): the answer is 304, and names the new version."""
        connection = self.wait(10, b"*")
        self.assert_waits(connection)
        publish(self.feed, SECOND)
        response = connection.answer()
        self.assertEqual((response.status, response.headers["etag"].encode()), (304, tag(SECOND)))
        self.assert_nobody_waits()

    def test_client_that_has_the_next_version_too_is_told_so(self) -> None:
        """A document that returns to an earlier version is not sent to a client that has both versions."""
        publish(self.feed, SECOND)
        connection = self.wait(10, tag(FIRST) + b", " + tag(SECOND))
        publish(self.feed, FIRST)
        response = connection.answer()
        self.assertEqual((response.status, response.headers["etag"].encode()), (304, tag(FIRST)))


class ServedInMemory(DrivenSite):
    """A site on a Unix socket, whose reactor a test drives, and whose clients wait.

    :param transport: ``fast`` or ``twisted``.
    """

    def __init__(self, transport: str, **limits: float) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self._path = str(Path(self._directory.name) / "site")
        self.reactor = DrivenReactor()
        made = make_site(clock=self.reactor, upgrade=self.upgrade)
        self.feed, self.site, (self.served,) = made.feed, made.site, made.published
        publish(self.feed, FIRST)
        self.listening: Any = make_pool(self.reactor, **limits) if transport == "fast" else self.reactor
        self._port = self.listening.listenUNIX(self._path, self.site)
        self.clients: list[Client] = []

    def upgrade(self, upgrading: Request, delivery: Delivery) -> int:
        raise AssertionError("nobody asked for a WebSocket")

    def connect(self) -> Client:
        """Gives a new client."""
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self._path)
        self.clients.append(Client(sock))
        return self.clients[-1]

    def close(self) -> None:
        """Ends everything."""
        super().close()
        self._directory.cleanup()


class FreedTests(SynchronousTestCase):
    """Objects of requests that waited are freed by reference counts alone, even if they have become old."""

    def assert_freed(self, end: Callable[[ServedInMemory], object], *, left: int) -> None:
        """Fails if any object is left of requests that waited and whose wait `end` has ended.

        :param left: how many still wait.
        """
        for transport in ("fast", "twisted"):
            served = ServedInMemory(transport)
            waits = b"GET /feed HTTP/1.1\r\nHost: a\r\nPrefer: wait=5\r\nIf-None-Match: " + tag(FIRST) + b"\r\n\r\n"
            with garbage() as found:
                for _ in range(3):
                    served.connect().send(waits)
                served.settle()
                gc.collect()  # with this they are old
                end(served)
                served.settle()
            self.assertEqual((transport, found, served.served.delivery.polls.count()), (transport, [], left))
            served.close()

    def test_answered(self) -> None:
        """A request that is answered at the next version leaves nothing."""
        self.assert_freed(lambda served: publish(served.feed, SECOND), left=0)

    def test_timed_out(self) -> None:
        """A request that times out with 304 leaves nothing."""
        self.assert_freed(lambda served: served.reactor.advance(6), left=0)

    def test_left(self) -> None:
        """Both ways: in order, and by a reset."""

        def leave(served: ServedInMemory) -> None:
            served.clients[0].close()
            served.clients[1].reset()

        self.assert_freed(leave, left=1)


class TogetherTests(SynchronousTestCase):
    """Equal requests on the fast transport, which wait in one room."""

    WAITS = b"GET /feed HTTP/1.1\r\nHost: a\r\nPrefer: wait=5\r\nIf-None-Match: " + tag(FIRST) + b"\r\n\r\n"

    def serve(self, count: int, **limits: float) -> ServedInMemory:
        """Gives a site at which `count` requests wait."""
        served = ServedInMemory("fast", **limits)
        self.addCleanup(served.close)
        for _ in range(count):
            served.connect().send(self.WAITS)
            served.reactor.settle()  # the kernel's queue is short
        self.assertEqual(served.served.delivery.polls.count(), count)
        self.assertEqual(served.served.delivery.polls.sharing, count - 1)
        return served

    def test_many_are_answered_slice_by_slice(self) -> None:
        """Each has the whole, and each counts; others are served in between."""
        served = self.serve(ROOM_SLICE + 44)
        publish(served.feed, SECOND)
        self.assertEqual(served.served.delivery.polls.sharing, 43)
        served.settle()
        answers = [Response.parse(client.received) for client in served.clients]
        self.assertEqual({answer.body for answer in answers}, {SECOND})
        self.assertEqual(served.site.counts(), {(200, "http", "identity"): len(answers)})

    def test_others_may_come_for_as_long_as_the_first_waits(self) -> None:
        """Requests may join as long as the first request waits, even after all others have left."""
        served = self.serve(2)
        served.clients[1].close()
        served.settle()
        self.assertEqual(served.served.delivery.polls.sharing, 0)
        served.connect().send(self.WAITS)
        served.reactor.settle()
        self.assertEqual(served.served.delivery.polls.sharing, 1)

    def test_large_document_is_copied_for_nobody(self) -> None:
        """Clients that do not read keep the snapshot's own bytes: in a room, and where an answer is given again."""
        served = self.serve(4)
        large = b'"%s"' % (b"x" * 1_000_000)
        publish(served.feed, large)
        served.reactor.settle()
        for prefer in (b"", b"Prefer: wait=7\r\n"):
            for _ in range(2):
                for _ in range(2):
                    served.connect().send(b"GET /feed HTTP/1.1\r\nHost: a\r\n" + prefer + b"\r\n")
                    served.reactor.settle()
                served.site.forget_answers()
        self.assertEqual(served.site.counts(), {(200, "http", "identity"): 12})
        (pool,) = served.reactor.pools
        kept = [part for connection in connections_of(pool) for part in connection._unsent]
        assert served.feed.snapshot is not None
        self.assertEqual({id(part) for part in kept}, {id(served.feed.snapshot.representations["identity"].data)})
        self.assertEqual(len(kept), 12)
        served.settle()
        self.assertEqual({Response.parse(client.received).body for client in served.clients}, {large})

    def test_version_in_between_is_not_missed(self) -> None:
        """Requests that the second version has not reached are answered with the third."""
        served = self.serve(ROOM_SLICE + 44)
        publish(served.feed, SECOND)
        publish(served.feed, THIRD)
        served.settle()
        bodies = [Response.parse(client.received).body for client in served.clients]
        self.assertEqual((bodies.count(SECOND), bodies.count(THIRD)), (1 + ROOM_SLICE, 43))

    def test_waiting_is_no_idleness(self) -> None:
        """A connection may wait for longer than it may be idle; once it is answered it is idle."""
        served = self.serve(3, idle_s=2)
        served.reactor.advance(4.5)
        self.assertEqual(served.served.delivery.polls.count(), 3)
        served.reactor.advance(1)
        served.settle()
        self.assertEqual({Response.parse(client.received).status for client in served.clients}, {304})
        self.assertEqual([client.ended for client in served.clients[1:]], [False, False])
        served.reactor.advance(4)
        served.settle()
        self.assertEqual([client.ended for client in served.clients[1:]], [True, True])

    def test_time_counts_from_the_request(self) -> None:
        """Each wait begins with its own request; waits that end soon after one another are answered together."""
        served = self.serve(2)
        served.reactor.advance(2)
        for _ in range(2):
            served.connect().send(self.WAITS)
            served.settle()
            served.reactor.now += 0.125
        served.reactor.advance(2.75)
        self.assertEqual(served.served.delivery.polls.count(), 2)
        for after_s, left in ((1.5, 2), (0.5, 1), (0.125, 1), (0.125, 0)):
            served.reactor.advance(after_s)
            self.assertEqual(served.served.delivery.polls.count(), left)

    def test_stop_answers_all_before_it_ends_them(self) -> None:
        """Requests that wait do not count as idle connections."""
        served = self.serve(ROOM_SLICE + 44)
        (pool,) = served.reactor.pools
        pool.end_idle()
        self.assertEqual(served.served.delivery.polls.count(), ROOM_SLICE + 44)
        served.served.let_go(ReconnectSlots())
        served.settle()
        # Their connections have ended with the answers, and say so.
        answers = [Response.parse(client.received) for client in served.clients]
        self.assertEqual({(each.status, each.headers["connection"]) for each in answers}, {(304, "close")})
        self.assertTrue(all(client.ended for client in served.clients))

    def test_one_is_answered_before_a_gradual_drain_ends_it(self) -> None:
        """The others wait on, and are answered with the next version."""
        served = self.serve(4)
        (pool,) = served.reactor.pools
        pollers = pool.pollers()
        self.assertEqual(len(pollers), 4)
        for connection in (pollers[0], pollers[2]):  # the first leads the others
            connection.retire()
        served.settle()
        told = [Response.parse(client.received) for client in (served.clients[0], served.clients[2])]
        self.assertEqual([(each.status, each.headers["connection"]) for each in told], [(304, "close")] * 2)
        self.assertEqual([client.ended for client in served.clients], [True, False, True, False])
        self.assertEqual(served.served.delivery.polls.count(), 2)
        publish(served.feed, SECOND)
        served.settle()
        for client in (served.clients[1], served.clients[3]):
            self.assertEqual((Response.parse(client.received).body, client.ended), (SECOND, False))

    def test_pollers_are_told_with_their_next_answer(self) -> None:
        """Also where answers are repeated, and no protocol was ever made; others go on."""
        served = ServedInMemory("fast")
        self.addCleanup(served.close)
        publish(served.feed, FIRST)
        clients = [served.connect() for _ in range(3)]
        request = b"GET /feed HTTP/1.1\r\nHost: a\r\n\r\n"
        for client in clients:
            client.send(request)
            served.settle()
        (pool,) = served.reactor.pools
        first, second, _ = connections_of(pool)
        self.assertEqual(second.protocol, None)
        for connection in (first, second):
            connection.retire()
            connection.retire()
        served.settle()
        self.assertEqual([client.ended for client in clients], [False] * 3)
        for client in clients:
            client.received = b""
            client.send(request)
            served.settle()
        answers = [Response.parse(client.received) for client in clients]
        self.assertEqual(
            [(each.status, each.headers.get("connection")) for each in answers], [(200, "close")] * 2 + [(200, None)]
        )
        self.assertEqual([client.ended for client in clients], [True, True, False])
        self.assertEqual(len(pool.pollers()), 1)

    def test_pollers_are_told_when_to_come_back(self) -> None:
        """At a stop without a successor: each of them another time, whether the answer is rendered or repeated."""
        for transport in ("fast", "twisted"):
            served = ServedInMemory(transport)
            self.addCleanup(served.close)
            publish(served.feed, FIRST)
            clients = [served.connect() for _ in range(5)]
            request = b"GET /feed HTTP/1.1\r\nHost: a\r\n\r\n"
            for client in clients[:-1]:
                client.send(request)
                served.settle()
            served.site.announce_returns(count(6).__next__)
            for pool in served.reactor.pools:
                pool.renew_answers()
                self.assertEqual((pool.count_active(1.0), connections_of(pool)[1].protocol), (3, None))
            served.settle()
            self.assertEqual([client.ended for client in clients], [False] * 5)
            for client in clients:
                client.received = b""
                client.send(request)
                served.settle()
            answers = [Response.parse(client.received) for client in clients]
            self.assertEqual(
                {(each.status, each.headers["connection"], each.body) for each in answers}, {(200, "close", FIRST)}
            )
            self.assertEqual([each.headers["retry-after"] for each in answers], ["6", "7", "8", "9", "10"])
            self.assertEqual([client.ended for client in clients], [True] * 5)
            self.assertEqual(sum(served.site.counts().values()), 9)

    def test_stop_ends_those_that_are_being_answered(self) -> None:
        """A version has come, and not to all of them yet: the others are told of the end, too."""
        served = self.serve(ROOM_SLICE + 44)
        publish(served.feed, SECOND)
        served.served.let_go(ReconnectSlots())
        served.settle()
        answers = [Response.parse(client.received) for client in served.clients]
        self.assertEqual({each.body for each in answers}, {SECOND})
        ends = [each.headers.get("connection") for each in answers]
        self.assertEqual((ends.count(None), ends.count("close")), (1 + ROOM_SLICE, 43))
        self.assertEqual([client.ended for client in served.clients], [end is not None for end in ends])

    def test_part_that_makes_room_is_not_begun_anew(self) -> None:
        """Requests that wait for the part are answered from its last version, and their connections end."""
        served = ServedInMemory("fast")
        self.addCleanup(served.close)
        publish(served.feed, b"[%s]" % b",".join(b"%d" % number for number in range(MAX_PARTS + 1)))
        parts = served.served.parts
        wait = b"GET /feed/0 HTTP/1.1\r\nHost: a\r\nPrefer: wait=5\r\nIf-None-Match: " + tag(b"0") + b"\r\n\r\n"
        for _ in range(3):
            served.connect().send(wait)
            served.settle()
        for number in range(1, MAX_PARTS):
            delivery = parts.find([b"%d" % number], "")
            assert delivery is not None
            for _ in range(3):
                delivery.feed.subscribe(RecordingSubscriber())
        self.assertEqual(sum(delivery.followers() for delivery in parts), 3 * MAX_PARTS)
        newcomer = parts.find([b"%d" % MAX_PARTS], "192.0.2.1")
        self.assertEqual(len([*parts]), MAX_PARTS)
        self.assertIn(newcomer, [*parts])
        self.assertNotIn("feed/0", [delivery.feed.name for delivery in parts])
        served.settle()
        for client in served.clients:
            answer = Response.parse(client.received)
            self.assertEqual((answer.status, answer.headers["connection"], client.ended), (304, "close", True))
            self.assertEqual((answer.headers["retry-after"], answer.headers["etag"].encode()), ("10", tag(b"0")))

    def test_answer_for_those_that_waited_begins_no_part(self) -> None:
        """An answer for requests that have waited creates no part."""
        served = ServedInMemory("fast")
        self.addCleanup(served.close)
        publish(served.feed, b"[1]")
        delivery = served.served.parts.find([b"0"], has_waited=True)
        assert delivery is not None
        assert delivery.feed.snapshot is not None
        self.assertEqual((delivery.feed.snapshot.data, [*served.served.parts]), (b"1", []))

    def test_stop_has_clients_ask_again_one_second_after_the_other(self) -> None:
        """An answer is rendered for each second, and not for each client."""
        rendered = 0
        render = render_waited

        def count(*arguments: Any, **named: Any) -> Any:
            nonlocal rendered
            rendered += 1
            return render(*arguments, **named)

        self.patch(long_polls, "render_waited", count)
        served = self.serve(ROOM_SLICE + 44)
        served.served.let_go(ReconnectSlots(returns_per_s=50))
        served.settle()
        told = Counter(Response.parse(client.received).headers["retry-after"] for client in served.clients)
        self.assertEqual((sorted(told), sum(told.values())), (["10", "11", "12", "6", "7", "8", "9"], ROOM_SLICE + 44))
        self.assertLessEqual(max(told.values()), 50 + BATCH)
        self.assertEqual(rendered, 6)  # the first client waited by itself

    def test_those_whose_answer_breaks_are_disconnected(self) -> None:
        """They would wait for ever."""
        served = self.serve(3)

        def break_down(site: Site, head: bytes, *, secure: bool, last: bool) -> None:
            return None

        self.patch(long_polls, "render_waited", break_down)
        publish(served.feed, SECOND)
        served.settle()
        self.assertEqual([client.received for client in served.clients[1:]], [b"", b""])
        self.assertEqual([client.ended for client in served.clients[1:]], [True, True])

    def test_those_who_are_answered_when_memory_ends_are_disconnected(self) -> None:
        """An error at any point of their answers disconnects them. The others get theirs, also at the stop."""

        def fail(*_: object) -> None:
            raise MemoryError

        for at_stop in (False, True):
            for owner, name in ((Room, "_rendered"), (Replay, "answered")):
                served = self.serve(BATCH + 3)
                calls = iter([fail])
                unharmed = getattr(owner, name)
                patch = self.patch(owner, name, lambda *given, calls=calls, go=unharmed: next(calls, go)(*given))
                if at_stop:
                    served.served.let_go(ReconnectSlots())
                else:
                    publish(served.feed, SECOND)
                served.settle()
                patch.restore()
                self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)
                received = [client.received for client in served.clients[1:]]
                self.assertEqual([len(each) > 0 for each in received], [False] * BATCH + [True] * 2)
                self.assertTrue(all(client.ended for client in served.clients[1 : BATCH + 1]))
                self.assertEqual(served.served.delivery.polls.count(), 0)

    def test_those_whose_room_breaks_are_disconnected(self) -> None:
        """The one that waits by itself is answered as ever."""
        served = self.serve(3)
        self.patch(Room, "answer_all", [].__getitem__)
        publish(served.feed, SECOND)
        served.settle()
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assertEqual([len(client.received) > 0 for client in served.clients], [True, False, False])
        self.assertEqual([client.ended for client in served.clients], [False, True, True])
        self.assertEqual(served.served.delivery.polls.count(), 0)


class ConnectionTests(WaitingTestCase):
    def test_client_that_leaves_is_forgotten(self) -> None:
        """The timer and the subscription of the client are removed, and the other client is unaffected."""
        leaving, staying = self.wait(10), self.wait(20)
        self.assertEqual(len(self.feed.subscriptions), 2)
        leaving.leave()
        self.assert_waits(staying)
        self.assertEqual((len(self.feed.subscriptions), len(self.clock.getDelayedCalls())), (1, 1))
        self.clock.advance(10)
        self.assert_waits(staying)
        staying.leave()
        self.assert_nobody_waits()
        publish(self.feed, SECOND)
        self.assertEqual((leaving.answers(), staying.answers()), ([], []))

    def test_answer_that_breaks_cuts_the_connection(self) -> None:
        """The connection is cut, so that the client does not wait for an answer that will not come."""
        connection, other = self.wait(), self.wait()
        self.patch(next(iter(self.polls.waiting)), "_answer", self.break_down)
        publish(self.feed, SECOND)
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)
        self.assertTrue(connection.transport.disconnected)
        self.assertEqual(other.answer().status, 200)
        self.assert_nobody_waits()

    def break_down(self, waiting: Request) -> None:
        raise MemoryError

    def test_everybody_is_answered_at_the_next_version(self) -> None:
        """All requests are answered, slice by slice."""
        connections = [self.wait(10) for _ in range(2 * SLICE + 1)]
        publish(self.feed, SECOND)
        self.clock.pump([0.0] * 3)
        self.assertEqual({connection.answer().body for connection in connections}, {SECOND})
        self.assert_nobody_waits()

    def test_release_answers_everybody(self) -> None:
        """At the stop all requests are answered with the version that they have."""
        connections = [self.wait(10), self.wait(20), self.wait(30, method=b"HEAD")]
        self.polls.release(ReconnectSlots())
        for connection, method in zip(connections, (b"GET", b"GET", b"HEAD"), strict=True):
            response = connection.answer(method)
            self.assertEqual((response.status, response.headers["retry-after"]), (304, "6"))
        self.assert_nobody_waits()

    def test_nobody_waits_any_more_while_the_server_stops(self) -> None:
        """A request that comes then is answered at once. One behind one that waited is not: the connection ends."""
        connection = self.wait(10)
        connection.ask(b"If-None-Match: " + tag(FIRST), b"Prefer: wait=10")
        self.served.delivery.let_go(ReconnectSlots())
        answers = [*connection.answers(), self.wait(10).answer()]
        self.assertEqual([(each.status, each.headers["retry-after"]) for each in answers], [(304, "6")] * 2)
        self.assertEqual([each.headers.get("connection") for each in answers], ["close", None])
        self.assertTrue(connection.transport.disconnecting)
        for fields in ((), (b"If-None-Match: " + tag(FIRST),), (b"If-None-Match: " + tag(SECOND), b"Prefer: wait=10")):
            # A request that would not have waited gets no Retry-After.
            other = Connection(self.site)
            other.ask(*fields)
            self.assertNotIn("retry-after", other.answers()[0].headers)
        self.assert_nobody_waits()

    def test_pipelined_request_waits_its_turn(self) -> None:
        """Answers come in the order of the requests (RFC 9112, 9.3.2)."""
        connection = self.wait(10)
        connection.ask()
        connection.ask(b"If-None-Match: " + tag(SECOND), b"Prefer: wait=20")
        self.assert_waits(connection)
        publish(self.feed, SECOND)
        first, second = connection.answers()
        self.assertEqual((first.body, first.headers["preference-applied"]), (SECOND, "wait=10"))
        self.assertEqual(second.body, SECOND)
        self.assertNotIn("preference-applied", second.headers)
        # The third request has the version of the other answers, and waits for another.
        self.assert_waits(connection)
        publish(self.feed, THIRD)
        response = connection.answer()
        self.assertEqual((response.body, response.headers["preference-applied"]), (THIRD, "wait=20"))
        self.assert_nobody_waits()

    def test_connection_is_kept(self) -> None:
        """A client goes from version to version on one connection, and that it waits is no idleness."""
        connection = self.connect()
        etag = tag(FIRST)
        for document in (SECOND, THIRD, FIRST):
            connection.ask(b"If-None-Match: " + etag, b"Prefer: wait=50")
            self.clock.pump([1.0] * 49)
            publish(self.feed, document)
            response = connection.answer()
            self.assertEqual((response.status, response.body), (200, document))
            etag = response.headers["etag"].encode()
        self.assertFalse(connection.transport.disconnecting)

    def test_client_that_only_listens_is_still_answered(self) -> None:
        """The answer is immediate: such a client looks like one that has left, which must not hold a place."""
        connection = self.wait(10)
        connection.channel.readConnectionLost()
        self.assertEqual(connection.answer().status, 304)
        self.assert_nobody_waits()


class ProtectedTests(WaitingTestCase):
    """Requests for a protected feed."""

    def test_the_end_of_a_token(self) -> None:
        """The request is answered with its token's end, and nothing is kept of clients that have left."""
        guard = protect(self.served, self.site)
        waits = (b"Prefer: wait=50", b"If-None-Match: " + tag(FIRST))
        short, left = self.connect(), self.connect()
        for each in (short, left):
            each.ask(SHORT_AUTHORIZATION, *waits)
        left.leave()
        self.assertEqual(len(guard.admissions), 1)
        self.clock.advance(SHORT_S)
        self.assertIn(short.answer().status, (304, 401))
        self.assertEqual(len(guard.admissions), 0)

    def test_answer_to_all(self) -> None:
        """Requests are answered at once when their feed becomes protected, and others may wait afterwards."""
        waits = (b"Prefer: wait=50", b"If-None-Match: " + tag(FIRST))
        for _ in range(2):
            waiting = self.connect()
            waiting.ask(*waits)
            self.polls.answer_all()
            self.assertEqual((waiting.answer().status, self.polls.count()), (304, 0))
