"""A server's TLS configuration, seen from a client in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from OpenSSL import SSL
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError
from livefeed.process.endpoints import make_endpoint
from livefeed.sources import make_source
from livefeed.tls.development import DevelopmentCertificate, development_certificate
from livefeed.tls.files import LocalFiles
from livefeed.tls.options import (
    EXPIRY_WARNING_S,
    KeyPair,
    ServedCertificates,
    Validity,
    read_pair,
    require_callbacks,
    server_options,
)
from tests.authority import Holder
from tests.helpers.tls import handshake, self_signed

if TYPE_CHECKING:
    from livefeed.tls.reloading import PairSource

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | x25519.X25519PrivateKey


def write_key(path: Path, key: PrivateKey, encryption: KeySerializationEncryption | None = None) -> None:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()))


def write_certificate(path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    """Writes a certificate that the key has signed itself."""
    certificate = self_signed(key, "localhost", days=1)
    path.write_bytes(certificate.public_bytes(Encoding.PEM))


class TlsTestCase(SynchronousTestCase):
    directory: Path
    made: DevelopmentCertificate

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.made = development_certificate(self.directory)


class HandshakeTests(TlsTestCase):
    """Handshakes that succeed, and others that fail."""

    def client(self, ciphers: bytes = b"", *, highest: int = 0) -> SSL.Context:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        if ciphers:
            context.set_cipher_list(ciphers)
        if highest:
            context.set_max_proto_version(highest)
        return context

    def server(self) -> SSL.Context:
        return server_options(self.made.cert, self.made.key).getContext()

    def test_tls_1_3(self) -> None:
        """A client of today gets TLS 1.3."""
        client = handshake(self.server(), self.client())
        self.assertEqual(client.get_protocol_version_name(), "TLSv1.3")

    def test_tls_1_2(self) -> None:
        """An older one gets TLS 1.2, with forward secrecy and authenticated encryption."""
        client = handshake(self.server(), self.client(highest=SSL.TLS1_2_VERSION))
        self.assertEqual(client.get_protocol_version_name(), "TLSv1.2")
        cipher = client.get_cipher_name()
        assert cipher is not None
        self.assertTrue(cipher.startswith("ECDHE-ECDSA-"), cipher)
        self.assertTrue("GCM" in cipher or "CHACHA20" in cipher, cipher)

    def test_cipher_of_tls_1_3_is_the_servers_choice(self) -> None:
        """A client that prefers SHA-384 gets the cipher that the server's processor is fastest at."""
        client = self.client()
        client.set_tls13_ciphersuites(b"TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256")
        self.assertEqual(handshake(self.server(), client).get_cipher_name(), "TLS_AES_128_GCM_SHA256")

    def test_client_with_one_cipher_gets_through(self) -> None:
        """Any one of the server's ciphers is enough: a client without AES instructions may only offer ChaCha20."""
        for cipher in ("TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"):
            client = self.client()
            client.set_tls13_ciphersuites(cipher.encode())
            client.set_min_proto_version(SSL.TLS1_3_VERSION)
            self.assertEqual(handshake(self.server(), client).get_cipher_name(), cipher)
        for cipher in ("ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES256-GCM-SHA384"):
            client = self.client(cipher.encode(), highest=SSL.TLS1_2_VERSION)
            self.assertEqual(handshake(self.server(), client).get_cipher_name(), cipher)

    def test_tls_1_1_is_refused(self) -> None:
        """Nothing older than TLS 1.2 gets through."""
        client = self.client(b"ALL:@SECLEVEL=0", highest=SSL.TLS1_1_VERSION)
        self.assertRaises(SSL.Error, handshake, self.server(), client)
        options = self.server().set_options(0)
        for older in (SSL.OP_NO_SSLv3, SSL.OP_NO_TLSv1, SSL.OP_NO_TLSv1_1):
            self.assertTrue(options & older)

    def test_cbc_is_refused(self) -> None:
        """A cipher that Mozilla's 'intermediate' does not have is not accepted, though OpenSSL knows it."""
        for cipher in (b"ECDHE-ECDSA-AES128-SHA256", b"ECDHE-ECDSA-AES256-SHA"):
            client = self.client(cipher, highest=SSL.TLS1_2_VERSION)
            self.assertRaises(SSL.Error, handshake, self.server(), client)

    def test_chain_is_sent(self) -> None:
        """The certificates behind the leaf in its file are sent along, in that order."""
        chain = self.directory / "chain.pem"
        chain.write_bytes(self.made.cert.read_bytes() + self.made.ca.read_bytes())
        server = server_options(chain, self.made.key).getContext()
        sent = handshake(server, self.client()).get_peer_cert_chain(as_cryptography=True)
        self.assertEqual(sent, x509.load_pem_x509_certificates(chain.read_bytes()))

    def test_protocol_is_agreed_on_where_it_can_be(self) -> None:
        """HTTP/1.1 is chosen among others; a client that offers only others gets through without a choice."""
        for offered, chosen in (([b"h2", b"http/1.1"], b"http/1.1"), ([b"http/1.0"], b""), ([b"h2"], b"")):
            client = self.client()
            client.set_alpn_protos(offered)
            self.assertEqual(handshake(self.server(), client).get_alpn_proto_negotiated(), chosen)

    def test_idle_connections_are_small(self) -> None:
        """OpenSSL gives its buffers back between records: thousands of connections are idle most of the time."""
        mode = self.server().set_mode(0)
        self.assertTrue(mode & 0x10)  # SSL_MODE_RELEASE_BUFFERS

    def test_rsa(self) -> None:
        """A certificate of 2048 bits RSA works as well."""
        key = rsa.generate_private_key(65537, 2048)
        write_key(self.directory / "rsa.key", key)
        write_certificate(self.directory / "rsa.pem", key)
        server = server_options(self.directory / "rsa.pem", self.directory / "rsa.key").getContext()
        client = handshake(server, self.client(highest=SSL.TLS1_2_VERSION))
        self.assertTrue((client.get_cipher_name() or "").startswith("ECDHE-RSA-"))


