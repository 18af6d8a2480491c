"""The wiring of a worker, with a reactor in memory and real sockets."""

from __future__ import annotations

import hashlib
import socket
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from livefeed.config.settings import FeedSettings, Settings
from livefeed.exceptions import ConfigurationError
from livefeed.process.log_level import LogLevels
from livefeed.tls.files import GivenFiles
from livefeed.workers import served as served_module
from livefeed.workers.messages import PROTOCOL, Message, Welcome
from livefeed.workers.served import NOTHING, make_served

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livefeed.workers.served import Served

LOCAL = "tcp:0:interface=127.0.0.1"


class ServedTests(SynchronousTestCase):
    def setUp(self) -> None:
        # The service that applies the level changes the observers for as long as the process lives.
        self.patch(served_module, "LogLevels", partial(LogLevels, publisher=LogPublisher()))
        self.sent: list[Message] = []

    def listening(self, count: int) -> list[socket.socket]:
        """Gives sockets of a parent."""
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        for sock in sockets:
            self.addCleanup(sock.close)
        return sockets

    def served(
        self,
        sockets: list[socket.socket],
        given_for: list[int],
        numbers: list[int] | None = None,
        index: int = 3,
        access: Mapping[str, bytes] = NOTHING,
        **settings: Any,
    ) -> Served:
        """Gives everything that a worker with an index serves, and has it accept.

        :param given_for: the endpoint of each socket.
        """
        reactor: Any = MemoryReactorClock()
        given = Settings(**{"feeds": (FeedSettings(),), "listen": (LOCAL,), **settings})
        welcome = Welcome(PROTOCOL, "1", 1, {}, listen=given_for, numbers=numbers or [])
        copies = [sock.dup() for sock in sockets]
        served = make_served(
            given, GivenFiles({}), welcome, copies, index=index, reactor=reactor, send=self.sent.append, access=access
        )
        served.accepting.startService()
        self.addCleanup(served.accepting.stopService)
        return served

    def names(self, served: Served) -> list[dict[int, Any]]:
        """Gives the addresses of the sockets of each endpoint, by their number."""
        return [
            {number: one.sock.getsockname() for number, one in port.ports.items()} for port in served.accepting.ports
        ]

    def test_sockets_of_each_endpoint(self) -> None:
        """Without numbers, all sockets are those of this worker."""
        first, second = self.listening(2)
        served = self.served([second, first], [1, 0], listen=(LOCAL, "haproxy:unix:/nowhere"))
        self.assertEqual(self.names(served), [{3: first.getsockname()}, {3: second.getsockname()}])

    def test_sockets_of_other_workers(self) -> None:
        """After an upgrade, a worker may accept on several sockets of an endpoint, or on that of another worker."""
        first, second = self.listening(2)
        served = self.served([first, second], [0, 0], [0, 2])
        self.assertEqual(self.names(served), [{0: first.getsockname(), 2: second.getsockname()}])

    def test_worker_without_sockets(self) -> None:
        """It is ready to be given some, and closes them at its end."""
        served = self.served([], [])
        self.assertEqual(self.names(served), [{}])
        (sock,) = self.listening(1)
        served.accepting.ports[0].add(3, sock.dup())
        served.accepting.stopService()
        self.assertEqual(self.names(served), [{}])

    def test_services(self) -> None:
        """The sockets are the last service, which ends first: no client comes while its feed ends."""
        served = self.served([], [])
        self.assertIs(served.services[-1], served.accepting)
        self.assertIn(served.feeds, served.services)
        self.assertEqual([*served.feeds.feeds], ["feed"])

    def test_reload(self) -> None:
        """Feeds come and go with the settings of the parent, and what they send goes to the parent."""
        served = self.served([], [])
        feeds = (FeedSettings(), FeedSettings(feed="other"))
        served.reload.apply(Settings(feeds=feeds, listen=(LOCAL,), log_level="warn"))
        self.assertEqual([*served.feeds.feeds], ["feed", "other"])
        served.feeds.feeds["feed"]._send(Message("seen"))
        self.assertEqual([each.type for each in self.sent], ["seen"])

    def test_protected_feeds(self) -> None:
        """A worker knows hashes alone, by the names of files that it cannot read, and has its parent fetch keys."""
        lines = b"a sha256:%b" % hashlib.sha256(b"q0Ywz3nOScE8uWq3Yc0dT1p4").hexdigest().encode()
        url = "https://id.example/"
        feed = FeedSettings(
            auth_tokens=Path("/t"), auth_keys=url, auth_algorithm=("EdDSA",), auth_issuer="i", auth_audience="a"
        )
        served = self.served([], [], access={"tokens /t": lines}, feeds=(feed,))
        guard = served.feeds.feeds["feed"].published.guard
        assert guard is not None
        grant = guard.verifier.verify(b"q0Ywz3nOScE8uWq3Yc0dT1p4")
        self.assertEqual(guard.verifier.renew(grant), grant)
        self.assertTrue(served.serving.material.want_keys(url))
        self.assertEqual([(each.type, each.facts) for each in self.sent], [("keys", {"url": url})])
        served.access.given = {}
        served.reload.apply(Settings(feeds=(feed,), listen=(LOCAL,)))
        self.assertIsNone(guard.verifier.renew(grant))

    def test_impossible_endpoint(self) -> None:
        """The setting is named."""
        with self.assertRaisesRegex(ConfigurationError, "listen"):
            self.served([], [], listen=("song:1",))

    def test_limit_of_connections(self) -> None:
        """The memory of the machine is divided among the workers, whose number may be unknown here."""
        for workers in (2, 0, "auto"):
            self.assertIsNotNone(self.served([], [], workers=workers).watch)

    def test_readiness(self) -> None:
        """It is that of the parent, or of the feeds of this process while there is no parent."""
        for is_public in (True, False):
            health = self.served([], [], ready_public=is_public).health
            by_itself = health.why_not_ready()
            self.assertTrue(by_itself)
            reasons = []
            for told in (True, False, None):
                health.told = told
                reasons.append(health.why_not_ready())
            self.assertEqual(reasons, [[], ["the parent is not ready"], by_itself])
