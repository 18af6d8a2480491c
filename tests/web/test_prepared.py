"""Prepared answers."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.testing import make_site, publish, request
from livefeed.web.prepared import MAX_PREPARED, NothingPrepared, Prepared, PreparedAnswers
from tests.helpers.guarded import AUTHORIZATION, protect


def make(*basis: object, body: bytes | None = b"x") -> Prepared:
    fields = [(b"Content-Encoding", b"br"), (b"etag", b'"a"')]
    return Prepared.of(200, fields, body, select=None, basis=basis)


class PreparedTests(SynchronousTestCase):
    def test_head(self) -> None:
        """It is whole, and others can be put in front of its fields."""
        answer = make()
        self.assertRegex(
            answer.head,
            rb"\AHTTP/1\.1 200 OK\r\nServer: livefeed\r\nDate: [^\r]+ GMT\r\nX-Content-Type-Options: nosniff\r\n"
            rb'Content-Encoding: br\r\nETag: "a"\r\nContent-Length: 1\r\n\r\n\Z',
        )
        self.assertEqual((answer.body, answer.coding), (b"x", "br"))
        self.assertEqual(answer.head_with(b"X: y\r\n"), answer.head.replace(b"OK\r\n", b"OK\r\nX: y\r\n"))
        self.assertNotIn(b"Content-Length", make(body=None).head)

    def test_basis(self) -> None:
        """An answer counts for the very same objects alone: equal ones may be others."""
        answers, first, second = PreparedAnswers(), [1], [1]
        answer = make(first)
        answers.keep("key", answer)
        self.assertIs(answers.find("key", (first,)), answer)
        self.assertIsNone(answers.find("key", (second,)))
        self.assertIsNone(answers.find("other", (first,)))
        answers.clear()
        self.assertIsNone(answers.find("key", (first,)))

    def test_limit(self) -> None:
        """No more keys are kept than the limit, but a key that is there takes another answer."""
        answers, answer, other = PreparedAnswers(), make(), make()
        for key in range(MAX_PREPARED + 1):
            answers.keep(key, answer)
        answers.keep(0, other)
        self.assertIs(answers.find(0, ()), other)
        self.assertIs(answers.find(MAX_PREPARED - 1, ()), answer)
        self.assertIsNone(answers.find(MAX_PREPARED, ()))

    def test_use_is_told(self) -> None:
        """The owner learns when there is something to forget, once until it is forgotten."""
        answers, told = PreparedAnswers(), []
        answers.used = lambda: told.append(answers.is_empty)
        for _ in range(2):
            self.assertTrue(answers.is_empty)
            answers.keep(1, make())
            answers.keep(2, make())
            answers.clear()
        self.assertEqual(told, [False, False])

    def test_nothing(self) -> None:
        """The other store keeps nothing."""
        nothing = NothingPrepared()
        nothing.keep("key", make())
        self.assertIsNone(nothing.find("key", ()))


class SiteTests(SynchronousTestCase):
    """The answers of a site."""

    def setUp(self) -> None:
        self.clock = Clock()
        made = make_site(clock=self.clock)
        self.site, (self.published,) = made.site, made.published
        self.feed = self.published.feed
        self.made: list[Any] = []
        of = Prepared.of

        def record(*arguments: Any, **named: Any) -> Prepared:
            self.made.append(arguments)
            return of(*arguments, **named)

        self.patch(Prepared, "of", record)
        publish(self.feed, b'{"a": 1}')
        self.site.startFactory()
        self.addCleanup(self.site.stopFactory)

    def ask(self, *fields: bytes, method: bytes = b"GET", target: bytes = b"/feed") -> tuple[int, bytes, int]:
        """Gives the status and the content of an answer, and the number of answers that were prepared so far."""
        response = request(self.site, b"\n".join((b"%s %s HTTP/1.1" % (method, target), *fields)))
        return response.status, response.body, len(self.made)

    def test_prepared_once(self) -> None:
        """Requests that mean the same get the same answer, with a body or without."""
        self.assertEqual(self.ask(), (200, b'{"a": 1}', 1))
        self.assertEqual(self.ask(), (200, b'{"a": 1}', 1))
        self.assertEqual(self.ask(b'If-None-Match: "x"', b"Accept-Encoding: x"), (200, b'{"a": 1}', 1))
        self.assertEqual(self.ask(b"Connection: close", method=b"HEAD"), (200, b"", 1))
        self.assertEqual(self.ask(b"If-None-Match: *"), (304, b"", 2))
        self.assertEqual(self.ask(target=b"/feed?x"), (200, b'{"a": 1}', 2))
        self.assertEqual(self.ask(target=b"/feed.json"), (200, b'{"a": 1}', 3))
        self.assertEqual(self.ask(target=b"/feed/a"), (200, b"1", 4))
        self.assertEqual(self.ask(target=b"/feed/a"), (200, b"1", 4))

    def test_end_of_a_connection_is_announced(self) -> None:
        """What a connection says in its answers is not a part of the answer that others get."""
        first = request(self.site, b"GET /feed HTTP/1.1\nConnection: close")
        self.assertEqual(first.headers["connection"], "close")
        self.assertNotIn("connection", request(self.site, b"GET /feed HTTP/1.1\nConnection: closed").headers)
        self.assertEqual(len(self.made), 1)

    def test_forgotten(self) -> None:
        """A version, a change of state, and a quarter of a second make other answers."""
        self.ask()
        publish(self.feed, b'{"a": 2}')
        self.assertEqual(self.ask(), (200, b'{"a": 2}', 2))
        self.feed.mark_stale()
        self.assertEqual(self.ask()[2], 3)
        for made in (4, 5, 6):
            self.clock.advance(0.25)
            self.assertEqual(self.ask()[2], made)
        self.clock.pump([0.25, 0.25])
        # Then the process can sleep. The connections have long timers.
        soon = self.clock.seconds() + 1
        self.assertEqual([call for call in self.clock.getDelayedCalls() if call.getTime() < soon], [])

    def test_neither_an_older_version_nor_an_earlier_state(self) -> None:
        """An answer counts for its version and state, even if nobody has said that answers are to be forgotten."""
        self.feed.unobserve(self.site.forget_answers)
        self.ask()
        publish(self.feed, b'{"a": 2}')
        self.assertEqual(self.ask(), (200, b'{"a": 2}', 2))
        self.feed.mark_stale()
        self.assertEqual(self.ask()[2], 3)

    def test_requests_that_wait_or_are_unusual(self) -> None:
        """Nothing is prepared for them."""
        for fields in ((b"Prefer: wait=0",), (b"If-Match: *",), (b"Content-Length: 0",)):
            self.assertEqual(self.ask(*fields), (200, b'{"a": 1}', 0))

    def test_deltas(self) -> None:
        """The answer depends on the versions that a client has to the letter."""
        version = self.feed.snapshot.version.encode() if self.feed.snapshot else b""
        publish(self.feed, b'{"a": 2}')
        wants = b'If-None-Match: "%s"' % version, b"A-IM: json-patch"
        status, body, made = self.ask(*wants)
        self.assertEqual(self.ask(*wants), (status, body, made))
        self.assertEqual(self.ask(b'If-None-Match: "x"', b"A-IM: json-patch"), (200, b'{"a": 2}', made + 1))

    def test_protected(self) -> None:
        """Each request is judged, also where the answer is prepared."""
        protect(self.published, self.site)
        self.assertEqual(self.ask(AUTHORIZATION), (200, b'{"a": 1}', 1))
        self.assertEqual(self.ask()[0], 401)
        self.assertEqual(self.ask(AUTHORIZATION), (200, b'{"a": 1}', 1))
        self.assertEqual(self.ask(AUTHORIZATION + b"x")[0], 401)
        self.assertEqual(self.ask(target=b"/feed/a")[0], 401)

    def test_only_while_it_listens(self) -> None:
        """Without its timer, nothing would be forgotten in time."""
        self.site.stopFactory()
        self.assertEqual([self.ask()[2], self.ask()[2]], [1, 2])
