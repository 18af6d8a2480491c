"""The canary against a real pool in this process, over a pair of sockets."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from livefeed.testing import make_site, publish
from livefeed.tls.options import server_options
from livefeed.transport.address_limits import Refusals
from livefeed.transport.addresses import Networks
from livefeed.transport.endpoint import PoolReactor
from livefeed.transport.proxy_header import ProxyHeaders
from livefeed.web.site import Site
from livefeed.web.uncounted import UncountedSite
from livefeed.workers.canary import CANARY_S, MAX_HEAD_BYTES, Canary, CanaryError, Question, Way
from livefeed.workers.inherited_sockets import InheritedPort
from tests.helpers.driven import DrivenReactor, make_pool, turn_until
from tests.helpers.tls import CertificateTestCase

if TYPE_CHECKING:
    from livefeed.transport.pool import Pool

PLAIN = Way(is_tls=False, has_proxy_header=False)
DOCUMENT = b'{"a":[1,2,3]}'


def open_files() -> int:
    """Gives the number of open files of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


class CanaryTestCase(SynchronousTestCase):
    way = PLAIN
    canaries: Any

    def setUp(self) -> None:
        super().setUp()
        self.reactor = DrivenReactor()
        self.addCleanup(self.reactor.close)
        self.listening = make_pool(self.reactor)
        self.pool: Pool = self.listening.pool
        self.memory = make_site(clock=self.reactor)
        self.newest = Question("feed", "")
        self.port = self.listen(self.memory.site)
        self.canary = Canary(cast("Any", self.reactor), self.give, [self.way], lambda: self.newest)

    def listen(self, factory: Any) -> InheritedPort:
        """Gives the port of a worker that has no listening socket."""
        return self.port_of(self.listening, factory)

    def port_of(self, listening: PoolReactor, factory: Any, context: Any = None) -> InheritedPort:
        """Gives the port of a worker's endpoint."""
        self.canaries = UncountedSite(factory) if isinstance(factory, Site) else factory
        return InheritedPort(lambda sock: listening.port(sock, factory, context, 0.0))

    def give(self, endpoint: int, fd: int) -> None:
        """Passes a socket on as the link does: with a descriptor of its own."""
        self.assertEqual(endpoint, 0)
        self.port.admit(socket.socket(fileno=os.dup(fd)), self.canaries)

    def publish(self, document: bytes = DOCUMENT) -> str:
        """Publishes a document in the worker, and gives its version."""
        publish(self.memory.feed, document)
        assert self.memory.feed.snapshot is not None
        return self.memory.feed.snapshot.version

    def begin(self) -> Deferred[float]:
        return Deferred.fromCoroutine(self.canary.check_all())

    def delay_s(self) -> float:
        """Gives the delay of a canary that is served."""
        checked = self.begin()
        turn_until(self.reactor, lambda: checked.called)
        return self.successResultOf(checked)

    def refusal(self) -> str:
        """Gives the reason of a canary that is not served."""
        checked = self.begin()
        turn_until(self.reactor, lambda: checked.called)
        return str(self.failureResultOf(checked, CanaryError).value)


