"""Certificates of an endpoint that are replaced while it listens."""

from __future__ import annotations

import tempfile
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError
from livefeed.tls.files import GivenFiles, LocalFiles
from livefeed.tls.options import FirstContext, ServedCertificates
from livefeed.tls.reloading import Certificates, EndpointCertificates, FolderSource, PairSource
from tests.authority import Holder
from tests.helpers.tls import handshake

if TYPE_CHECKING:
    from livefeed.tls.files import PemFiles


class ReloadingTests(SynchronousTestCase):
    """EndpointCertificates."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.served = ServedCertificates()
        self.ca = Holder("CA")

    def write(self, file: str, *names: str, days: int = 90) -> tuple[Path, Path]:
        """Writes a certificate and its key."""
        holder = Holder(names[0])
        cert, key = self.folder / f"{file}.pem", self.folder / f"{file}.key"
        cert.write_bytes(self.ca.issue(holder, names, days=days))
        key.write_bytes(holder.pem())
        return cert, key

    def load(self, *pairs: tuple[Path, Path], files: PemFiles | None = None) -> Certificates:
        return Certificates.load(PairSource(pairs), files or LocalFiles(), time.time(), self.served.tickets)

    def subject(self, endpoint: EndpointCertificates, name: str = "") -> str:
        """Gives the name in the certificate that a client gets."""
        client = handshake(endpoint.getContext(), SSL.Context(SSL.TLS_CLIENT_METHOD), name)
        certificate = client.get_peer_certificate(as_cryptography=True)
        assert certificate is not None
        return certificate.subject.rfc4514_string().removeprefix("CN=")

    def test_chosen_by_name(self) -> None:
        """The first one is for clients without a known name; of two for one name the first one counts."""
        pairs = self.write("1", "a.test"), self.write("2", "b.test", "*.b.test", "a.test"), self.write("3", "B.test")
        endpoint = EndpointCertificates(self.load(*pairs), self.served)
        for name, subject in (
            ("", "a.test"),
            ("a.test", "a.test"),
            ("b.test", "b.test"),
            ("X.b.test", "b.test"),
            ("c.test", "a.test"),
        ):
            self.assertEqual(self.subject(endpoint, name), subject, name)
        self.assertEqual(len([*self.served]), 3)

    def test_host(self) -> None:
        """It is the first name of the default certificate that is no wildcard; a development certificate has none."""
        for names, host in (
            (("*.b.test", "b.test", "c.test"), "b.test"),
            (("*.b.test",), None),
            (("localhost",), "localhost"),
        ):
            self.assertEqual(self.load(self.write("1", *names)).host(), host)
        source = PairSource((self.write("1", "b.test"),), is_development=True)
        self.assertIsNone(Certificates.load(source, LocalFiles(), time.time()).host())
        empty = self.folder / "empty"
        empty.mkdir()
        self.assertIsNone(Certificates.load(FolderSource(empty, "listen"), LocalFiles(), time.time()).host())

    def test_only_context(self) -> None:
        """A connection may begin with the context that every name leads to, as long as there is one."""
        one, other = self.write("1", "a.test", "*.a.test"), self.write("2", "b.test")
        endpoint = EndpointCertificates(self.load(one), self.served)
        first = endpoint.getContext()
        assert isinstance(first, FirstContext)
        self.assertIs(first.only, endpoint.certificates.default)
        for pairs in ((one, other), (other,)):
            endpoint.take(self.load(*pairs))
            only = endpoint.certificates.default if pairs == (other,) else None
            self.assertIs(first.only, only)
        self.served.tickets._failure = "a reason"
        endpoint.take(self.load(one))
        self.assertIsNone(first.only)  # a renewal would end all sessions
        self.assertEqual(self.subject(endpoint), "a.test")

    def test_replaced(self) -> None:
        """The same context serves new handshakes with the new certificate; connections that are open keep theirs."""
        pair = self.write("1", "old.test")
        endpoint = EndpointCertificates(self.load(pair), self.served)
        context = endpoint.getContext()
        before = handshake(context, SSL.Context(SSL.TLS_CLIENT_METHOD))
        self.write("1", "new.test", days=5)
        endpoint.take(endpoint.load(time.time()))
        self.assertIs(endpoint.getContext(), context)
        self.assertEqual(self.subject(endpoint), "new.test")
        self.assertEqual(before.get_peer_certificate(as_cryptography=True).subject.rfc4514_string(), "CN=old.test")  # type: ignore[union-attr]
        (validity,) = self.served
        self.assertLess(validity.not_after, time.time() + 6 * 86_400)

    def test_nothing_keeps_what_was_replaced(self) -> None:
        """Its contexts and keys are freed by reference counting."""
        pair = self.write("1", "a.test")
        endpoint = EndpointCertificates(self.load(pair), self.served)
        self.subject(endpoint)
        left = weakref.ref(endpoint.certificates.contexts["a.test"])
        endpoint.take(endpoint.load(time.time()))
        self.assertIsNone(left())
        self.assertEqual(len(self.served.users), 1)

    def test_sessions_are_resumed_after_a_renewal(self) -> None:
        """The tickets belong to the context that stays."""
        pair = self.write("1", "a.test")
        endpoint = EndpointCertificates(self.load(pair), self.served)
        client = SSL.Context(SSL.TLS_CLIENT_METHOD)
        client.set_max_proto_version(SSL.TLS1_2_VERSION)
        first = handshake(endpoint.getContext(), client, "a.test")
        self.write("1", "a.test")
        endpoint.take(endpoint.load(time.time()))
        again = handshake(endpoint.getContext(), client, "a.test", first.get_session())
        self.assertEqual(again.master_key(), first.master_key())

    def test_pair_that_does_not_belong_together(self) -> None:
        """It is refused when it is read, and what is in use stays."""
        pair = self.write("1", "a.test")
        endpoint = EndpointCertificates(self.load(pair), self.served)
        pair[1].write_bytes(Holder("other").pem())
        error = self.assertRaises(ConfigurationError, endpoint.load, time.time())
        self.assertIn(f"{pair[1]}: it is not the private key of {pair[0]}", error.why)
        self.assertEqual((self.subject(endpoint), error.setting), ("a.test", "key"))
        own = PairSource((pair,), "listen")
        error = self.assertRaises(ConfigurationError, Certificates.load, own, LocalFiles(), 0.0)
        self.assertEqual(error.setting, "listen")

    def test_bytes_of_another_process(self) -> None:
        """All that was read is known, and is enough to serve where the files cannot be read."""
        pair = self.write("1", "a.test")
        contents = self.load(pair).contents
        self.assertEqual(set(contents), set(pair))
        for path in pair:
            path.unlink()
        endpoint = EndpointCertificates(self.load(pair, files=GivenFiles(contents)), self.served)
        self.assertEqual(self.subject(endpoint), "a.test")
