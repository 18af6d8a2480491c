"""The key of the session tickets (RFC 8446, 4.6.1; RFC 5077), which all TLS contexts of all workers share.

OpenSSL gives each context a random key. With it, a client that comes back to another worker, or after a certificate
was renewed, would do a full handshake. OpenSSL knows one key per context: after a rotation it decrypts no older ticket.
(A callback could accept several keys; setting one by its address would let Python decide within each handshake.)

Rules: a key comes from ``os.urandom`` of the parent, is never written to a file or a log, and ends with the processes.
Without a shared key everything works, with more full handshakes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakSet

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from twisted.logger import Logger

from livefeed.tls.openssl import TICKET_KEYS_BYTES, TicketKeyCalls, ticket_key_calls
from livefeed.tls.symbols import UnknownFunctionError

if TYPE_CHECKING:
    from collections.abc import Callable

SESSION_ID = b"livefeed"
"""The session ID context of all contexts. OpenSSL resumes a session only where it is the same, also if a certificate
was chosen by name in between, and Twisted gives each context a random one (SSL_CTX_set_session_id_context(3)). A
session carries no rights: livefeed asks for no certificates of clients."""

ROTATION_S = 12 * 3600.0
"""Seconds for which a key is used. A ticket is valid for two hours. So a rotation costs one full handshake for each
client that has connected within the two hours before and connects again, and none for the others."""

_TURNS = 10
"""Upper limit of the turns of a handshake in memory. TLS 1.2 takes three."""

_log = Logger()


@dataclass(frozen=True, slots=True)
class TicketKeys:
    """The key of session tickets, with its name.

    :ivar data: :data:`TICKET_KEYS_BYTES` bytes, which the workers receive over their link. Secret.
    """

    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        """Checks the size.

        :raises ValueError: if it is wrong.
        """
        if len(self.data) != TICKET_KEYS_BYTES:
            raise ValueError(f"keys of tickets have {TICKET_KEYS_BYTES} bytes, not {len(self.data)}")

    @classmethod
    def new(cls) -> TicketKeys:
        """Makes a key."""
        return cls(os.urandom(TICKET_KEYS_BYTES))

    def apply(self, context: SSL.Context) -> bool:
        """Makes a server's context use the key, from the next handshake on.

        :returns: whether it does. If not, OpenSSL's own key stays.
        """
        try:
            return _calls().set_keys(context, self.data)
        except UnknownFunctionError:
            return False


@dataclass(eq=False)
class SessionTickets:
    """The TLS contexts of a process, and the key that they share.

    A reload makes contexts in a thread, while the key may be replaced in another one.

    :ivar keys: the key in use.
    """

    # required parameters
    keys: TicketKeys = field(default_factory=TicketKeys.new)
    proof: Callable[[], str | None] = field(default=lambda: prove())  # noqa: PLW0108 - it is defined below

    # internal state
    _lock: Lock = field(init=False, default_factory=Lock)
    _contexts: WeakSet[SSL.Context] = field(init=False, default_factory=WeakSet)
    _failure: str | None = field(init=False, default=None)
    _is_proved: bool = field(init=False, default=False)

    @property
    def failure(self) -> str | None:
        """The reason why contexts do not share the key; ``None`` if they do, or there is none."""
        return self._failure

    def is_shared(self) -> bool | None:
        """Tells whether contexts share the key; ``None`` as long as there was none."""
        return self._failure is None if self._is_proved else None

    def adopt(self, context: SSL.Context) -> None:
        """Makes a server's context share the key, now and after each rotation, for as long as it exists.

        The first call proves that it works. If it does not, the log has one line, and each context keeps its own key.

        :param context: its session ID context is :data:`SESSION_ID`.
        """
        with self._lock:
            if not self._is_proved:
                self._failure = self.proof()
                self._is_proved = True
                if self._failure is not None:
                    _log.warn(
                        "each TLS context has a key of its own for session tickets: {why}; a client that comes back to "
                        "another worker, or after the certificate was renewed, does a full handshake",
                        why=self._failure,
                    )
            if self._failure is None:
                self._contexts.add(context)
                self.keys.apply(context)

    def replace(self, keys: TicketKeys) -> None:
        """Replaces the key of all contexts. Tickets of the old key are answered with a full handshake.

        :param keys: the next key: of :meth:`TicketKeys.new`, or from the parent.
        """
        with self._lock:
            self.keys = keys
            for context in self._contexts:
                keys.apply(context)


def prove() -> str | None:
    """Proves that a session of one context is resumed by another one that shares its key, and by no third one.

    It does eight handshakes in memory, with TLS 1.3 and 1.2, in a few milliseconds each.

    :returns: the reason if it is not; ``None`` if it is.
    """
    try:
        calls = _calls()
        key, certificate = _certificate()
        shared = TicketKeys.new()
        servers = []
        for keys in (shared, shared, TicketKeys.new()):
            server = SSL.Context(SSL.TLS_SERVER_METHOD)
            server.use_certificate(certificate)
            server.use_privatekey(key)
            server.set_session_cache_mode(SSL.SESS_CACHE_OFF)
            server.set_session_id(SESSION_ID)
            if not calls.set_keys(server, keys.data):
                return "OpenSSL refuses the key"
            servers.append(server)
        for name, version in (("TLS 1.3", SSL.TLS1_3_VERSION), ("TLS 1.2", SSL.TLS1_2_VERSION)):
            client = SSL.Context(SSL.TLS_CLIENT_METHOD)
            client.set_min_proto_version(version)
            client.set_max_proto_version(version)
            # Kept in variables: OpenSSL resumes no session of a connection that has ended without a shutdown.
            first = _handshake(servers[0], client)
            others = [_handshake(server, client, first.get_session()) for server in servers]
            if [calls.is_resumed(each) for each in others] != [True, True, False]:
                return f"a trial with {name} has not resumed the session where it should have"
    except UnknownFunctionError as error:
        return str(error)
    except SSL.Error as error:
        return f"a trial has failed: {error}"
    return None


@cache
def _calls() -> TicketKeyCalls:
    return ticket_key_calls()


def _handshake(server: SSL.Context, client: SSL.Context, session: SSL.Session | None = None) -> SSL.Connection:
    """Does a handshake in memory, and gives the client's end, which has read the server's tickets."""
    near, far = SSL.Connection(client, None), SSL.Connection(server, None)
    near.set_connect_state()
    far.set_accept_state()
    if session is not None:
        near.set_session(session)
    for _ in range(_TURNS):
        for speaker, listener in ((near, far), (far, near)):
            with suppress(SSL.WantReadError):
                speaker.do_handshake()
            with suppress(SSL.WantReadError):
                listener.bio_write(speaker.bio_read(1 << 16))
    with suppress(SSL.WantReadError):
        near.recv(1)
    return near


def _certificate() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Makes a certificate that lasts for a trial."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.public_key(key.public_key())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    return key, builder.sign(key, hashes.SHA256())
