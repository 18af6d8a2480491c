"""The decisions of a client: when it connects, polls, waits and stops."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.client.actions import Action, Connect, Disconnect, Failed, Get, Send, Show, Stop
from livefeed.client.address import Address
from livefeed.client.answers import Answer
from livefeed.client.messages import MAX_MS
from livefeed.client.protocol import (
    ANSWER_S,
    ENDED_S,
    GRACE_S,
    MAX_BACKOFF_S,
    MAX_DELAY_S,
    MAX_ENDED_S,
    MAX_TICK_S,
    Protocol,
)
from livefeed.client.update import Line, State
from livefeed.client.verification import Trust
from livefeed.document.splices import make_splices
from tests.helpers.delta_messages import document, heartbeat, message, splices, version_of
from tests.helpers.signers import TRUSTED, member_of, statement_about

if TYPE_CHECKING:
    from livefeed.client.update import Shown
    from livefeed.document.signature import Signed

A, B = '{"seats": 42}', '{"seats": 43}'
V2 = "livefeed.delta.v2"


def fields_of(text: str, **more: str) -> dict[str, str]:
    """Gives the fields of an answer of livefeed."""
    fields = {
        "livefeed-version": version_of(text),
        "livefeed-sequence": "7.1",
        "livefeed-state": "live",
        "livefeed-age": "0",
        "livefeed-next": "1000",
    }
    return fields | {name.replace("_", "-"): value for name, value in more.items()}


class ProtocolTestCase(SynchronousTestCase):
    """A client whose clock stands at :ivar:`now`, and whose random part is half of what it may be."""

    def setUp(self) -> None:
        self.now = 1000.0
        self.protocol = Protocol(Address.of("http://h/feed"), part=lambda: 0.5)
        self.shown: Shown | None = None

    def after(self, actions: list[Action]) -> list[Action]:
        """Takes note of what is shown, and gives the other actions."""
        shows = [each for each in actions if isinstance(each, Show)]
        self.assertLessEqual(len(shows), 1)
        if shows:
            self.assertNotEqual(shows[0].shown, self.shown)
            self.shown = shows[0].shown
        return [each for each in actions if not isinstance(each, Show)]

    def begin(self) -> None:
        """Opens the WebSocket, and gives the first document."""
        self.assertEqual(self.after(self.protocol.start(self.now)), [Connect("ws://h/feed")])
        self.assertEqual(self.after(self.protocol.opened(V2, self.now)), [])
        self.assertEqual(self.receive(document(A)), [])

    def receive(self, text: str) -> list[Action]:
        return self.after(self.protocol.received(text, self.now))

    def close(self, code: int | None, reason: str = "") -> list[Action]:
        return self.after(self.protocol.closed(code, reason, self.now))

    def give_up(self, why: str, **more: Any) -> list[Action]:
        return self.after(self.protocol.failed(Failed(why, **more), self.now))

    def answer(self, status: int, fields: dict[str, str], content: bytes = b"") -> list[Action]:
        return self.after(self.protocol.answered(Answer(status, fields, content), self.now))

    def wait(self) -> list[Action]:
        """Waits until the client has something to do."""
        assert self.protocol.wakes_at is not None
        self.assertGreaterEqual(self.protocol.wakes_at, self.now)
        self.now = self.protocol.wakes_at
        return self.after(self.protocol.wake(self.now))

    def wait_for(self, kind: type[Action]) -> float:
        """Waits for an action of a kind, and gives the seconds until then."""
        began = self.now
        for _ in range(20):
            if any(isinstance(action, kind) for action in self.wait()):
                return self.now - began
        raise AssertionError("no such action")

    def assert_shows(self, text: str | None, state: State = State.LIVE, line: Line = Line.OPEN) -> None:
        assert self.shown is not None
        self.assertEqual(self.shown.content, None if text is None else text.encode())
        self.assertEqual((self.shown.state, self.shown.line), (state, line))


class PushTests(ProtocolTestCase):
    """A client with a WebSocket."""

    def test_documents(self) -> None:
        """Each version is shown, and a heartbeat is no change."""
        self.begin()
        self.assert_shows(A)
        self.now += 1
        self.assertEqual(self.receive(splices(A, B)), [])
        self.assert_shows(B)
        self.now += 1
        self.assertEqual(self.protocol.received(heartbeat(B, at="later"), self.now), [])
        self.assertAlmostEqual(self.protocol.age_s(self.now + 2) or 0, 2.04)
        self.assertEqual(self.receive(heartbeat(B, state="held")), [])
        self.assert_shows(B, State.HELD)
        sizes = [
            len(each) for each in (document(A), splices(A, B), heartbeat(B, at="later"), heartbeat(B, state="held"))
        ]
        self.assertEqual(self.protocol.received_bytes, sum(sizes))

    def test_lifetime(self) -> None:
        """When it is over without another message, the document is forgotten, on any line; the next comes whole."""
        self.begin()
        self.assertEqual(self.receive(heartbeat(A, lifetime=30_000)), [])
        self.now += 1
        self.assertEqual(self.receive(heartbeat(A, lifetime=10_000)), [])
        began = self.now
        self.assertTrue(any(isinstance(each, Get) for each in self.wait()))
        while self.now < began + 10:
            self.assert_shows(A, State.STALE, self.shown.line if self.shown else Line.OPEN)
            self.give_up("no answer")
            self.wait()
        self.assertEqual(self.now, began + 10)
        self.assert_shows(None, State.EXPIRED, Line.OFFLINE)
        self.wait_for(Get)
        self.answer(200, fields_of(B, livefeed_lifetime="500", age="0"), B.encode())
        self.assert_shows(B, State.LIVE, Line.POLLING)
        self.now += 0.5
        self.after(self.protocol.wake(self.now))
        self.assert_shows(None, State.EXPIRED, Line.POLLING)

    def test_lifetime_while_the_line_is_open(self) -> None:
        """A message after that is about a version that the client has no more: it asks for the document."""
        self.begin()
        self.receive(heartbeat(A, lifetime=2000))
        self.now += 2
        self.assertEqual(self.after(self.protocol.wake(self.now)), [])
        self.assert_shows(None, State.EXPIRED)
        self.assertEqual(self.receive(heartbeat(A, lifetime=2000)), [Send('{"follow":"/feed","have":null}')])
        self.receive(document(A, lifetime=2000))
        self.assert_shows(A)

    def test_reason_and_waiting(self) -> None:
        """They are news when they begin, change or end; the time of waiting alone is none."""
        self.begin()
        self.assertIsNone(self.protocol.waiting_s(self.now))
        self.receive(heartbeat(A, state="held", reason="a check", waiting=5000))
        assert self.shown is not None
        self.assertEqual((self.shown.reason, self.shown.is_waiting), ("a check", True))
        self.assertEqual(self.protocol.waiting_s(self.now + 2), 7.0)
        self.now += 1
        self.assertEqual(
            self.protocol.received(heartbeat(A, state="held", reason="a check", waiting=6000), self.now), []
        )
        self.receive(heartbeat(A, state="held", reason="another"))
        self.assertEqual((self.shown.reason, self.shown.is_waiting), ("another", False))
        self.assertIsNone(self.protocol.waiting_s(self.now))

    def test_a_document_that_has_ended(self) -> None:
        """The client leaves the server, asks after a long time, and goes on if the end was taken back."""
        self.begin()
        self.assertEqual(self.receive(heartbeat(A, state="ended")), [Disconnect()])
        self.assert_shows(A, State.ENDED, Line.CLOSED)
        self.assertEqual(self.receive(document(B)), [])
        waits = []
        for _ in range(5):
            waits.append(round(self.wait_for(Get) / 1.5, 6))
            self.answer(304, fields_of(A, livefeed_state="ended"))
            self.assert_shows(A, State.ENDED, Line.CLOSED)
        self.assertEqual(waits, [ENDED_S, 60, 120, MAX_ENDED_S, MAX_ENDED_S])
        self.now += 1
        (get,) = self.after(self.protocol.refresh(self.now))
        self.assertIsInstance(get, Get)
        self.assertEqual(self.after(self.protocol.refresh(self.now)), [])
        self.answer(200, fields_of(B, livefeed_state="live"), B.encode())
        self.assert_shows(B, State.LIVE, Line.POLLING)
        self.wait_for(Connect)
        self.assertEqual(self.after(self.protocol.opened(V2, self.now)), [])
        self.receive(heartbeat(B, state="ended"))
        self.assertAlmostEqual(self.wait_for(Get), ENDED_S * 1.5)

    def test_no_lifetime(self) -> None:
        """A message without one takes the last one back. A part that is missing does not expire."""
        self.begin()
        self.receive(heartbeat(A, lifetime=2000))
        self.receive(heartbeat(A, state="held"))
        self.now += 3
        self.after(self.protocol.wake(self.now))
        self.assert_shows(A, State.HELD)
        self.receive(heartbeat(A, lifetime=2000))
        self.receive(message("missing"))
        self.now += 3
        self.after(self.protocol.wake(self.now))
        self.assert_shows(None, State.MISSING)

    def test_silence(self) -> None:
        """Without a word for two ticks and some seconds, nothing is live, and the client asks in another way."""
        self.begin()
        began = self.now
        self.assertEqual(
            self.wait(), [Disconnect(), Get({"If-None-Match": f'"{version_of(A)}"', "A-IM": "livefeed-splices"})]
        )
        self.assertEqual(self.now - began, 5.0)
        self.assert_shows(A, State.STALE)
        self.assertEqual(self.answer(304, fields_of(A)), [])
        self.assert_shows(A, State.LIVE, Line.POLLING)

    def test_silence_where_changes_are_pushed(self) -> None:
        """Two heartbeats may pass then, if they are rarer than ticks; a time that nobody can believe is cut."""
        cases: tuple[tuple[dict[str, int | None], float], ...] = (
            ({"heartbeat": 3000}, 9.0),
            ({"heartbeat": 3000, "next": 8000}, 19.0),
            ({"heartbeat": None, "next": 1000}, 11.2),
            ({"heartbeat": MAX_MS, "next": 1000}, 2 * MAX_TICK_S + GRACE_S),
            ({"heartbeat": 100_000, "next": None}, 203.0),
        )
        for members, silence_s in cases:
            self.setUp()
            self.begin()
            if members["heartbeat"] is None:
                self.receive(heartbeat(A, next=8000))
            self.receive(heartbeat(A, **members))
            assert self.protocol.wakes_at is not None
            self.assertAlmostEqual(self.protocol.wakes_at - self.now, silence_s)
            self.now += silence_s - 0.1
            self.assertEqual(self.after(self.protocol.wake(self.now)), [])
            self.assert_shows(A)
            self.assertIsInstance(self.wait()[0], Disconnect)
            self.assert_shows(A, State.STALE)

    def test_lost_document(self) -> None:
        """A client that cannot apply splices asks for the document once, and ignores what was on its way."""
        self.begin()
        self.assertEqual(self.receive(splices(B, A)), [Send('{"follow":"/feed","have":null}')])
        self.assertEqual(self.receive(splices(A, B, version=version_of(A))), [])
        self.assert_shows(A)
        self.assertEqual(self.receive(document(B)), [])
        self.assert_shows(B)
        self.assertEqual(
            self.receive(heartbeat(A)),
            [Send(json.dumps({"follow": "/feed", "have": version_of(B)}, separators=(",", ":")))],
        )

    def test_wrong_document(self) -> None:
        """A document without its version is asked for once more; the next wrong one is a failure of the server."""
        self.begin()
        self.assertEqual(self.receive(document(B, version=version_of(A))), [Send('{"follow":"/feed","have":null}')])
        self.assertEqual(self.receive(document(B, version=version_of(A))), [Disconnect()])
        self.assert_shows(A, State.LIVE, Line.OFFLINE)
        self.assertEqual(self.wait(), [Connect(f"ws://h/feed?have={version_of(A)}")])

    def test_malformed_message(self) -> None:
        """A message that is no message ends the connection; one of an unknown type does not."""
        self.begin()
        self.assertEqual(self.receive('{"type": "weather"}'), [])
        self.assertEqual(self.receive("{"), [Disconnect()])

    def test_slots(self) -> None:
        """A client comes back after the time that the server names, with the version that it has."""
        for code, reason, least, most in (
            (3017, "come back in 7301 ms", 7.301, 7.301),
            (3017, "", 0.34, 0.34),
            (1001, "come back in 7301 ms", 7.301, 7.301),
            (1001, "", 6, 9),
            (1006, "", 0.5, 1),
            (None, "", 0.5, 1),
        ):
            self.setUp()
            self.begin()
            for _ in range(5):
                self.now += 2
                self.receive(heartbeat(A))
            self.assertEqual(self.close(code, reason), [])
            self.assertIs(self.shown and self.shown.line, Line.OFFLINE)
            delay_s = self.wait_for(Connect)
            self.assertTrue(least - 1e-6 <= delay_s <= most + 1e-6, (code, reason, delay_s))

    def test_longest_wait(self) -> None:
        """A server that names a time beyond all reason does not silence the client for days."""
        self.begin()
        self.now += 4
        self.receive(heartbeat(A))
        self.now += 4
        self.close(3000, "come back in 999999999 ms")
        self.assertEqual(self.wait_for(Connect), MAX_DELAY_S)

    def test_short_connections_are_failures(self) -> None:
        """A server that accepts and closes at once is asked less and less often, whatever its slot."""
        self.begin()
        waits = []
        for _ in range(9):
            self.close(3000)
            waits.append(self.wait_for(Connect))
            self.after(self.protocol.opened(V2, self.now))
        self.assertEqual(waits[:4], [0.75, 1.5, 3.0, 6.0])
        self.assertEqual(waits[-1], MAX_BACKOFF_S * 0.75)

    def test_proxy_that_ends_websockets(self) -> None:
        """After some short connections the client polls."""
        self.begin()
        self.assertEqual(self.close(1006), [])
        self.wait_for(Connect)
        self.after(self.protocol.opened(V2, self.now))
        self.assertIsInstance(self.close(1006)[0], Get)

    def test_server_that_does_not_want_the_client(self) -> None:
        """The codes 3500 to 3999 end it."""
        self.begin()
        (*_, stop) = self.close(3500, "too many frames")
        assert isinstance(stop, Stop)
        self.assertIn("3500", str(stop.error))
        self.assertIn("too many frames", str(stop.error))
        self.assertIsNone(self.protocol.wakes_at)
        self.assertEqual(self.protocol.wake(self.now + 1e9), [])

    def test_expired_document(self) -> None:
        """An expired document is not shown."""
        self.begin()
        self.receive(heartbeat(B, state="expired"))
        self.assert_shows(None, State.EXPIRED)
        self.receive(document(B))
        self.assert_shows(B)

    def test_a_tick_without_end(self) -> None:
        """A server that names a tick in a year is no reason to show a document as live for so long."""
        self.begin()
        self.receive(heartbeat(A, next=MAX_MS))
        self.assert_shows(A)
        self.now += 2 * MAX_TICK_S + GRACE_S
        self.after(self.protocol.wake(self.now))
        self.assert_shows(A, State.STALE)

    def test_unknown_state(self) -> None:
        """It is told under its own name, on each line, and a change from one to another is an update."""
        self.begin()
        for name in ("paused", "archived"):
            self.receive(heartbeat(A, state=name))
            self.assert_shows(A, State.UNKNOWN)
            self.assertEqual(self.shown and self.shown.unknown_state, name)
        self.close(3000)
        self.wait_for(Connect)
        self.give_up("no WebSocket", was_reached=True)
        self.answer(304, fields_of(A, livefeed_state="paused"))
        self.assert_shows(A, State.UNKNOWN, Line.POLLING)
        self.assertEqual(self.shown and self.shown.unknown_state, "paused")

    def test_refused_item(self) -> None:
        """A refused item is asked for again when the server says, or never."""
        self.begin()
        self.assertEqual(self.receive(message("refused", status=503, detail="full", retry=1000)), [])
        self.receive(heartbeat(A, next=9000))
        self.assertEqual(self.wait_for(Send), 1.125)
        (*_, stop) = self.receive(message("refused", status=404, detail="no such part", retry=None))
        assert isinstance(stop, Stop)
        self.assertEqual((str(stop.error), stop.error.status), ("no such part", 404))
        self.assert_shows(None, State.MISSING, Line.OFFLINE)

    def test_refused_item_that_is_shown(self) -> None:
        """It stays as it is, is not live after two ticks without a word, and goes when its lifetime is over."""
        for status in (403, 429, 503, 599):
            self.setUp()
            self.begin()
            self.receive(heartbeat(A, lifetime=20_000))
            began = self.now
            self.now += 3
            self.receive(message("refused", status=status, detail="full", retry=300_000))
            self.assert_shows(A)
            self.wait()
            self.assertLessEqual(self.now - began, 5)
            while self.now - began < 20:
                assert self.shown is not None
                self.assert_shows(A, State.STALE, self.shown.line)
                self.give_up("no answer")
                self.wait()
            self.assert_shows(None, State.EXPIRED, Line.OFFLINE)

    def test_stopped_client(self) -> None:
        """It hears nothing more: what it showed last is not live."""
        self.begin()
        self.receive(message("refused", status=403, detail="not from there", retry=None))
        self.assert_shows(A, State.STALE, Line.OFFLINE)

    def test_late_events_are_ignored(self) -> None:
        """Events of a connection that is no longer there change nothing."""
        self.begin()
        self.close(3000)
        self.assertEqual(self.receive(document(B)), [])
        self.assertEqual(self.close(3500), [])
        self.assertEqual(self.give_up("late"), [])
        self.assertEqual(self.answer(200, fields_of(B), B.encode()), [])
        self.assertEqual(self.protocol.opened(V2, self.now), [])


class HandshakeTests(ProtocolTestCase):
    """A WebSocket that cannot be had."""

    def setUp(self) -> None:
        super().setUp()
        self.after(self.protocol.start(self.now))

    def test_nothing_listens(self) -> None:
        """The reason is shown, and the client tries again, less and less often."""
        waits = []
        for _ in range(8):
            self.assertEqual(self.give_up("nothing listens at h"), [])
            self.assert_shows(None, State.WAITING, Line.OFFLINE)
            waits.append(self.wait_for(Connect))
        self.assertEqual(waits[:3], [0.75, 1.5, 3.0])
        self.assertEqual(waits[-1], 45.0)

    def test_proxy_without_websockets(self) -> None:
        """The client polls, and tries a WebSocket again from time to time, less and less often."""
        waits = []
        for failure in ({"status": 400}, {"status": 502}, {"was_reached": True}, {"status": 200}):
            began = self.now
            self.assertIsInstance(self.give_up("no WebSocket", **failure)[0], Get)
            for _ in range(2000):
                self.answer(304 if self.shown and self.shown.content else 200, fields_of(A), A.encode())
                self.assert_shows(A, State.LIVE, Line.POLLING)
                if isinstance(self.wait()[0], Connect):
                    break
            waits.append(round((self.now - began) / 60))
        self.assertEqual(waits, [1, 2, 5, 9])

    def test_server_without_the_protocol(self) -> None:
        """A server that does not know the subprotocol is polled."""
        disconnect, get = self.after(self.protocol.opened(None, self.now))
        self.assertEqual((disconnect, get), (Disconnect(), Get({})))

    def test_no_handshake(self) -> None:
        """A handshake that takes too long is given up."""
        self.assertEqual(self.wait(), [Disconnect(), Get({})])
        self.assertEqual(self.now, 1000 + ANSWER_S)

    def test_refusals(self) -> None:
        """Some refusals end the client; others tell when to come back."""
        for status in (401, 403, 404):
            self.setUp()
            (*_, stop) = self.give_up("no", status=status)
            assert isinstance(stop, Stop)
            self.assertEqual(stop.error.status, status)
        self.setUp()
        (*_, stop) = self.give_up("This feed requires a token.", status=401, page="/-/problems/token-missing")
        assert isinstance(stop, Stop)
        told = "http://h/feed: This feed requires a token. http://h/-/problems/token-missing says more."
        self.assertEqual(str(stop.error), told)
        for status, state in ((503, State.WAITING), (429, State.WAITING), (410, State.EXPIRED)):
            self.setUp()
            self.give_up("not now", status=status, retry_after_s=30)
            assert self.shown is not None
            self.assertEqual((self.shown.state, self.shown.problem), (state, "http://h/feed: not now"))
            self.assertEqual(self.wait_for(Connect), 30.5)

    def test_part_that_is_gone_after_a_restart(self) -> None:
        """A part that the client has seen may come back."""
        self.after(self.protocol.opened(V2, self.now))
        self.receive(document(A))
        self.now += 10
        self.close(3000)
        self.wait_for(Connect)
        self.assertEqual(self.give_up("no such part", status=404), [])
        self.assert_shows(None, State.MISSING, Line.POLLING)
        self.wait_for(Connect)


class PollTests(ProtocolTestCase):
    """A client that polls."""

    def setUp(self) -> None:
        super().setUp()
        self.protocol.can_push = False
        self.assertEqual(self.after(self.protocol.start(self.now)), [Get({})])

    def poll(self) -> dict[str, str]:
        """Waits for the next request, and gives its fields."""
        actions = self.wait()
        self.assertEqual(len(actions), 1)
        assert isinstance(actions[0], Get)
        return actions[0].fields

    def test_each_tick(self) -> None:
        """The client asks once per tick, with a random part, and names the version that it has."""
        self.answer(200, fields_of(A, livefeed_age="3"), A.encode())
        self.assert_shows(A, State.LIVE, Line.POLLING)
        self.assertEqual(self.protocol.age_s(self.now), 3)
        began = self.now
        self.assertEqual(self.poll()["If-None-Match"], f'"{version_of(A)}"')
        self.assertAlmostEqual(self.now - began, 1.05)
        self.answer(304, fields_of(A, livefeed_next="0"))
        began = self.now
        self.poll()
        self.assertGreaterEqual(self.now - began, 0.45)

    def test_splices(self) -> None:
        """Splices are asked for, and after splices that do not apply, the document."""
        self.answer(200, fields_of(A), A.encode())
        self.assertEqual(self.poll()["A-IM"], "livefeed-splices")
        fields = fields_of(B, im="livefeed-splices", delta_base=f'"{version_of(A)}"')
        content = make_splices(A.encode(), B.encode())
        self.answer(226, fields, content)
        self.assert_shows(B, State.LIVE, Line.POLLING)
        self.poll()
        self.assertEqual(self.answer(226, fields, content), [Get({"If-None-Match": f'"{version_of(B)}"'})])
        self.answer(304, fields_of(B))
        self.assertIn("A-IM", self.poll())

    def test_wrong_document(self) -> None:
        """A document without its version is not shown, and asked for whole the next time."""
        self.answer(200, fields_of(A), A.encode())
        self.poll()
        self.answer(200, fields_of(A), B.encode())
        self.assert_shows(A, State.LIVE, Line.OFFLINE)
        self.assertEqual(self.poll(), {})

    def test_old_answer_of_a_cache(self) -> None:
        """A version that is older than the known one is not shown, and proves nothing."""
        self.answer(200, fields_of(B, livefeed_sequence="7.2"), B.encode())
        for _ in range(4):
            self.poll()
            self.answer(200, fields_of(A), A.encode())
        self.assertEqual(self.shown and self.shown.content, B.encode())
        self.wait()
        self.answer(200, fields_of(A), A.encode())
        self.wait()
        self.assert_shows(B, State.STALE, Line.POLLING)

    def test_other_servers(self) -> None:
        """A document of a server that is no livefeed is shown, but neither live nor verified."""
        self.answer(200, {"etag": '"1"'}, A.encode())
        self.assert_shows(A, State.UNKNOWN, Line.POLLING)
        self.assertEqual(self.shown and (self.shown.verified, self.shown.version), (False, version_of(A)))
        self.assertEqual(self.poll()["If-None-Match"], '"1"')
        self.answer(304, {"etag": '"1"'})
        self.assert_shows(A, State.UNKNOWN, Line.POLLING)

    def test_page(self) -> None:
        """A page is not taken for a document: it ends a client at first, and later the document stays."""
        page = (200, {"content-type": "text/html; charset=utf-8"}, b"<!doctype html>")
        (*_, stop) = self.answer(*page)
        assert isinstance(stop, Stop)
        self.assertEqual(
            str(stop.error), "http://h/feed is a page, not a document: name the feed, such as http://h/feed"
        )
        self.setUp()
        self.answer(200, fields_of(A), A.encode())
        self.poll()
        self.answer(*page)
        self.assert_shows(A, State.LIVE, Line.OFFLINE)
        self.assertIn("is a page", self.shown.problem if self.shown else "")
        self.wait_for(Get)

    def test_failures(self) -> None:
        """A server that cannot be reached is asked less and less often; meanwhile the document becomes stale."""
        self.answer(200, fields_of(A), A.encode())
        self.poll()
        self.give_up("nothing listens at h")
        self.assert_shows(A, State.LIVE, Line.OFFLINE)
        while self.shown and self.shown.state is State.LIVE:
            self.give_up("nothing listens at h")
            self.wait()
        self.assert_shows(A, State.STALE, Line.OFFLINE)
        self.give_up("nothing listens at h")

    def test_no_answer(self) -> None:
        """A request without an answer is a failure after some time."""
        self.assertEqual(self.wait_for(Get), ANSWER_S + 0.75)

    def test_end_of_a_server(self) -> None:
        """A server that stops names the time of the next request, with a good answer."""
        self.answer(200, fields_of(A, retry_after="7"), A.encode())
        self.assertEqual(self.wait_for(Get), 7.5)

    def test_refusals(self) -> None:
        """The state of a document that may not be shown is taken from the answer, and 404 ends a client at first."""
        self.answer(410, {"livefeed-state": "withdrawn", "livefeed-reason": '"by mistake"', "retry-after": "5"})
        assert self.shown is not None
        self.assertEqual(self.shown.reason, "by mistake")
        self.assert_shows(None, State.WITHDRAWN, Line.POLLING)
        self.assertGreaterEqual(self.wait_for(Get), 5)
        problem = {"content-type": "application/problem+json"}
        self.answer(503, problem, b'{"detail": "Nothing has been pulled yet."}')
        self.assertEqual(self.shown and self.shown.problem, "http://h/feed: Nothing has been pulled yet.")
        self.wait_for(Get)
        self.answer(500, {})
        self.wait_for(Get)
        (*_, stop) = self.answer(404, problem, b'{"detail": "There is nothing at this path."}')
        assert isinstance(stop, Stop)
        self.assertEqual(str(stop.error), "http://h/feed: There is nothing at this path.")

    def test_file_of_another_server(self) -> None:
        """The message about a URL with a form of a feed says that the form was left out."""
        self.protocol = Protocol(Address.of("http://h/results.json"), can_push=False)
        self.after(self.protocol.start(self.now))
        (*_, stop) = self.answer(404, {})
        assert isinstance(stop, Stop)
        self.assertEqual(
            str(stop.error),
            "http://h/results is answered with status 404 (the URL without .json, which stands for a form of the feed)",
        )

    def test_moved(self) -> None:
        """The new place of a feed is told, and not followed: the user decides whom to trust."""
        (*_, stop) = self.answer(301, {"location": "https://other/feed"})
        assert isinstance(stop, Stop)
        self.assertIn("https://other/feed", str(stop.error))


class ScheduleTests(SynchronousTestCase):
    """Random schedules of events."""

    def setUp(self) -> None:
        self.texts = [f'{{"seats": {number}}}' for number in range(5)]

    def event(self, chance: random.Random, protocol: Protocol, now: float) -> tuple[list[Action], bool]:
        """Has something happen, and gives the client's actions, and whether the server has said something."""
        one, other = chance.choice(self.texts), chance.choice(self.texts)
        said = chance.choice(["live", "live", "stale", "expired", "odd"])
        kind = chance.randrange(7)
        if kind == 0:
            return protocol.opened(chance.choice([V2, V2, V2, None]), now), False
        if kind == 1:
            return protocol.closed(chance.choice([1001, 1006, 3000, 3400, None]), "", now), False
        if kind == 2:
            return protocol.failed(Failed("no", chance.choice([0, 400, 503, 410])), now), False
        if kind == 3:
            return protocol.answered(Answer(200, fields_of(one, livefeed_state=said), one.encode()), now), True
        text = chance.choice([document(one, state=said), splices(one, other, state=said), heartbeat(one)])
        return protocol.received(text, now), True

    def check(self, action: Action, since_evidence_s: float) -> None:
        """Checks that a shown document has its version, and is not called live without evidence."""
        if not isinstance(action, Show):
            return
        if action.shown.content is not None:
            self.assertEqual(action.shown.version, version_of(action.shown.content.decode()))
        if action.shown.state is State.LIVE:
            self.assertLess(since_evidence_s, 2 + 3 + 1 + 0.2)

    def test_any_order_of_events(self) -> None:
        """Whatever happens: a shown document has its version, live has evidence, and there is always a next step."""
        for seed in range(150):
            chance = random.Random(seed)
            protocol = Protocol(Address.of("http://h/feed"), part=chance.random)
            now, evidence = 0.0, float("-inf")
            actions = protocol.start(now)
            for _ in range(120):
                for action in actions:
                    self.check(action, now - evidence)
                if any(isinstance(action, Stop) for action in actions):
                    self.assertIsNone(protocol.wakes_at)
                    break
                assert protocol.wakes_at is not None
                self.assertLess(protocol.wakes_at - now, 600)
                if chance.random() < 0.3:
                    now = max(now, protocol.wakes_at)
                    actions = protocol.wake(now)
                    continue
                now += chance.random()
                actions, is_evidence = self.event(chance, protocol, now)
                evidence = now if is_evidence else evidence


