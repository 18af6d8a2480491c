"""The choice of calls that read and write TLS. The bytes that they carry are tested with the connections."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from livefeed.tls import openssl
from livefeed.tls.openssl import (
    DONE,
    RECORD_BYTES,
    WANTS_READ,
    direct_calls,
    public_calls,
    set_groups,
    set_tickets,
    ticket_key_calls,
)
from livefeed.tls.symbols import UnknownFunctionError
from livefeed.transport import tls_connection


class Pretending:
    """Something that has the attributes of something else, but for those that are put in their place.

    :param original: the object that has all other attributes.
    :param changed: the attributes that differ; ``None`` for one that is not there.
    """

    def __init__(self, original: Any, **changed: Any) -> None:
        self._original = original
        self._changed = changed

    def __getattr__(self, name: str) -> Any:
        if name in self._changed:
            if self._changed[name] is None:
                raise AttributeError(name)
            return self._changed[name]
        return getattr(self._original, name)


class TLSCallsTests(SynchronousTestCase):
    def test_direct_calls_are_used(self) -> None:
        """With the pyOpenSSL that livefeed is tested with; a new one that differs is to be looked at."""
        self.assertIsNotNone(direct_calls())
        self.assertIs(tls_connection.TLS_CALLS.read, SSL._lib.SSL_read)  # type: ignore[attr-defined]

    def test_public_calls_are_always_there(self) -> None:
        """It is the library's own."""
        self.patch(SSL, "_lib", None)
        self.assertIs(openssl.choose_calls().read, SSL.Connection.recv_into)

    def test_missing_library(self) -> None:
        """pyOpenSSL may stop using cffi, or call it something else."""
        for name in ("_ffi", "_lib"):
            original: Any = getattr(SSL, name)
            self.patch(SSL, name, None)
            self.assertIsNone(direct_calls(), name)
            delattr(SSL, name)
            self.assertIsNone(direct_calls(), name)
            setattr(SSL, name, original)
        self.assertIsNotNone(direct_calls())

    def test_missing_function(self) -> None:
        """Each of those that are used."""
        lib: Any = SSL._lib  # type: ignore[attr-defined]
        for name in ("SSL_read", "SSL_write", "SSL_clear_mode"):
            self.patch(SSL, "_lib", Pretending(lib, **{name: None}))
            self.assertIsNone(direct_calls(), name)

    def test_function_of_another_type(self) -> None:
        """Called wrongly it would read or write where it should not."""
        lib: Any = SSL._lib  # type: ignore[attr-defined]
        for name in ("SSL_read", "SSL_write", "SSL_clear_mode"):
            for other in (lib.SSL_shutdown, lib.SSL_get_error, lib.SSL_new, lambda *_: 0, 7):
                self.patch(SSL, "_lib", Pretending(lib, **{name: other}))
                self.assertIsNone(direct_calls(), (name, other))

    def test_nothing_is_read_ahead_if_the_library_hides_it(self) -> None:
        """One record is read at a time then, as with the public methods."""

        def fail(*_: object) -> int:
            raise UnknownFunctionError

        self.patch(openssl, "address_of", fail)
        for calls in (direct_calls(), public_calls()):
            assert calls is not None
            calls.read_ahead(None)
            self.assertEqual((calls.has_more(None), calls.was_blocked()), (0, True))

    def test_missing_method(self) -> None:
        """The method that turns a result into an exception."""
        for other in (None, 7):
            self.patch(SSL.Connection, "_raise_ssl_error", other)
            self.assertIsNone(direct_calls())
        del SSL.Connection._raise_ssl_error
        self.assertIsNone(direct_calls())

    def test_other_handle(self) -> None:
        """A connection's handle has to be OpenSSL's."""
        ffi: Any = SSL._ffi  # type: ignore[attr-defined]

        class Other:
            def __init__(self, context: SSL.Context, sock: None) -> None:
                self._ssl = ffi.new("char[]", 1)

            _raise_ssl_error = SSL.Connection._raise_ssl_error

        self.patch(SSL, "Connection", Other)
        self.assertIsNone(direct_calls())

    def test_both_kinds_of_calls_raise_alike(self) -> None:
        """Both raise the exceptions of the public methods, for a connection without data."""
        both = (direct_calls(), public_calls())
        for calls in both:
            assert calls is not None
            connection = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
            connection.set_connect_state()
            handle = calls.handle(connection)
            with self.assertRaises(SSL.WantReadError):
                calls.fail(connection, calls.read(handle, calls.buffer, RECORD_BYTES))
            with self.assertRaises(SSL.WantReadError):
                calls.fail(connection, calls.write(handle, b"x", 1))
            with self.assertRaises(SSL.WantReadError):
                calls.fail(connection, calls.write_from(handle, calls.view(b"xyz"), 1, 2))


def self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Gives a certificate that the key has signed itself."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    unsigned = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return unsigned.sign(key, hashes.SHA256())


