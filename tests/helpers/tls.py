"""Both ends of TLS: a client on a socket, a handshake in memory, and a certificate for a test class."""

from __future__ import annotations

import contextlib
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from livefeed.tls.development import DevelopmentCertificate, development_certificate
from tests.helpers.driven import Client

if TYPE_CHECKING:
    import socket

    from cryptography.hazmat.primitives.asymmetric import ec, rsa


def self_signed(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, name: str, *, days: int) -> x509.Certificate:
    """Gives a certificate that its own key has signed, without extensions, and valid from now on."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )


class CertificateTestCase(SynchronousTestCase):
    """Has a development certificate, which is made once for all tests of the class.

    :cvar made: its files.
    """

    made: DevelopmentCertificate
    _directory: tempfile.TemporaryDirectory[str]

    @classmethod
    def setUpClass(cls) -> None:
        cls._directory = tempfile.TemporaryDirectory()
        cls.made = development_certificate(Path(cls._directory.name))

    @classmethod
    def tearDownClass(cls) -> None:
        cls._directory.cleanup()


class TLSClient(Client):
    """A client that speaks TLS.

    :ivar tls: its end of TLS.
    :ivar notified: whether the server has sent close_notify, so that the received bytes are all.
    """

    def __init__(self, sock: socket.socket, context: SSL.Context) -> None:
        super().__init__(sock)
        self.notified = False
        self.tls = SSL.Connection(context, sock)
        self.tls.set_connect_state()

    def send(self, data: bytes) -> None:
        try:
            sent = 0
            while sent < len(data):
                sent += self.tls.send(data[sent:])
        except SSL.Error as error:
            self.error = OSError(str(error))

    def read(self) -> bool:
        try:
            data = self.tls.recv(1 << 20)
        except SSL.WantReadError:
            return False
        except SSL.ZeroReturnError:
            self.notified = True
            data = b""
        except SSL.SysCallError as error:
            self.error = ConnectionResetError() if error.args[0] > 0 else self.error
            data = b""
        except SSL.Error as error:
            self.error = OSError(str(error))
            data = b""
        self.received += data
        news = bool(data) or not self.ended
        self.ended = not data
        return news


def handshake(
    server_context: SSL.Context, client_context: SSL.Context, name: str = "", session: SSL.Session | None = None
) -> SSL.Connection:
    """Does a handshake in memory, and gives the client's end.

    :param name: the name that the client asks for (SNI); none if it is empty.
    :param session: the session that the client resumes.
    :raises SSL.Error: if one side refuses.
    """
    server, client = SSL.Connection(server_context, None), SSL.Connection(client_context, None)
    if name:
        client.set_tlsext_host_name(name.encode())
    if session is not None:
        client.set_session(session)
    server.set_accept_state()
    client.set_connect_state()
    for _ in range(10):
        for near, far in ((client, server), (server, client)):
            with contextlib.suppress(SSL.WantReadError):
                near.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                far.bio_write(near.bio_read(1 << 16))
    client.do_handshake()
    return client
