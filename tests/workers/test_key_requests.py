"""The requests of a worker for keys."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.auth.fetching import RETRY_S
from livefeed.workers.key_requests import KEYS, SOON_S, KeyRequests
from livefeed.workers.messages import Message


class KeyRequestTests(SynchronousTestCase):
    def test_seldom(self) -> None:
        """The parent is asked once in a while for each URL; shortly afterwards keys may come."""
        clock, sent = Clock(), list[Message]()
        requests = KeyRequests(clock, sent.append)
        self.assertTrue(requests.want("https://a"))
        clock.advance(SOON_S / 2)
        self.assertTrue(requests.want("https://a"))
        clock.advance(SOON_S)
        self.assertFalse(requests.want("https://a"))
        self.assertTrue(requests.want("https://b"))
        clock.advance(RETRY_S)
        self.assertTrue(requests.want("https://a"))
        self.assertEqual(
            [(each.type, each.facts["url"]) for each in sent],
            [
                (KEYS, "https://a"),
                (KEYS, "https://b"),
                (KEYS, "https://a"),
            ],
        )
