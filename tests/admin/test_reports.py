"""Answers in JSON, and resources that are only read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.reports import NO_ORIGIN, Reading, json_answer
from livefeed.testing import request
from livefeed.web.resources import Node
from livefeed.web.site import Site

if TYPE_CHECKING:
    from livefeed.web.request import Request


class _Report(Reading):
    def read(self, request: Request) -> int:
        return json_answer(request, 200, {"a": [1, None]})


class ReadingTests(SynchronousTestCase):
    """A report, by each method."""

    def setUp(self) -> None:
        root = Node(NO_ORIGIN)
        root.putChild(b"r", _Report())
        self.site = Site(root, reactor=Clock())

    def test_read(self) -> None:
        """People can read it, and nothing keeps it or shows it to other pages."""
        answer = request(self.site, b"GET /r HTTP/1.1\nOrigin: http://a.example")
        self.assertEqual(answer.body, b'{\n  "a": [\n    1,\n    null\n  ]\n}\n')
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertNotIn("access-control-allow-origin", answer.headers)
        self.assertEqual(request(self.site, b"HEAD /r HTTP/1.1").body, b"")

    def test_other_methods(self) -> None:
        """It is only read."""
        self.assertEqual(request(self.site, b"DELETE /r HTTP/1.1").status, 405)
        probe = request(self.site, b"OPTIONS /r HTTP/1.1")
        self.assertEqual((probe.status, probe.headers["allow"]), (204, "GET, HEAD, OPTIONS"))