class RefusalTests(TlsTestCase):
    """The messages for files that cannot be used."""

    def refusal(self, cert: Path, key: Path) -> str:
        return str(self.assertRaises(ConfigurationError, server_options, cert, key))

    def test_missing_files(self) -> None:
        """The option and the file are named."""
        missing = self.directory / "missing.pem"
        self.assertEqual(self.refusal(missing, self.made.key), f"--cert: {missing}: No such file or directory")
        self.assertEqual(self.refusal(self.made.cert, missing), f"--key: {missing}: No such file or directory")

    def test_not_pem(self) -> None:
        """A file with something else in it, or with nothing, is named."""
        for content in (b"", b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
            other = self.directory / "other.pem"
            other.write_bytes(content)
            self.assertIn(f"--cert: {other}: there is no certificate", self.refusal(other, self.made.key))
            self.assertIn(f"--key: {other}: there is no private key", self.refusal(self.made.cert, other))

    def test_interchanged_files(self) -> None:
        """A key in the place of the certificate is said to be no certificate."""
        self.assertIn(f"--cert: {self.made.key}: there is no cert", self.refusal(self.made.key, self.made.cert))

    def test_files_of_different_pairs(self) -> None:
        """A key that belongs to another certificate is found out before the first client comes."""
        other = self.directory / "ca.key"
        refusal = self.refusal(self.made.cert, other)
        self.assertTrue(refusal.startswith(f"--key: {other}"), refusal)
        self.assertIn(str(self.made.cert), refusal)

    def test_chain_in_the_wrong_order(self) -> None:
        """It is said which one must be the first."""
        chain = self.directory / "chain.pem"
        chain.write_bytes(self.made.ca.read_bytes() + self.made.cert.read_bytes())
        refusal = self.refusal(chain, self.made.key)
        self.assertIn(f"--cert: {chain}: wrong order: certificate 2 of ", refusal)

    def test_intermediates_in_the_wrong_order(self) -> None:
        """Both places are named; so is a certificate that has no place in the chain."""
        root, second, first, server = (Holder(name) for name in ("root", "second", "first", "server"))
        leaf = first.issue(server, ["localhost"])
        issuers = (second.issue(first), root.issue(second), root.issue(root))
        chain, key = self.directory / "chain.pem", self.directory / "server.key"
        key.write_bytes(server.pem())
        for order, why in (
            ([0, 1, 2], None),
            ([0, 1], None),
            ([0], None),
            ([1, 0, 2], "certificate 2 of 4 has not issued certificate 1: certificate 3 has, and must stand there"),
            ([0, 2, 1], "certificate 3 of 4 has not issued certificate 2: certificate 4 has, and must stand there"),
            ([1], "certificate 2 of 2 has not issued certificate 1, and must not stand there"),
            ([0, 0], "certificate 3 of 3 has not issued certificate 2, and must not stand there"),
        ):
            chain.write_bytes(leaf + b"".join(issuers[number] for number in order))
            if why is None:
                server_options(chain, key)
            else:
                expected = f"--cert: {chain}: a chain in the wrong order: {why}"
                self.assertEqual(self.refusal(chain, key), expected)

    def test_an_issuer_by_the_same_name(self) -> None:
        """Its signature decides, and not its name."""
        server = Holder("server")
        chain, key = self.directory / "chain.pem", self.directory / "server.key"
        chain.write_bytes(Holder("CA").issue(server, ["localhost"]) + Holder("root").issue(Holder("CA")))
        key.write_bytes(server.pem())
        self.assertIn("certificate 2 of 2 has not issued certificate 1", self.refusal(chain, key))

    def test_key_of_another_kind(self) -> None:
        """Both kinds are named."""
        other = self.directory / "rsa.key"
        write_key(other, rsa.generate_private_key(65537, 2048))
        self.assertIn(
            f"--key: {other}: it is a key of RSA, and {self.made.cert} is for one of ",
            self.refusal(self.made.cert, other),
        )

    def test_encrypted_key(self) -> None:
        """A key with a passphrase is refused with a message, because a daemon cannot ask for the passphrase."""
        encrypted = self.directory / "encrypted.pem"
        write_key(encrypted, ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"passphrase"))
        self.assertIn("the private key is encrypted", self.refusal(self.made.cert, encrypted))

    def test_key_of_a_kind_that_cannot_sign(self) -> None:
        """A key that TLS cannot use for a server is refused in words."""
        other = self.directory / "x25519.pem"
        write_key(other, x25519.X25519PrivateKey.generate())
        self.assertIn(f"--key: {other}: ", self.refusal(self.made.cert, other))

    def test_weak_key(self) -> None:
        """A key that OpenSSL finds too small is not said to be the wrong one."""
        key = rsa.generate_private_key(65537, 1024)
        write_key(self.directory / "weak.key", key)
        write_certificate(self.directory / "weak.pem", key)
        refusal = self.refusal(self.directory / "weak.pem", self.directory / "weak.key")
        self.assertIn(f"--cert: {self.directory / 'weak.pem'}: ", refusal)
        self.assertIn("key too small", refusal)


