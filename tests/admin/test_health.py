"""Live and ready."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.health import Health, LiveResource, ReadyResource
from livefeed.admin.reports import NO_ORIGIN
from livefeed.feed.state import State
from livefeed.testing import Response, make_site, publish, request
from livefeed.web.resources import Node
from livefeed.web.site import Site


class HealthTests(SynchronousTestCase):
    """Two feeds, and the answers about them."""

    def setUp(self) -> None:
        self.clock = Clock()
        made = make_site("a", "b", clock=self.clock)
        self.feeds = [published.feed for published in made.published]
        feeds: Any = [SimpleNamespace(published=published) for published in made.published]
        self.health = Health(feeds)
        root = Node(NO_ORIGIN)
        root.putChild(b"live", LiveResource())
        root.putChild(b"ready", ReadyResource(self.health))
        root.putChild(b"public", ReadyResource(self.health, is_public=True))
        self.site = Site(root, reactor=self.clock)

    def ask(self, path: str) -> Response:
        return request(self.site, f"GET /{path} HTTP/1.1".encode())

    def ready(self) -> tuple[int, Any]:
        answer = self.ask("ready")
        return answer.status, json.loads(answer.body)

    def test_ready_when_all_are_live(self) -> None:
        """Each feed that is not live is named, with the reason."""
        publish(self.feeds[0], b"[1]")
        reason = 'feed "b" is stale: nothing was pulled yet'
        self.assertEqual(self.ready(), (503, {"ready": False, "reasons": [reason]}))
        self.feeds[1].mark_stale("redis: connection refused")
        self.assertEqual(self.ready()[1]["reasons"], ['feed "b" is stale: redis: connection refused'])
        publish(self.feeds[1], b"[2]")
        self.assertEqual(self.ready(), (200, {"ready": True, "reasons": []}))

    def test_decisions_are_no_obstacles(self) -> None:
        """A feed that is held, ended or withdrawn is ready while pulls are good; one that has ended, without them."""
        for feed in self.feeds:
            publish(feed, b"[1]")
        for decision in (State.HELD, State.ENDED, State.WITHDRAWN):
            self.feeds[0].decide(decision)
            self.assertEqual(self.ready()[0], 200)
        self.feeds[0].mark_stale("redis: away")
        reason = 'feed "a" is withdrawn, and would be stale: redis: away'
        self.assertEqual(self.ready(), (503, {"ready": False, "reasons": [reason]}))
        self.feeds[0].decide(State.ENDED)
        self.assertEqual(self.ready()[0], 200)

    def test_obstacles(self) -> None:
        """Other parts can have reasons of their own."""
        for feed in self.feeds:
            publish(feed, b"[1]")
        reasons: list[str | None] = [None, "it is being drained"]
        self.health.obstacles += [lambda: reasons[0], lambda: reasons[1]]
        self.assertEqual(self.ready(), (503, {"ready": False, "reasons": ["it is being drained"]}))
        reasons[1] = None
        self.assertEqual(self.ready()[0], 200)

    def test_public_answer_has_no_reasons(self) -> None:
        """They may name the addresses of sources."""
        self.feeds[0].mark_stale("redis.internal: connection refused")
        answer = self.ask("public")
        self.assertEqual((answer.status, json.loads(answer.body)), (503, {"ready": False}))

    def test_live(self) -> None:
        """Live is independent of the feeds: a restart would not mend a source."""
        answer = self.ask("live")
        self.assertEqual((answer.status, json.loads(answer.body)), (200, {"live": True}))
