"""TLS without input and output, with the server's side of the same library."""

from __future__ import annotations

import ssl
from typing import ClassVar

import trustme
from twisted.trial.unittest import SynchronousTestCase

from livefeed.client.tls import TlsChannel
from tests.helpers.tls_peer import TlsPeer


class TlsTests(SynchronousTestCase):
    """One connection."""

    authority: ClassVar[trustme.CA]

    @classmethod
    def setUpClass(cls) -> None:
        cls.authority = trustme.CA()

    def setUp(self) -> None:
        self.server = TlsPeer(self.authority, "example.org")

    def channel(self, host: str = "example.org", *, is_trusted: bool = True) -> TlsChannel:
        context = ssl.create_default_context()
        if is_trusted:
            self.authority.configure_trust(context)
        return TlsChannel(context, host)

    def shake(self, channel: TlsChannel) -> None:
        """Moves the handshake until it ends."""
        channel.begin()
        for _ in range(10):
            self.server.receive(channel.to_send())
            data = self.server.to_send()
            if data:
                channel.receive(data)
            if channel.is_ready and self.server.is_ready:
                return
        raise AssertionError("the handshake does not end")

    def test_bytes(self) -> None:
        """Bytes arrive in both directions, and the end of the stream is no error."""
        channel = self.channel()
        self.shake(channel)
        self.assertEqual(self.server.receive(channel.send(b"ping")), b"ping")
        self.server.send(b"x" * 100_000)
        self.assertEqual(channel.receive(self.server.to_send()), b"x" * 100_000)
        self.assertEqual(channel.receive(b""), b"")

    def test_certificates_are_checked(self) -> None:
        """A certificate of an unknown authority, or of another name, is an error with a reason."""
        for channel, why in (
            (self.channel(is_trusted=False), "unable to get local issuer"),
            (self.channel("other.org"), "Hostname mismatch"),
        ):
            self.setUp()
            error = self.assertRaises(ssl.SSLCertVerificationError, self.shake, channel)
            self.assertIn(why, error.verify_message)

    def test_other_protocol(self) -> None:
        """Plain HTTP is an error of TLS."""
        channel = self.channel()
        channel.begin()
        self.assertRaises(ssl.SSLError, channel.receive, b"HTTP/1.1 400 Bad Request\r\n\r\n")
