"""The key of session tickets: sessions that are resumed by other contexts, the proof, and its failures."""

from __future__ import annotations

import contextlib
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL
from twisted.logger import capturedLogs, formatEvent

from livefeed.tls import tickets
from livefeed.tls.openssl import TICKET_KEYS_BYTES, TicketKeyCalls, ticket_key_calls
from livefeed.tls.options import ServedCertificates, server_options
from livefeed.tls.reloading import Certificates, EndpointCertificates, FolderSource
from livefeed.tls.symbols import UnknownFunctionError
from livefeed.tls.tickets import ROTATION_S, SESSION_ID, SessionTickets, TicketKeys, prove
from tests.helpers.tls import CertificateTestCase, handshake

if TYPE_CHECKING:
    from collections.abc import Callable

VERSIONS = (SSL.TLS1_3_VERSION, SSL.TLS1_2_VERSION)


def failing(*_: Any) -> Any:
    raise UnknownFunctionError("a reason")


class KeysTests(CertificateTestCase):
    """The value."""

    def test_no_two_are_equal(self) -> None:
        """They are random, and have OpenSSL's size."""
        first, second = TicketKeys.new(), TicketKeys.new()
        self.assertNotEqual(first, second)
        self.assertEqual(len(first.data), TICKET_KEYS_BYTES)

    def test_it_is_not_shown(self) -> None:
        """A key that is logged by mistake shows nothing."""
        self.assertEqual(repr(TicketKeys(b"secret".ljust(TICKET_KEYS_BYTES))), "TicketKeys()")

    def test_wrong_size(self) -> None:
        """A truncated message of the parent is not used."""
        error = self.assertRaises(ValueError, TicketKeys, b"secret")
        self.assertEqual(str(error), "keys of tickets have 80 bytes, not 6")

    def test_it_cannot_be_applied(self) -> None:
        """OpenSSL's own key stays."""
        self.patch(tickets, "_calls", failing)
        self.assertFalse(TicketKeys.new().apply(SSL.Context(SSL.TLS_SERVER_METHOD)))


class SharingTests(CertificateTestCase):
    """Sessions that clients resume."""

    def setUp(self) -> None:
        self.kept: list[SSL.Connection] = []
        self.is_resumed = ticket_key_calls().is_resumed

    def server(self, shared: SessionTickets | None) -> SSL.Context:
        return server_options(self.made.cert, self.made.key, shared).getContext()

    def client(self, version: int) -> SSL.Context:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(version)
        return context

    def connect(self, server: SSL.Context, client: SSL.Context, session: SSL.Session | None = None) -> SSL.Connection:
        """Gives a client that has read its tickets. It is kept: OpenSSL resumes no session of one that is freed."""
        connection = handshake(server, client, "localhost", session)
        with contextlib.suppress(SSL.WantReadError):
            connection.recv(1)
        self.kept.append(connection)
        return connection

    def resumes(self, first: SSL.Context, second: SSL.Context, version: int, between: Callable[[], Any] = int) -> bool:
        """Tells whether a client of one context resumes its session with another."""
        client = self.client(version)
        session = self.connect(first, client).get_session()
        between()
        return self.is_resumed(self.connect(second, client, session))

    def test_contexts_of_one_process(self) -> None:
        """Those of two endpoints."""
        shared = SessionTickets()
        for version in VERSIONS:
            self.assertTrue(self.resumes(self.server(shared), self.server(shared), version))

    def test_contexts_of_two_workers(self) -> None:
        """The second has the key from the parent."""
        first = SessionTickets()
        second = SessionTickets()
        servers = self.server(first), self.server(second)
        for version in VERSIONS:
            self.assertFalse(self.resumes(*servers, version))
            second.replace(TicketKeys(first.keys.data))
            self.assertTrue(self.resumes(*servers, version))
            second.replace(TicketKeys.new())

    def test_contexts_without_a_shared_key(self) -> None:
        """Each has OpenSSL's key."""
        for version in VERSIONS:
            self.assertFalse(self.resumes(self.server(None), self.server(None), version))

    def test_renewed_certificate(self) -> None:
        """A client whose certificate was renewed meanwhile resumes its session: it has checked the former one."""
        shared = SessionTickets()
        path = self.made.cert.parent
        for version in VERSIONS:
            served = self.served(shared)
            read = Certificates.load(FolderSource(path, "listen"), served.files, 0.0, shared)
            first, second = self.server(shared), EndpointCertificates(read, served)
            self.assertTrue(self.resumes(first, second.getContext(), version))

    def served(self, shared: SessionTickets) -> ServedCertificates:
        (self.made.cert.parent / "ca.pem").unlink(missing_ok=True)  # it has signed itself: a folder may not contain it
        return ServedCertificates(shared)

    def test_rotation(self) -> None:
        """Tickets of the old key cost a full handshake, and no more; those of the next key are good."""
        shared = SessionTickets()
        server = self.server(shared)
        for version in VERSIONS:
            self.assertFalse(self.resumes(server, server, version, lambda: shared.replace(TicketKeys.new())))
            self.assertTrue(self.resumes(server, server, version))

    def test_rotation_while_a_context_is_made(self) -> None:
        """A reload makes it in a thread: it has the next key in the end."""
        shared = SessionTickets()
        following = TicketKeys.new()
        applied: list[TicketKeys] = []
        rotating = threading.Thread(target=shared.replace, args=(following,))

        def apply(keys: TicketKeys, _: SSL.Context) -> bool:
            if not applied:
                rotating.start()
                rotating.join(0.2)  # without an order between the two, it ends here
            applied.append(keys)
            return True

        self.patch(TicketKeys, "apply", apply)
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        shared.adopt(context)
        rotating.join()
        self.assertEqual(applied[1:], [following])

    def test_rotation_is_longer_than_a_ticket(self) -> None:
        """OpenSSL's tickets last two hours."""
        self.assertEqual(self.server(None).get_timeout(), 7200)
        self.assertGreaterEqual(ROTATION_S, 2 * 7200)

    def test_contexts_that_are_replaced_are_freed(self) -> None:
        """The register does not keep them."""
        shared = SessionTickets()
        context = weakref.ref(self.server(shared))
        gc.collect()
        self.assertIsNone(context())
        self.assertEqual(len(shared._contexts), 0)


