"""The clients that proxies name: which fields are believed, and how far."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from livefeed.testing import make_site, publish
from livefeed.transport.addresses import Networks
from livefeed.transport.answer import Repeatable
from livefeed.transport.peer import pack_peer
from livefeed.web import access_log
from livefeed.web.access_log import AccessLog, Format, ForwardedReplay, LoggedSite
from livefeed.web.forwarded import MAX_BYTES, MAX_HOPS, Forwarded, ForwardedField

PROXY = IPv4Address("TCP", "10.0.0.1", 4711)
TRUSTED = Networks.parse(("10.0.0.0/8", "2001:db8:ffff::/48", "unix"), "trusted_proxy")


def client(field: ForwardedField, *values: str, peer: Any = PROXY) -> str:
    """Gives the host that is found."""
    found: Any = Forwarded(field, TRUSTED).client(peer, [value.encode() for value in values])
    return getattr(found, "host", "unix")


class XForwardedForTests(SynchronousTestCase):
    """X-Forwarded-For."""

    def test_client(self) -> None:
        """It is the last address that is no trusted proxy."""
        for values, expected in (
            (("192.0.2.1",), "192.0.2.1"),
            (("203.0.113.9, 192.0.2.1",), "192.0.2.1"),
            (("203.0.113.9", "192.0.2.1, 10.0.0.7 ,10.0.0.8"), "192.0.2.1"),
            (("192.0.2.1, ::ffff:10.0.0.7",), "192.0.2.1"),
            (("2001:DB8::1",), "2001:db8::1"),
            (("::ffff:192.0.2.1",), "192.0.2.1"),
            (("192.0.2.1:5000",), "192.0.2.1"),
            (("[2001:db8::1]:5000, 2001:db8:ffff::5",), "2001:db8::1"),
            (("10.0.0.5, 10.0.0.6",), "10.0.0.5"),
            ((), "10.0.0.1"),
        ):
            self.assertEqual(client("x-forwarded-for", *values), expected, values)

    def test_untrusted_peer(self) -> None:
        """The field of any other client is ignored."""
        for peer in (IPv4Address("TCP", "192.0.2.9", 1), IPv6Address("TCP", "2001:db8::9", 1)):
            self.assertEqual(client("x-forwarded-for", "203.0.113.1", peer=peer), peer.host)
        self.assertEqual(client("x-forwarded-for", "203.0.113.1", peer=UNIXAddress("")), "203.0.113.1")

    def test_malformed(self) -> None:
        """The proxy that wrote what cannot be used is the client."""
        for value, expected in (
            ("", "10.0.0.1"),
            ("unknown", "10.0.0.1"),
            ("192.0.2.1, ", "10.0.0.1"),
            ("192.0.2.256", "10.0.0.1"),
            ("1.2.3", "10.0.0.1"),
            ("192.0.2.1 10.0.0.2", "10.0.0.1"),
            ("192.0.2.1, garbage, 10.0.0.7", "10.0.0.7"),
            ("\xff", "10.0.0.1"),
            ("::ffff:1.2.3.4.5", "10.0.0.1"),
            ("192.0.2.1," + " " * MAX_BYTES, "10.0.0.1"),
        ):
            self.assertEqual(client("x-forwarded-for", value), expected, value)

    def test_a_client_cannot_hide(self) -> None:
        """Whatever a client has sent, the proxy adds its address behind it, and that is found."""
        for sent in (b"\xe9", b"\xff" * MAX_BYTES, b"x" * MAX_BYTES, b"," * MAX_BYTES, b'"\\'):
            found: Any = Forwarded("x-forwarded-for", TRUSTED).client(PROXY, [sent + b", 192.0.2.1"])
            self.assertEqual(found.host, "192.0.2.1", sent[:8])
        found = Forwarded("forwarded", TRUSTED).client(PROXY, [b'for="\xe9", for=192.0.2.1'])
        self.assertEqual(found.host, "192.0.2.1")

    def test_many_hops(self) -> None:
        """A chain of proxies ends somewhere."""
        chain = ["192.0.2.1", *(f"10.0.1.{n}" for n in range(MAX_HOPS))]
        self.assertEqual(client("x-forwarded-for", ",".join(chain)), "10.0.1.0")
        self.assertEqual(client("x-forwarded-for", ",".join(chain[:-1])), "192.0.2.1")


class ForwardedTests(SynchronousTestCase):
    """Forwarded, RFC 7239."""

    def test_client(self) -> None:
        """Each element names one hop, in any spelling that the grammar has."""
        for values, expected in (
            (("for=192.0.2.43",), "192.0.2.43"),
            (('For="[2001:db8:cafe::17]:4711"',), "2001:db8:cafe::17"),
            (("for=192.0.2.60;proto=http;by=203.0.113.43",), "192.0.2.60"),
            (("for=192.0.2.43, for=198.51.100.17",), "198.51.100.17"),
            (("for=192.0.2.43", "by=10.0.0.1;FOR=10.0.0.9"), "192.0.2.43"),
            (('proto=https ; for="192.0.2.43:80" ;host="a,b;c\\"d"',), "192.0.2.43"),
            (('for="\\1\\92.0.2.43"',), "192.0.2.43"),
        ):
            self.assertEqual(client("forwarded", *values), expected, values)

    def test_hidden(self) -> None:
        """A proxy may hide the client: then the address of that proxy counts."""
        for value, expected in (
            ("for=unknown", "10.0.0.1"),
            ("for=_hidden", "10.0.0.1"),
            ('for="_gazonk:_x"', "10.0.0.1"),
            ("for=192.0.2.43, for=_secret, for=10.0.0.9", "10.0.0.9"),
            ("for=192.0.2.43, proto=https", "10.0.0.1"),
        ):
            self.assertEqual(client("forwarded", value), expected, value)

    def test_malformed(self) -> None:
        """A value that is malformed anywhere is not believed at all."""
        for value in (
            "for=192.0.2.43;for=192.0.2.44",
            "for=192.0.2.43 for=192.0.2.44",
            "for=192.0.2.43;;proto",
            "for",
            'for="192.0.2.43',
            "for=2001:db8::1",
            "for = 192.0.2.43",
            "192.0.2.43",
        ):
            self.assertEqual(client("forwarded", value), "10.0.0.1", value)

    def test_too_long(self) -> None:
        """A value that is too long is not believed at all."""
        element = "for=192.0.2.43;by=" + "x" * MAX_BYTES
        self.assertEqual(client("forwarded", element[:MAX_BYTES]), "192.0.2.43")
        self.assertEqual(client("forwarded", element[: MAX_BYTES + 1]), "10.0.0.1")

    def test_the_other_field(self) -> None:
        """Only the field that the operator named is read."""
        self.assertEqual(client("forwarded", "192.0.2.1"), "10.0.0.1")
        self.assertEqual(client("x-forwarded-for", "for=192.0.2.1"), "10.0.0.1")

    @given(st.sampled_from(["forwarded", "x-forwarded-for"]), st.lists(st.text('for="\\[]:;,. _a192', max_size=40)))
    def test_any_value(self, field: ForwardedField, values: list[str]) -> None:
        """Nothing raises, and what is found is an address."""
        self.assertRegex(client(field, *values), r"^[0-9a-f.:]+$")


class SiteTests(SynchronousTestCase):
    """Requests, and their lines in the access log."""

    def setUp(self) -> None:
        made = make_site()
        forwarded = Forwarded("x-forwarded-for", TRUSTED)
        self.lines: list[str] = []
        self.log = AccessLog(Format("common"), lambda data, count: self.lines.extend(data.decode().splitlines()), float)
        self.site = LoggedSite(self.log, forwarded, made.site.resource, reactor=made.feed.clock)
        self.site.requestFactory = forwarded.request_class()
        publish(made.feed, b"[1]")

    def ask(self, target: bytes, fields: bytes, peer: Any = PROXY) -> Any:
        transport = StringTransport(peerAddress=peer)
        transport.set_peer = lambda address: setattr(transport, "peerAddr", address)  # type: ignore[attr-defined]
        channel: Any = self.site.buildProtocol(None)
        channel.makeConnection(transport)
        channel.dataReceived(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n")
        return transport

    def clients(self) -> list[str]:
        self.log.flush()
        return [line.partition(" ")[0] for line in self.lines]

    def test_rendered(self) -> None:
        """A request belongs to its own client, whatever others on the connection belong to."""
        self.ask(b"/feed", b"X-Forwarded-For: 192.0.2.1\r\n")
        self.ask(b"/feed", b"")
        self.ask(b"/feed", b"Forwarded: for=192.0.2.1\r\n")
        self.ask(b"/feed", b"X-Forwarded-For: 192.0.2.1\r\n", IPv4Address("TCP", "192.0.2.9", 1))
        self.assertEqual(self.clients(), ["192.0.2.1", "10.0.0.1", "10.0.0.1", "192.0.2.9"])

    def test_handed_over(self) -> None:
        """A connection that becomes a stream is the client's from then on."""
        transport = self.ask(b"/feed.sse", b"X-Forwarded-For: 192.0.2.1\r\n")
        self.assertEqual(transport.getPeer().host, "192.0.2.1")
        self.assertEqual(self.ask(b"/feed.sse", b"").getPeer(), PROXY)

    def test_replayed(self) -> None:
        """A request with the field is replayed as without it, and its line has the client."""
        self.patch(access_log, "MAX_ENDS", 3)
        self.patch(access_log, "MAX_BEGINNINGS", 3)
        replay = self.site.replays[False]
        self.assertIsInstance(replay, ForwardedReplay)
        head = b"GET /feed HTTP/1.1\r\nHost: a\r\n%s\r\n"
        self.assertIsNone(replay.find(head % b""))
        assert replay.missed is not None
        replay.store(replay.missed, b"HTTP/1.1 200 OK\r\n\r\n", Repeatable("label"))
        asked = []
        for peer, fields, expected in (
            ("10.0.0.1", b"x-forwarded-FOR:\t192.0.2.1\r\n", "192.0.2.1"),
            ("10.0.0.1", b"X-Forwarded-For: 192.0.2.2\r\nX-Forwarded-For: 10.0.0.3 \r\n", "192.0.2.2"),
            ("10.0.0.1", b"X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1"),
            ("10.0.0.1", b"X-Forwarded-For: x\r\n", "10.0.0.1"),
            ("10.0.0.1", b"", "10.0.0.1"),
            ("192.0.2.9", b"X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.9"),
            ("192.0.2.8", b"", "192.0.2.8"),
            ("192.0.2.7", b"", "192.0.2.7"),
        ):
            for _ in range(2):
                replay.peer = pack_peer((peer, 5))
                self.assertIsNotNone(replay.find(head % fields))
                asked.append(expected)
        replay.peer = pack_peer("")
        self.assertIsNotNone(replay.find(head % b"X-Forwarded-For: 192.0.2.1\r\n"))
        # Lines of different heads may change places.
        self.assertEqual(sorted(self.clients()), sorted([*asked, "192.0.2.1"]))