class GroupsTests(SynchronousTestCase):
    """The groups that a context offers for the key exchange."""

    def test_groups_are_set(self) -> None:
        """A client that has no other cannot get through."""
        errors = []
        for groups in (b"X25519:P-256", b"P-384"):
            server, client = SSL.Context(SSL.TLS_SERVER_METHOD), SSL.Context(SSL.TLS_CLIENT_METHOD)
            key = ec.generate_private_key(ec.SECP256R1())
            server.use_privatekey(key)
            server.use_certificate(self_signed(key))
            self.assertTrue(set_groups(client, b"P-384"))
            self.assertTrue(set_groups(server, groups))
            near, far = SSL.Connection(client, None), SSL.Connection(server, None)
            near.set_connect_state()
            far.set_accept_state()
            self.assertRaises(SSL.WantReadError, near.do_handshake)
            far.bio_write(near.bio_read(1 << 16))
            errors.append(type(self.assertRaises(SSL.Error, far.do_handshake)))
        self.assertEqual(errors, [SSL.Error, SSL.WantReadError])

    def test_groups_that_there_are_not(self) -> None:
        """OpenSSL's own choice stays, and no error of theirs is taken for another connection's."""
        context = SSL.Context(SSL.TLS_METHOD)
        self.assertFalse(set_groups(context, b"nonsense"))
        connection = SSL.Connection(context, None)
        connection.set_connect_state()
        self.assertRaises(SSL.WantReadError, connection.do_handshake)
        self.assertRaises(SSL.WantReadError, connection.recv, 1)

    def test_groups_cannot_be_set(self) -> None:
        """A pyOpenSSL with other internals cannot set the groups."""
        self.patch(SSL, "_lib", Pretending(SSL._lib, SSL_CTX_set1_curves_list=None))  # type: ignore[attr-defined]
        self.assertFalse(set_groups(SSL.Context(SSL.TLS_METHOD), b"P-384"))


class HandshakeTests(SynchronousTestCase):
    """A handshake goes on with what the client has sent, and the tickets follow it."""

    def setUp(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        self.context.use_privatekey(key)
        self.context.use_certificate(self_signed(key))

    def connect(self) -> tuple[SSL.Connection, SSL.Connection]:
        server, client = SSL.Connection(self.context, None), SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        server.set_accept_state()
        client.set_connect_state()
        return server, client

    def step(self, client: SSL.Connection, server: SSL.Connection) -> None:
        """Has the client send what it can."""
        with contextlib.suppress(SSL.WantReadError):
            client.do_handshake()
        server.bio_write(client.bio_read(1 << 16))

    def test_results(self) -> None:
        """The direct call tells what pyOpenSSL raises."""
        direct, public = direct_calls(), public_calls()
        assert direct is not None
        for calls in (direct, public):
            server, client = self.connect()
            handle = calls.handle(server)
            if calls is direct:
                self.assertEqual(calls.handshake(handle), WANTS_READ)
            else:
                self.assertRaises(SSL.WantReadError, calls.handshake, handle)
            self.step(client, server)
            with contextlib.suppress(SSL.WantReadError):
                calls.handshake(handle)
            client.bio_write(server.bio_read(1 << 16))
            self.step(client, server)
            self.assertEqual(calls.handshake(handle), DONE)

    def test_client_that_speaks_something_else(self) -> None:
        """The reason is told by ``fail``."""
        direct = direct_calls()
        assert direct is not None
        server, _ = self.connect()
        server.bio_write(b"GET / HTTP/1.1\r\n\r\n")
        result = direct.handshake(direct.handle(server))
        self.assertNotIn(result, (DONE, WANTS_READ))
        self.assertRaises(SSL.Error, direct.fail, server, result)

    def records(self) -> int:
        """Gives the number of records that follow a handshake: the tickets."""
        server, client = self.connect()
        self.step(client, server)
        with contextlib.suppress(SSL.WantReadError):
            server.do_handshake()
        client.bio_write(server.bio_read(1 << 16))
        self.step(client, server)
        server.do_handshake()
        try:
            data = server.bio_read(1 << 16)
        except SSL.WantReadError:
            return 0
        count = 0
        while data:
            data = data[5 + int.from_bytes(data[3:5], "big") :]
            count += 1
        return count

    def test_number_of_tickets(self) -> None:
        """OpenSSL sends two by itself."""
        self.assertEqual(self.records(), 2)
        for count in (0, 1, 3):
            self.assertTrue(set_tickets(self.context, count))
            self.assertEqual(self.records(), count)

    def test_function_that_is_not_found(self) -> None:
        """OpenSSL's own number stays."""

        def fail(*_: object) -> int:
            raise UnknownFunctionError

        openssl._set_num_tickets.cache_clear()
        self.addCleanup(openssl._set_num_tickets.cache_clear)
        self.patch(openssl, "address_of", fail)
        self.assertFalse(set_tickets(self.context, 1))
        self.assertEqual(self.records(), 2)


class TicketKeyTests(SynchronousTestCase):
    """The calls about the keys of tickets; their effect is tested with the tickets."""

    def test_wrong_size(self) -> None:
        """OpenSSL would read beyond the end of shorter keys."""
        context = SSL.Context(SSL.TLS_METHOD)
        for size in (0, 79, 81):
            self.assertRaises(ValueError, ticket_key_calls().set_keys, context, bytes(size))
        self.assertTrue(ticket_key_calls().set_keys(context, bytes(80)))

    def test_changed_library(self) -> None:
        """The message says so, and nothing is called."""
        lib: Any = SSL._lib  # type: ignore[attr-defined]
        self.patch(SSL, "_lib", Pretending(lib, SSL_session_reused=None))
        error = self.assertRaises(UnknownFunctionError, ticket_key_calls)
        self.assertIn("pyOpenSSL has changed: ", str(error))

    def test_other_size(self) -> None:
        """A later OpenSSL may have other keys."""
        self.patch(openssl, "TICKET_KEYS_BYTES", 48)
        error = self.assertRaises(UnknownFunctionError, ticket_key_calls)
        self.assertEqual(str(error), "OpenSSL's keys of tickets have 80 bytes, not 48")