class PlainTests(CanaryTestCase):
    def test_newest_version(self) -> None:
        """A worker that has the newest version has served its canary, which leaves nothing behind."""
        self.newest = Question("feed", self.publish())
        before = open_files()
        self.assertEqual(self.delay_s(), 0.0)
        self.reactor.settle()
        self.assertEqual((len(self.pool.connections), open_files()), (0, before))
        self.assertEqual((self.pool.accepted, self.pool.handshakes, self.memory.site.counts()), (0, 0, {}))

    def test_document(self) -> None:
        """The whole document is read if the worker has another one than was asked for."""
        asked = iter(("older", self.publish(b'"' + b"x" * 300_000 + b'"')))
        self.canary.newest = lambda: Question("feed", next(asked))
        self.delay_s()

    def test_older_version(self) -> None:
        """A worker with an older version has not served its canary."""
        version = self.publish()
        self.newest = Question("feed", "newer")
        self.assertEqual(self.refusal(), f"it serves the version {version}, and the newest is newer")

    def test_no_version(self) -> None:
        """Neither has a worker without a version, if there is one."""
        self.newest = Question("feed", "newer")
        self.assertEqual(self.refusal(), "it serves no version, and status 503, and the newest is newer")

    def test_nothing_to_serve(self) -> None:
        """As long as no feed has a document, any answer will do."""
        self.delay_s()

    def test_version_that_was_published_meanwhile(self) -> None:
        """The worker may have it before the parent's question is answered, or not."""
        version = self.publish()
        for asked in (("old", version), (version, "new")):
            each = iter(asked)
            self.canary.newest = lambda each=each: Question("feed", next(each))  # type: ignore[misc]
            self.delay_s()

    def test_worker_that_does_not_answer(self) -> None:
        """A canary waits for some seconds, and no longer."""
        self.port = self.listen(Factory.forProtocol(Protocol))
        checked = self.begin()
        self.reactor.advance(CANARY_S)
        self.assertIn("no answer within 5 s", str(self.failureResultOf(checked, CanaryError).value))
        self.reactor.settle()
        self.assertEqual(len(self.pool.connections), 0)

    def test_worker_that_is_gone(self) -> None:
        """The end of the connection is the end of the canary."""
        self.canary.give = lambda endpoint, fd: None
        self.assertEqual(self.refusal(), "it ended the connection")

    def test_link_that_fails(self) -> None:
        """A link that cannot take the socket, and a system without descriptors, give the reason."""

        def give(endpoint: int, fd: int) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        self.canary.give = give
        self.assertEqual(self.refusal(), "it could not be connected: Too many open files")

    def test_strange_answers(self) -> None:
        """An answer that is none of livefeed's, or too large, is refused."""
        for answer, why in (
            (b"SSH-2.0\r\n\r\n", "its answer is not one of livefeed"),
            (b"HTTP/1.1 200 OK\r\n\r\n", "its answer is not one of livefeed"),
            (b"HTTP/1.1 200 OK\r\nA: " + b"a" * MAX_HEAD_BYTES + b"\r\n", "the head of its answer is too large"),
        ):
            factory = Factory()
            factory.buildProtocol = lambda address, answer=answer: Answering(answer)  # type: ignore[misc, method-assign]
            self.port = self.listen(factory)
            self.assertEqual(self.refusal(), why)


class Answering(Protocol):
    """Answers every request in the same way."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(self._answer)


class EncryptedTests(CertificateTestCase, CanaryTestCase):
    way = Way(is_tls=True, has_proxy_header=False)

    def listen(self, factory: Any) -> InheritedPort:
        """CanaryTestCase API."""
        return self.port_of(self.listening, factory, self.server_context())

    def server_context(self) -> Any:
        return server_options(self.made.cert, self.made.key).getContext()

    def test_newest_version(self) -> None:
        """The handshake is the worker's, and its certificate is not verified."""
        self.newest = Question("feed", self.publish())
        self.delay_s()
        self.newest = Question("feed", "newer")
        self.assertIn("the newest is newer", self.refusal())
        self.reactor.settle()
        self.assertEqual((self.pool.handshakes, self.pool.failed_handshakes), (0, 0))

    def test_plain_answer(self) -> None:
        """A worker that does not speak TLS on this endpoint has not served its canary."""
        factory = Factory()
        factory.buildProtocol = lambda address: Answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")  # type: ignore[method-assign,assignment]
        self.port = self.port_of(self.listening, factory)
        self.assertIn("it ended the connection: ", self.refusal())


class ProxyTests(CanaryTestCase):
    way = Way(is_tls=False, has_proxy_header=True)

    def listen(self, factory: Any) -> InheritedPort:
        """The parent is no trusted proxy: its address is not looked at."""
        headers = ProxyHeaders(Networks.parse(("10.0.0.0/8",), ""), Refusals(self.reactor), lambda name: True)
        return self.port_of(PoolReactor(self.pool, headers.admits, headers.before), factory)

    def test_newest_version(self) -> None:
        """The header of the PROXY protocol precedes the request."""
        self.newest = Question("feed", self.publish())
        self.delay_s()


class WayTests(SynchronousTestCase):
    def test_descriptions(self) -> None:
        """The description of an endpoint tells how it is spoken to."""
        for description, is_tls, has_proxy_header in (
            ("tls:8443", True, False),
            ("ssl:8443:privateKey=k", True, False),
            ("tcp:80", False, False),
            ("unix:/a", False, False),
            ("haproxy:tcp:80", False, True),
            ("haproxy:ssl:80", True, True),
        ):
            self.assertEqual(Way.of(description), Way(is_tls, has_proxy_header))
