"""The first request."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

from livefeed.exceptions import FollowError
from livefeed.load.addresses import address_of
from livefeed.load.probe import Probed, ask_once, listed_feeds
from tests.helpers.load_targets import DOCUMENT, Answering, answer, plan_for
from tests.helpers.threaded_server import HOST, ThreadedServer
from tests.helpers.tls import CertificateTestCase

if TYPE_CHECKING:
    from livefeed.load.plan import Plan


def asked(plan: Plan) -> Probed:
    return ask_once(plan, address_of(plan.target.url))


class ProbeTests(CertificateTestCase):
    def probe(self, reply: Any, **named: Any) -> Probed:
        with Answering(lambda head, number: reply) as server:
            return asked(plan_for(server.port, **named))

    def refusal(self, reply: Any, **named: Any) -> str:
        with Answering(lambda head, number: reply) as server:
            return str(self.assertRaises(FollowError, asked, plan_for(server.port, **named)))

    def test_facts(self) -> None:
        """It tells whether the server is livefeed, its name, and whether the answer is a page."""
        probed = self.probe(answer(DOCUMENT, "Livefeed-Version: x", "Server: S", "Content-Type: application/json"))
        self.assertEqual(
            (probed.content, probed.is_livefeed, probed.server, probed.is_page), (DOCUMENT, True, "S", False)
        )
        self.assertLessEqual(probed.sent_ns, probed.received_ns)
        probed = self.probe(answer(DOCUMENT, "Content-Type: text/html"))
        self.assertEqual((probed.is_livefeed, probed.server, probed.is_page), (False, "", True))

    def test_pieces(self) -> None:
        """An answer may come in pieces, and end with the connection."""

        def slowly(sock: socket.socket) -> None:
            for byte in b"HTTP/1.0 200 OK\r\n\r\n" + DOCUMENT:
                sock.sendall(bytes([byte]))

        self.assertEqual(self.probe(slowly).content, DOCUMENT)

    def test_tls(self) -> None:
        """The certificate is checked, and what helps is told."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.made.cert, self.made.key)
        with Answering(lambda head, number: answer(), context) as server:
            asked(plan_for(server.port, is_secure=True, cacert=str(self.made.ca)))
            error = self.assertRaises(FollowError, asked, plan_for(server.port, is_secure=True))
        self.assertIn("--cacert names a file", str(error))

    def test_listed_feeds(self) -> None:
        """A livefeed lists its feeds, at a path of its own. Any other answer is no list."""
        for content, paths in (
            (b'{"feeds": [{"path": "/a"}, {"path": "/b"}]}', ["/a", "/b"]),
            (b'{"feeds": [{"path": 1}, {"path": "b"}, {"path": "/a b"}, {"path": "/\\r\\n"}]}', []),
            (b'{"feeds": [1]}', []),
            (b"[]", []),
            (b"<p>", []),
        ):
            self.assertEqual(self.listed(answer(content)), paths)
        self.assertEqual(self.listed(answer(b"", status="404 Not Found")), [])

    def listed(self, reply: bytes) -> list[str]:
        with Answering(lambda head, number: reply) as server:
            plan = plan_for(server.port)
            found = listed_feeds(plan, address_of(plan.target.url))
        self.assertTrue(server.heads[0].startswith(b"GET /-/feeds.json "))
        return found

    def test_refusals(self) -> None:
        """Each status has what may help, if anything does."""
        for status, said in (("404 Not Found", "answers 404: name the document"), ("500 Oh", "answers 500")):
            self.assertIn(said, self.refusal(answer(b"", status=status)))

    def test_failures(self) -> None:
        """No server, no answer, another protocol, and an end in the middle."""
        with socket.create_server((HOST, 0)) as listening:
            port = listening.getsockname()[1]
        self.assertIn("nothing listens at", str(self.assertRaises(FollowError, asked, plan_for(port))))
        self.assertIn("closed the connection", self.refusal(lambda sock: None))
        self.assertIn("no answer of HTTP/1", self.refusal(b"SSH-2.0\r\n"))
        self.assertIn("ends in the middle", self.refusal(lambda sock: sock.sendall(answer()[:-1])))

    def test_slow_answers(self) -> None:
        """A server that sends a byte now and then is given up."""

        def endless(sock: socket.socket) -> None:
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                sock.sendall(b"x" * 1000)

        with ThreadedServer(endless) as server:
            error = self.assertRaises(FollowError, asked, plan_for(server.port, timeout_s=0.05))
        self.assertRegex(str(error), "too large|did not answer")
