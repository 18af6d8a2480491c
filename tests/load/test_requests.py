"""The requests."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from livefeed.load.kinds import WEBSOCKETS, Kind
from livefeed.load.requests import Requests
from tests.helpers.load_targets import plan_for


class RequestTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """The same bytes each time, with the fields that HTTP requires."""
        requests = Requests(plan_for(80), 0)
        request = requests.of(Kind.POLL)
        self.assertTrue(request.startswith(b"GET /feed HTTP/1.1\r\nHost: 127.0.0.1:80\r\nUser-Agent: livefeed-bench/"))
        self.assertTrue(request.endswith(b"\r\n\r\n"))
        self.assertIs(requests.of(Kind.POLL), request)

    def test_tags(self) -> None:
        """A tag is sent, and only those of the newest version are kept."""
        requests = Requests(plan_for(80), 0)
        first = requests.of(Kind.CONDITIONAL, b'"a"')
        self.assertIn(b'\r\nIf-None-Match: "a"\r\n', first)
        self.assertIs(requests.of(Kind.CONDITIONAL, b'"a"'), first)
        requests.of(Kind.POLL)
        requests.of(Kind.CONDITIONAL, b'"b"')
        requests.of(Kind.WAIT, b'"b"')
        self.assertEqual({*requests._made}, {(Kind.POLL, None), (Kind.CONDITIONAL, b'"b"'), (Kind.WAIT, b'"b"')})

    def test_browsers(self) -> None:
        """No two requests are the same, and the number is in three fields."""
        requests = Requests(plan_for(80), 41)
        found = [re.findall(rb"\b4\d\b", requests.of(Kind.BROWSER, b'"a"')) for _ in range(2)]
        self.assertEqual(found, [[b"41"] * 3, [b"42"] * 3])
        self.assertNotIn(b"\0", requests.of(Kind.BROWSER))

    def test_kinds(self) -> None:
        """Each kind asks in its way."""
        requests = Requests(plan_for(80, wait_s=7), 0)
        self.assertIn(b"\r\nPrefer: wait=7\r\n", requests.of(Kind.WAIT))
        self.assertIn(b"\r\nAccept: text/event-stream\r\n", requests.of(Kind.EVENTS))
        for kind in WEBSOCKETS:
            self.assertIn(b"\r\nUpgrade: websocket\r\n", requests.of(kind))

    def test_connections(self) -> None:
        """Pollers that do not keep their connection say so; the other kinds always keep it."""
        requests = Requests(plan_for(80, is_kept=False), 0)
        self.assertIn(b"\r\nConnection: close\r\n", requests.of(Kind.POLL))
        self.assertIn(b"\r\nConnection: close\r\n", requests.of(Kind.BROWSER))
        for kind in (Kind.WAIT, Kind.EVENTS, Kind.WS):
            self.assertNotIn(b"close", requests.of(kind))

    def test_fields(self) -> None:
        """Fields of the user take the place of those of the same name."""
        request = Requests(plan_for(80, fields={"user-agent": "me", "Origin": "https://a.test"}), 0).of(Kind.POLL)
        self.assertEqual(request.lower().count(b"user-agent"), 1)
        self.assertIn(b"\r\nuser-agent: me\r\nOrigin: https://a.test\r\n", request)
