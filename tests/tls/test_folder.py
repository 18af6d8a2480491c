"""tls:FOLDER: the certificate that a client gets, and what is refused."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError
from livefeed.tls import files
from livefeed.tls.files import LocalFiles
from livefeed.tls.folder import MAX_CHAIN
from livefeed.tls.options import ServedCertificates
from livefeed.tls.reloading import Certificates, EndpointCertificates, FolderSource
from tests.authority import Holder
from tests.helpers.tls import handshake

if TYPE_CHECKING:
    from cryptography import x509


class FolderTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.served = ServedCertificates()
        self.root, self.ca = Holder("root"), Holder("CA")
        self.intermediate = self.root.issue(self.ca)

    def write(self, file: str, *contents: bytes) -> Path:
        path = self.directory / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"".join(contents))
        return path

    def add(self, file: str, *names: str, days: int = 90, begins: int = -1) -> None:
        """Writes a file with a certificate, the intermediate one, and the key."""
        holder = Holder(names[0])
        self.write(file, self.ca.issue(holder, names, days=days, begins=begins), self.intermediate, holder.pem())

    def read(self) -> Certificates:
        return Certificates.load(FolderSource(self.directory, "listen"), LocalFiles(), time.time())

    def folder(self) -> EndpointCertificates:
        return EndpointCertificates(self.read(), self.served)

    def refusal(self) -> str:
        error = self.assertRaises(ConfigurationError, self.folder)
        self.assertEqual(error.setting, "listen")
        return str(error.why)


class ServingTestCase(FolderTestCase):
    def chain(self, folder: EndpointCertificates, name: str = "") -> list[str]:
        """Gives the subjects of the certificates that a client gets for a server name."""
        client = handshake(folder.getContext(), SSL.Context(SSL.TLS_CLIENT_METHOD), name)
        sent: list[x509.Certificate] = client.get_peer_cert_chain(as_cryptography=True) or []
        return [each.subject.rfc4514_string().removeprefix("CN=") for each in sent]


class ChoiceTests(ServingTestCase):
    """The certificates that a client gets."""

    def test_by_name(self) -> None:
        """With those that have issued it; a wildcard stands for one label; upper case is no other name."""
        self.add("a.pem", "a.test")
        self.add("below/b.pem", "b.test", "*.b.test")
        folder = self.folder()
        self.assertEqual(self.chain(folder, "a.test"), ["a.test", "CA"])
        for name in ("b.test", "www.b.test", "WWW.B.test"):
            self.assertEqual(self.chain(folder, name), ["b.test", "CA"])
        self.assertEqual(self.chain(folder, "x.www.b.test"), ["a.test", "CA"])

    def test_an_unknown_name_or_none(self) -> None:
        """A client without a known name gets the first valid file's certificate."""
        self.add("0.pem", "old.test", days=-1, begins=-2)
        self.add("1.pem", "a.test")
        self.add("2.pem", "b.test")
        folder = self.folder()
        for name in ("", "unknown.test", "x" * 60 + ".test"):
            self.assertEqual(self.chain(folder, name), ["a.test", "CA"])

    def test_an_empty_folder(self) -> None:
        """The log says that the folder is empty, and handshakes fail."""
        folder = self.folder()
        (note,) = folder.certificates.read.notes
        self.assertIn("no .pem file here has a certificate for a name", note)
        self.assertRaises(SSL.Error, self.chain, folder, "a.test")

    def test_certificate_and_key_in_files_of_their_own(self) -> None:
        """The files are those of certbot: the certificate twice, and a chain in any order."""
        holder, above = Holder("a.test"), Holder("above")
        leaf = self.ca.issue(holder, ["a.test"])
        issuers = (above.issue(self.ca), self.root.issue(above))
        self.write("live/cert.pem", leaf)
        self.write("live/chain.pem", issuers[1], issuers[0])
        self.write("live/fullchain.pem", leaf, *issuers)
        self.write("live/privkey.pem", holder.pem())
        self.write("live/README", b"nothing")
        self.assertEqual(self.chain(self.folder(), "a.test"), ["a.test", "CA", "above"])
        self.assertEqual([each.file.name for each in self.served], ["cert.pem"])

    def test_two_for_one_name(self) -> None:
        """A valid one is better than one that is not, and then the one that lasts longer; also with one key."""
        holder = Holder("renewed")
        self.write("1.pem", self.ca.issue(holder, ["a.test"], days=1), holder.pem())
        self.write("0.pem", self.ca.issue(holder, ["a.test"], days=80))
        self.add("2.pem", "a.test", days=70)
        self.add("3.pem", "a.test", days=200, begins=100)
        self.assertEqual(self.chain(self.folder(), "a.test"), ["renewed", "CA"])
        self.assertEqual([each.file.name for each in self.served], ["3.pem", "2.pem", "0.pem"])

    def test_a_server_that_has_signed_itself(self) -> None:
        """It has its key, and is no CA above another."""
        holder = Holder("a.test")
        self.write("a.pem", holder.issue(holder, ["a.test"]), holder.pem())
        self.assertEqual(self.chain(self.folder(), "a.test"), ["a.test"])

    def test_cas_that_have_signed_each_other(self) -> None:
        """End the chain where one would be sent twice; a long one is cut."""
        holder, other = Holder("a.test"), Holder("other")
        self.write("a.pem", self.ca.issue(holder, ["a.test"]), holder.pem())
        self.write("cas.pem", self.ca.issue(other), other.issue(self.ca))
        self.assertEqual(self.chain(self.folder(), "a.test"), ["a.test", "CA", "other"])
        above = [self.ca, *(Holder(f"{number}") for number in range(MAX_CHAIN))]
        pairs = zip(above[1:], above, strict=False)
        self.write("cas.pem", *(issuer.issue(issued) for issuer, issued in pairs))
        self.assertEqual(len(self.chain(self.folder(), "a.test")), MAX_CHAIN)

    def test_links_that_lead_in_a_circle(self) -> None:
        """End; the folder in which Kubernetes has the files is not read twice."""
        self.add("..2026/a.pem", "a.test")
        (self.directory / "..data").symlink_to("..2026")
        (self.directory / "a.pem").symlink_to("..data/a.pem")
        (self.directory / "circle").symlink_to(".")
        self.assertEqual(self.chain(self.folder(), "a.test"), ["a.test", "CA"])
        self.assertEqual([each.file for each in self.served], [self.directory / "a.pem"])

    def test_a_client_that_comes_back(self) -> None:
        """Resumes its session, of whichever certificate."""
        self.add("a.pem", "a.test")
        self.add("b.pem", "b.test")
        folder = self.folder()
        for name in ("a.test", "b.test"):
            client = SSL.Context(SSL.TLS_CLIENT_METHOD)
            client.set_max_proto_version(SSL.TLS1_2_VERSION)
            first = handshake(folder.getContext(), client, name)
            again = handshake(folder.getContext(), client, name, first.get_session())
            self.assertEqual(again.master_key(), first.master_key())

    def test_what_tls_is_spoken(self) -> None:
        """The versions and ciphers are those of tls:PORT."""
        self.add("a.pem", "a.test")
        client = SSL.Context(SSL.TLS_CLIENT_METHOD)
        client.set_alpn_protos([b"h2", b"http/1.1"])
        connection = handshake(self.folder().getContext(), client, "a.test")
        self.assertEqual(connection.get_alpn_proto_negotiated(), b"http/1.1")
        self.assertEqual(connection.get_cipher_name(), "TLS_AES_128_GCM_SHA256")


