"""Access to the operator's port: tokens, hosts and origins."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.access import Access, hosts_of, read_token
from livefeed.admin.reports import NO_ORIGIN
from livefeed.admin.site import OperatorRoot, OperatorSite
from livefeed.exceptions import ConfigurationError
from livefeed.testing import Response
from livefeed.web.failures import MAX_ADDRESSES, MAX_FAILURES
from livefeed.web.resources import Node

TOKEN = b"0123456789abcdef"


class TokenTests(SynchronousTestCase):
    """The file of the token."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "token"

    def write(self, data: bytes, mode: int = 0o640) -> Path:
        self.path.write_bytes(data)
        self.path.chmod(mode)
        return self.path

    def refusal(self, data: bytes, mode: int = 0o600) -> str:
        return str(self.assertRaises(ConfigurationError, read_token, self.write(data, mode)))

    def test_read(self) -> None:
        """Blanks and line ends around the token are not part of it; its group may read the file."""
        self.assertEqual(read_token(self.write(b" " + TOKEN + b"\r\n")), TOKEN)

    def test_refused(self) -> None:
        """Each refusal names the setting and the file, and none shows the token."""
        for data, mode, why in (
            (TOKEN, 0o604, "every user may read it; `chmod o= "),
            (TOKEN, 0o602, "every user may read it"),
            (b"\n", 0o600, "has no token"),
            (b"0123456789 abcdef", 0o600, "has no token"),
            ("0123456789abcdé".encode(), 0o600, "has no token"),
            (TOKEN[1:], 0o600, "the token has 15 characters, and 16 are the fewest"),
            (b"x" * 5000, 0o600, "is larger than 4096 bytes"),
        ):
            message = self.refusal(data, mode)
            self.assertTrue(message.startswith(f"--admin-token: {self.path}: {why}"), message)
            self.assertNotIn("123456789", message)

    def test_missing(self) -> None:
        """A file that is not there is named."""
        error = self.assertRaises(ConfigurationError, read_token, self.path)
        self.assertEqual(str(error), f"--admin-token: {self.path}: No such file or directory")