class ProofTests(CertificateTestCase):
    """The proof at the start."""

    def test_it_works_here(self) -> None:
        """With the libraries that livefeed is tested with; new ones that differ are to be looked at."""
        self.assertIsNone(prove())

    def test_it_proves_once(self) -> None:
        """Not for each context; and without a context not at all."""
        proofs: list[int] = []
        shared = SessionTickets(proof=lambda: proofs.append(1))
        self.assertIsNone(shared.is_shared())
        for _ in range(2):
            server_options(self.made.cert, self.made.key, shared)
        self.assertEqual((len(proofs), shared.failure, shared.is_shared()), (1, None, True))

    def test_failure(self) -> None:
        """The log has one line, and the contexts work, each with its own key."""
        shared = SessionTickets(proof=lambda: "a reason")
        with capturedLogs() as events:
            first, second = (server_options(self.made.cert, self.made.key, shared).getContext() for _ in range(2))
            shared.replace(TicketKeys.new())
        (line,) = [str(formatEvent(event)) for event in events]
        self.assertIn("each TLS context has a key of its own for session tickets: a reason; ", line)
        self.assertEqual((shared.failure, shared.is_shared()), ("a reason", False))
        for server in (first, second):
            handshake(server, SSL.Context(SSL.TLS_CLIENT_METHOD))

    def test_missing_calls(self) -> None:
        """The reason is that of the search."""
        self.patch(tickets, "_calls", failing)
        self.assertEqual(prove(), "a reason")

    def test_calls_that_do_nothing(self) -> None:
        """A function that pretends to work does not pass."""
        calls = ticket_key_calls()
        changes: list[tuple[dict[str, Any], str]] = [
            ({"set_keys": lambda *_: True}, "a trial with TLS 1.3 has not resumed"),
            ({"set_keys": lambda *_: False}, "OpenSSL refuses the key"),
            ({"set_keys": lambda context, _: calls.set_keys(context, bytes(80))}, "a trial with TLS 1.3 has not"),
            ({"is_resumed": lambda _: False}, "a trial with TLS 1.3 has not"),
        ]
        for change, reason in changes:
            both = {"set_keys": calls.set_keys, "is_resumed": calls.is_resumed, **change}
            self.patch(tickets, "_calls", lambda both=both: TicketKeyCalls(**both))
            self.assertIn(reason, prove() or "")

    def test_handshake_that_fails(self) -> None:
        """OpenSSL's reason stands in the message."""

        def refuse(*_: Any) -> Any:
            raise SSL.Error([("SSL routines", "", "no shared cipher")])

        self.patch(tickets, "_handshake", refuse)
        self.assertIn("no shared cipher", prove() or "")

    def test_all_contexts_have_one_session_id(self) -> None:
        """Otherwise OpenSSL would resume no session of another context."""
        self.assertEqual(SESSION_ID, b"livefeed")