class RefusalTests(FolderTestCase):
    """A file that cannot be used is refused in one line that names it."""

    def test_a_ca_that_has_signed_itself(self) -> None:
        """Twisted would search it for ever: it stands above itself. Also where it has issued nothing here."""
        self.add("a.pem", "a.test")
        for file, root in (("below/root.pem", self.root), ("other.pem", Holder("other"))):
            path = self.write(file, root.issue(root))
            self.assertEqual(
                self.refusal(),
                f"{path}: a CA that has signed itself is not for a server: clients have it; remove it from the folder",
            )
            path.unlink()

    def test_damaged_files(self) -> None:
        """A certificate or a key that cannot be read; other kinds of PEM, and files that are none, are passed over."""
        self.write("dh.pem", b"-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n")
        self.write("text.pem", b"hello")
        self.add("a.pem", "a.test")
        self.folder()
        for kind in ("CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY"):
            path = self.write("bad.pem", f"-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n".encode())
            self.assertEqual(self.refusal(), f"{path}: the {kind.lower()} in it cannot be read: it is damaged", kind)

    def test_encrypted_key(self) -> None:
        """A daemon cannot ask for the passphrase."""
        key = self.root.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
        path = self.write("key.pem", key)
        self.assertEqual(self.refusal(), f"{path}: the private key is encrypted; give one that is not")

    def test_files_that_cannot_be_opened(self) -> None:
        """A link that leads nowhere."""
        path = self.directory / "a.pem"
        path.symlink_to("nowhere")
        self.assertEqual(self.refusal(), f"{path}: No such file or directory")

    def test_too_much(self) -> None:
        """The number of files and the bytes of each are limited."""
        self.patch(files, "MAX_FILES", 2)
        self.patch(files, "MAX_FILE_BYTES", 10)
        for number in range(3):
            path = self.write(f"{number}.pem", bytes(9))
        self.assertEqual(self.refusal(), f"{self.directory}: there are more than 2 .pem files or folders in it")
        path.unlink()
        path = self.write("0.pem", bytes(11))
        self.assertEqual(self.refusal(), f"{path}: is larger than 10 bytes")
        path.unlink()
        (self.directory / "1" / "2" / "3").mkdir(parents=True)
        self.assertIn("there are more than 2", self.refusal())

    def test_a_key_without_its_certificate(self) -> None:
        """livefeed starts all the same, and the log names the file once."""
        self.add("a.pem", "a.test")
        path = self.write("key.pem", self.root.pem())
        self.assertEqual(self.read().read.notes, [f"there is no certificate for a private key in {path}"])