class AccessTestCase(SynchronousTestCase):
    """A site with nothing but the access to it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.address: Any = UNIXAddress("")

    def ask(self, access: Access, *fields: bytes, host: bytes = b"localhost") -> Response:
        """Asks for a path that is not there: the answer is 404 to a request that has access."""
        site = OperatorSite(OperatorRoot(access, {"status": Node(NO_ORIGIN)}), reactor=self.clock)
        transport = StringTransport(peerAddress=self.address)
        channel = site.buildProtocol(None)
        channel.makeConnection(transport)
        channel.dataReceived(b"\r\n".join([b"GET /status HTTP/1.1", b"Host: " + host, *fields, b"", b""]))
        return Response.parse(transport.value())


class PageTests(AccessTestCase):
    """Requests of web pages have no access, also without a token."""

    def test_hosts(self) -> None:
        """Names that lead to this machine by the will of a page are refused."""
        access = Access(self.clock, hosts_of(["tcp:9090:interface=Ops.example", "tcp:1", "tcp:2:interface=127.0.0.1"]))
        for host, status in (
            (b"localhost", 404),
            (b"LOCALHOST.:8443", 404),
            (b"127.0.0.1:9090", 404),
            (b"10.1.2.3", 404),
            (b"[::1]", 404),
            (b"[2001:db8::1]:9090", 404),
            (b"ops.example:9090", 404),
            (socket.gethostname().encode(), 404),
            (b"evil.example", 403),
            (b"localhost.evil.example", 403),
            (b"127.0.0.1.evil.example:9090", 403),
            (b"1", 403),
        ):
            self.assertEqual(self.ask(access, host=host).status, status, host)

    def test_the_page_of_the_desk(self) -> None:
        """A page of the host and port that the request names, which is one of ours, has access like other clients."""
        access = Access(self.clock, frozenset({b"ops.example"}))
        for host, origin, status in (
            (b"localhost:9090", b"http://localhost:9090", 404),
            (b"127.0.0.1:9090", b"https://127.0.0.1:9090", 404),
            (b"Ops.example:9090", b"https://ops.example:9090", 404),
            (b"[::1]:9090", b"http://[::1]:9090", 404),
            (b"localhost:9090", b"http://localhost:3000", 403),
            (b"localhost:9090", b"http://localhost", 403),
            (b"localhost:9090", b"http://127.0.0.1:9090", 403),
            (b"localhost:9090", b"null", 403),
            (b"localhost:9090", b"ws://localhost:9090", 403),
            # DNS rebinding: the page and the request name the same host, which is none of ours.
            (b"evil.example:9090", b"http://evil.example:9090", 403),
        ):
            answer = self.ask(access, b"Origin: " + origin, b"Sec-Fetch-Site: same-origin", host=host)
            self.assertEqual(answer.status, status, (host, origin))
            self.assertNotIn("access-control-allow-origin", answer.headers)
        own = b"Origin: http://localhost"
        for more in (b"Origin: http://evil.example", b"Sec-Fetch-Site: same-site", b"Sec-Fetch-Site: cross-site"):
            self.assertEqual(self.ask(access, own, more).status, 403, more)
        locked = Access(self.clock, token=TOKEN)
        self.assertEqual(self.ask(locked, own).status, 401)
        self.assertEqual(self.ask(locked, own, b"Cookie: token=" + TOKEN).status, 401)
        self.assertEqual(self.ask(locked, own, b"Authorization: Bearer " + TOKEN).status, 404)

    def test_origins(self) -> None:
        """A page is named by its origin, or the browser says that it belongs to another site."""
        access = Access(self.clock)
        for field, status in (
            (b"Origin: http://localhost:1", 403),
            (b"Origin: null", 403),
            (b"Sec-Fetch-Site: cross-site", 403),
            (b"Sec-Fetch-Site: same-site", 403),
            (b"Sec-Fetch-Site: same-origin", 404),
            (b"Sec-Fetch-Site: none", 404),
        ):
            answer = self.ask(access, field)
            self.assertEqual(answer.status, status, field)
            self.assertNotIn("access-control-allow-origin", answer.headers)


class BearerTests(AccessTestCase):
    """Requests with and without a token."""

    def setUp(self) -> None:
        super().setUp()
        self.access = Access(self.clock, token=TOKEN)
        self.address = IPv4Address("TCP", "192.0.2.1", 1)

    def status(self, token: bytes | None = None) -> int:
        return self.ask(self.access, *([] if token is None else [b"Authorization: Bearer " + token])).status

    def test_token(self) -> None:
        """The right token has access; no other, and no other scheme."""
        self.assertEqual(self.status(TOKEN), 404)
        self.assertEqual(self.ask(self.access, b"authorization: bearer  " + TOKEN + b" ").status, 404)
        for field in (b"Bearer " + TOKEN + b"x", b"Bearer", b"Basic " + TOKEN, TOKEN):
            answer = self.ask(self.access, b"Authorization: " + field)
            self.assertEqual(answer.status, 401, field)
            self.assertEqual(answer.headers["www-authenticate"], 'Bearer realm="livefeed"')
            self.clock.advance(1)

    def test_wrong_tokens_are_limited(self) -> None:
        """After some, an address is told to wait with the next ones; the right token is always served."""
        self.assertEqual([self.status(b"x" * 16) for _ in range(MAX_FAILURES)], [401] * MAX_FAILURES)
        self.assertEqual((self.status(b"x" * 16), self.status(TOKEN)), (429, 404))
        self.address = IPv4Address("TCP", "192.0.2.2", 1)
        self.assertEqual((self.status(TOKEN), self.status(b"x" * 16)), (404, 401))
        self.address = IPv4Address("TCP", "192.0.2.1", 1)
        self.clock.advance(1)
        self.assertEqual(self.status(b"x" * 16), 401)

    def test_networks(self) -> None:
        """A client has all addresses of an IPv6 network, and an address of IPv4 in two forms."""
        for one, other, status in (
            ("2001:db8::1", "2001:db8::2", 429),
            ("2001:db8::1", "2001:db8:0:1::1", 401),
            ("fe80::1%eth0", "fe80::2%eth0", 429),
            ("::ffff:192.0.2.1", "::ffff:192.0.2.2", 401),
        ):
            self.clock.advance(1)
            self.address = IPv6Address("TCP", one, 1)
            for _ in range(MAX_FAILURES):
                self.status()
            self.address = IPv6Address("TCP", other, 1)
            self.assertEqual(self.status(), status, (one, other))

    def test_many_addresses(self) -> None:
        """Their number is limited, so that they do not fill the memory. The right token is served all the same."""
        for number in range(MAX_ADDRESSES):
            self.access._failures.is_one_too_many(str(number))
        self.assertEqual((self.status(), self.status(TOKEN)), (429, 404))
        self.clock.advance(1)
        self.assertEqual(self.status(), 401)