class SignatureTests(ProtocolTestCase):
    """A client with keys shows nothing that they have not signed."""

    def setUp(self) -> None:
        super().setUp()
        self.wall = 1_764_000_000.0
        trust = Trust(TRUSTED, "feed", wall=lambda: self.wall + self.now - 1000)
        self.protocol = Protocol(Address.of("http://h/feed"), part=lambda: 0.5, trust=trust)

    def signed(self, text: str, number: int = 1, **more: Any) -> Signed:
        created = int(self.wall + self.now - 1000)
        return statement_about(text.encode(), sequence=(7, number), created=created, **more)

    def member(self, text: str, number: int = 1, **more: Any) -> dict[str, Any]:
        return {"sequence": f"7.{number}", "signed": member_of(self.signed(text, number, **more))}

    def fields(self, text: str, number: int = 1, **more: Any) -> dict[str, str]:
        signed = {name.decode().lower(): value.decode() for name, value in self.signed(text, number, **more).fields()}
        return fields_of(text, livefeed_sequence=f"7.{number}") | signed

    def ask(self) -> None:
        """Waits until the client polls."""
        while Get not in [type(each) for each in self.wait()]:
            pass

    def open(self) -> None:
        self.after(self.protocol.start(self.now))
        self.after(self.protocol.opened(V2, self.now))

    def assert_verified(self, text: str | None, state: State, distrust: str = "") -> None:
        assert self.shown is not None
        self.assertEqual(self.shown.content, None if text is None else text.encode())
        self.assertEqual((self.shown.state, self.shown.signed), (state, text is not None))
        self.assertIn(distrust, self.shown.distrust)
        self.assertEqual(bool(distrust), bool(self.shown.distrust))

    def test_messages(self) -> None:
        """Documents, splices and heartbeats with statements are taken, and the state is the signed one."""
        self.open()
        self.assertEqual(self.receive(document(A, **self.member(A))), [])
        self.assert_verified(A, State.LIVE)
        self.assertEqual(self.receive(splices(A, B, **self.member(B, 2))), [])
        self.assert_verified(B, State.LIVE)
        self.assertEqual(self.receive(heartbeat(B, state="ended", **self.member(B, 2, state="held"))), [])
        self.assert_verified(B, State.HELD)

    def test_refused_messages(self) -> None:
        """What is not signed ends the connection, and the document before stays; the client tries again."""
        for text, why in (
            (document(B, sequence="7.2"), "not signed"),
            (document(B, **self.member(A, 2)), "not the document that was signed"),
            (document(B, **self.member(B, 2, feed="other")), "for the feed"),
            (document(B, **self.member(B, 0)), "older than one that was verified"),
            (splices(A, B, sequence="7.2"), "not signed"),
            (heartbeat(A), "not signed"),
        ):
            self.setUp()
            self.open()
            self.receive(document(A, **self.member(A)))
            self.assertEqual(self.receive(text), [Disconnect()])
            self.assert_verified(A, State.LIVE, why)
            self.assertEqual(self.shown and self.shown.line, Line.OFFLINE)
            self.assertEqual([type(each) for each in self.wait()], [Connect])
            self.after(self.protocol.opened(V2, self.now))
            self.receive(heartbeat(A, **self.member(A)))
            self.assert_verified(A, State.LIVE)

    def test_a_withdrawal_needs_no_signature(self) -> None:
        """To show less is always allowed."""
        self.open()
        self.receive(document(A, **self.member(A)))
        self.assertEqual(self.receive(heartbeat(A, state="withdrawn")), [])
        self.assert_verified(None, State.WITHDRAWN)

    def test_splices_that_do_not_fit(self) -> None:
        """They are no fraud: the client asks for the document."""
        self.open()
        self.receive(document(A, **self.member(A)))
        bad = splices(A, B, version=version_of(A), **self.member(A, 2))
        self.assertEqual([type(each) for each in self.receive(bad)], [Send])

    def test_answers(self) -> None:
        """Polls are verified, too: a document, its confirmation, and a delta."""
        self.protocol.can_push = False
        self.after(self.protocol.start(self.now))
        self.answer(200, self.fields(A), A.encode())
        self.assert_verified(A, State.LIVE)
        self.ask()
        self.answer(304, self.fields(A))
        self.assert_verified(A, State.LIVE)
        for status, fields, content, why in (
            (200, fields_of(B), B.encode(), "not signed"),
            (304, fields_of(A), b"", "not signed"),
            (200, self.fields(B, 2, feed="x"), B.encode(), "for the feed"),
        ):
            self.ask()
            self.answer(status, fields, content)
            self.assert_verified(A, State.LIVE, why)
        self.ask()
        delta = fields_of(B) | {"im": "livefeed-splices", "delta-base": f'"{version_of(A)}"'} | self.fields(B, 2)
        self.answer(226, delta, make_splices(A.encode(), B.encode()))
        self.assert_verified(B, State.LIVE)

    def test_a_frozen_mirror(self) -> None:
        """A mirror that repeats its last answer with a fresh age is noticed by the time of the statement."""
        self.open()
        member = self.member(A)
        self.receive(document(A, **member))
        for _ in range(20):
            self.now += 0.5
            self.receive(heartbeat(A, **member))
        self.assert_verified(A, State.STALE, "newest signed statement is of 2025-11-24T16:00:00.000Z")
        self.receive(heartbeat(A, **self.member(A)))
        self.assert_verified(A, State.LIVE)

    def test_a_mirror_that_says_nothing(self) -> None:
        """The client wakes when the statement is too old, without any message."""
        self.open()
        self.receive(document(A, next=60_000, **self.member(A)))
        while self.shown is not None and self.shown.state is State.LIVE:
            self.wait()
        self.assertEqual(self.now, 1009.0)
        self.assert_verified(A, State.STALE, "newest signed statement")
