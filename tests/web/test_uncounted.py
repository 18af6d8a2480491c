"""Requests that count nowhere: rendered, repeated, with and without an access log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from livefeed.testing import Response, make_site, publish
from livefeed.transport.answer import Repeatable
from livefeed.web.access_log import AccessLog, Format, LoggedSite
from livefeed.web.uncounted import UncountedSite
from tests.helpers.handshake_heads import head

if TYPE_CHECKING:
    from livefeed.web.site import Site

HEAD = b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nServer: livefeed\r\n\r\n12345"


class UncountedTests(SynchronousTestCase):
    def setUp(self) -> None:
        made = make_site()
        publish(made.feed, b"[1]")
        self.lines: list[bytes] = []
        self.log = AccessLog(Format("common"), lambda data, count: self.lines.append(data), time.time)
        logged = LoggedSite(self.log, None, made.site.resource, reactor=made.feed.clock)
        self.sites: list[Site] = [made.site, logged]

    def ask(self, site: Site) -> Response:
        transport = StringTransport()
        channel: Any = site.buildProtocol(None)
        channel.makeConnection(transport)
        channel.dataReceived(HEAD)
        return Response.parse(transport.value())

    def test_rendered(self) -> None:
        """The answer is that of the site, and the site does not count it."""
        for site in self.sites:
            self.assertEqual(self.ask(UncountedSite(site)).body, b"[1]")
            self.log.flush()
            self.assertEqual((site.counts(), self.lines), ({}, []))
            self.assertEqual(self.ask(site).status, 200)
            self.assertEqual(sum(site.counts().values()), 1)

    def test_handshakes(self) -> None:
        """Each is judged by its resource: nothing tells this site that a feed is protected from now on."""
        site = UncountedSite(self.sites[0])
        channel: Any = site.buildProtocol(None)
        channel.makeConnection(StringTransport())
        channel.dataReceived(head())
        self.assertIn(b"HTTP/1.1 101 ", channel.transport.value())
        self.assertIsNone(site.upgrade(head(), False))

    def test_repeated(self) -> None:
        """An answer that was stored for others is given without a count or a line."""
        for site in self.sites:
            theirs, replay = site.replays[False], UncountedSite(site).replays[False]
            self.assertIsNone(replay.find(HEAD))
            key = replay.missed
            assert key is not None
            replay.store(key, b"other", Repeatable("label", None))
            theirs.store(key, ANSWER, Repeatable("label", None))
            for _ in range(2):
                answer = replay.find(HEAD)
                assert answer is not None
                self.assertEqual(answer.data, ANSWER)
            self.log.flush()
            self.assertEqual((site.counts(), self.lines), ({}, []))
            self.assertIs(theirs.find(HEAD), answer)
            self.assertEqual(site.counts(), {"label": 1})
            self.assertEqual(replay.generation, theirs.generation)
            theirs.clear()
            self.assertEqual(replay.generation, theirs.generation)
            self.assertIsNone(replay.find(HEAD))

    def test_alone(self) -> None:
        """A request waits with no others."""
        replay: Any = UncountedSite(self.sites[0]).replays[False]
        replay.open_room(object())
        self.assertFalse(replay.join(b"key", object()))
        replay.close_room(object())
        replay.answered(object(), HEAD, [object()])
        self.assertEqual((self.sites[0].replays[False].rooms, self.sites[0].counts()), ({}, {}))