class CallbackTests(SynchronousTestCase):
    """require_callbacks."""

    def test_memory_that_is_written_may_not_be_executed(self) -> None:
        """The error has the remedy for each setting that uses TLS; where such memory is allowed, there is no error."""
        require_callbacks("listen")

        def refuse(*_: object) -> None:
            raise MemoryError("Cannot allocate write+execute memory for ffi.callback().")

        self.patch(SSL.Context, "set_info_callback", refuse)
        for attempt, setting in (
            (lambda: require_callbacks("metrics"), "metrics"),
            (lambda: make_endpoint(MemoryReactorClock(), "tls:1", _no_certificate), "listen"),
            (lambda: make_endpoint(MemoryReactorClock(), "ssl:1", _no_certificate), "listen"),
            (lambda: make_source("https://h/", reactor=Clock(), max_bytes=9), "source"),
            (lambda: make_source("rediss+cluster://h/k", reactor=Clock(), max_bytes=9), "source"),
        ):
            error = self.assertRaises(ConfigurationError, attempt)
            self.assertTrue(str(error).startswith(f"--{setting}: TLS needs memory that is written and then executed"))
            self.assertIn("set MemoryDenyWriteExecute=no", str(error))


def _no_certificate() -> PairSource:
    raise AssertionError


class KeyPairTests(TlsTestCase):
    """KeyPair, and the register of what is served."""

    def test_names(self) -> None:
        """Those of the extension, in lower case; a certificate without it has none."""
        pair = read_pair(self.made.cert, self.made.key, LocalFiles())
        self.assertEqual(pair.names(), ["localhost"])
        self.assertEqual(pair.validity, Validity.read(self.made.cert))
        key = ec.generate_private_key(ec.SECP256R1())
        bare = KeyPair(self.made.cert, (self_signed(key, "a.test", days=1),), self.made.key, key)
        self.assertEqual(bare.names(), [])

    def test_served(self) -> None:
        """Each file once, with the certificate that expires first; a user replaces its own, and is known once."""
        served = ServedCertificates()
        one, two, a, b = object(), object(), Path("a"), Path("b")
        served.replace(one, [Validity(a, 0, 9), Validity(a, 0, 5), Validity(b, 0, 7)])
        served.replace(two, [Validity(b, 0, 8)])
        self.assertEqual([(each.file, each.not_after) for each in served], [(a, 5), (b, 7)])
        served.replace(one, [])
        self.assertEqual(([each.not_after for each in served], served.users), ([8], [one, two]))


class ValidityTests(TlsTestCase):
    """Validity."""

    def test_complaints(self) -> None:
        """There are three, which name the file, and none while all is well."""
        validity = Validity.read(self.made.cert)
        for now, text in (
            (validity.not_before - 1, "is not valid before"),
            (validity.not_before + 1, None),
            (validity.not_after - EXPIRY_WARNING_S - 1, None),
            (validity.not_after - EXPIRY_WARNING_S + 1, "expires on"),
            (validity.not_after + 1, "has expired"),
        ):
            complaint = validity.complaint(now)
            self.assertEqual(complaint is None, text is None)
            self.assertIn(text or "", complaint or "")
            self.assertTrue(complaint is None or complaint.endswith(("renew it", "is the clock right?")))
            self.assertIn(str(self.made.cert), complaint or str(self.made.cert))
