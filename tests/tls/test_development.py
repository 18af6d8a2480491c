"""The development CA and its certificate."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError
from livefeed.tls import development
from livefeed.tls.development import (
    LEAF_DAYS,
    NAMES,
    DevelopmentCertificate,
    default_directory,
    development_certificate,
)
from tests.helpers.tls import self_signed

FILES = ("ca.pem", "ca.key", "cert.pem", "key.pem")


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def verify(ca: Path, cert: Path, name: str) -> None:
    """Verifies as a client that trusts the CA does."""
    subject: x509.DNSName | x509.IPAddress
    try:
        subject = x509.IPAddress(ip_address(name))
    except ValueError:
        subject = x509.DNSName(name)
    PolicyBuilder().store(Store([load(ca)])).build_server_verifier(subject).verify(load(cert), [])


def foreign_ca(directory: Path, encryption: KeySerializationEncryption | None = None) -> None:
    """Puts a CA into the directory that livefeed has not made."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = self_signed(key, "Somebody's CA", days=365)
    (directory / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (directory / "ca.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    )


class CertificatesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def make(self, *names: str, force: bool = False) -> DevelopmentCertificate:
        return development_certificate(self.directory, names or NAMES, force=force)

    def contents(self) -> dict[str, bytes]:
        return {name: (self.directory / name).read_bytes() for name in FILES}


class MakingTests(CertificatesTestCase):
    """The files of a new certificate."""

    def test_clients_can_verify_it(self) -> None:
        """A client that trusts ca.pem accepts the certificate for each of its names."""
        made = self.make()
        self.assertTrue(made.made)
        for name in NAMES:
            verify(made.ca, made.cert, name)

    def test_other_names_are_not_accepted(self) -> None:
        """The certificate is for its own names only."""
        made = self.make("localhost")
        self.assertRaises(VerificationError, verify, made.ca, made.cert, "example.org")
        self.assertRaises(VerificationError, verify, made.ca, made.cert, "127.0.0.1")

    def test_ca_can_sign_for_its_names_only(self) -> None:
        """A thief of the CA's key cannot make certificates for other sites that browsers accept."""
        made = self.make("localhost", "10.0.0.1")
        ca = development._Pair(
            load(made.ca),
            load_pem_private_key((self.directory / "ca.key").read_bytes(), None),  # type: ignore[arg-type]
        )
        for name in ("bank.example", "10.0.0.2"):
            forged = self.directory / "forged.pem"
            development._make(forged, self.directory / "forged.key", (name,), ca)
            self.assertRaises(VerificationError, verify, made.ca, forged, name)

    def test_lifetime_is_what_browsers_accept(self) -> None:
        """The server's certificate is valid now, and for less than 398 days."""
        certificate = load(self.make().cert)
        now = datetime.now(UTC)
        self.assertLess(certificate.not_valid_before_utc, now)
        self.assertGreater(certificate.not_valid_after_utc, now + timedelta(days=LEAF_DAYS - 1))
        lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        self.assertLessEqual(lifetime, timedelta(days=398))

    def test_keys_are_readable_by_their_owner_alone(self) -> None:
        """Private keys have mode 0600 for any umask; the directory, if it is made, 0700."""
        self.addCleanup(os.umask, os.umask(0))
        made = development_certificate(self.directory / "deep" / "down")
        self.assertEqual(stat.S_IMODE(made.key.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE((made.key.parent / "ca.key").stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(made.key.parent.stat().st_mode), 0o700)

    def test_no_scratch_file_is_left(self) -> None:
        """There are the four files and nothing else."""
        self.make()
        self.assertEqual(sorted(path.name for path in self.directory.iterdir()), sorted(FILES))

    def test_fingerprint_is_as_browsers_show_it(self) -> None:
        """SHA-256 of the certificate in DER, in upper case, with colons."""
        made = self.make()
        digest = hashlib.sha256(load(made.cert).public_bytes(Encoding.DER)).hexdigest().upper()
        self.assertEqual(made.fingerprint.replace(":", ""), digest)
        self.assertEqual(made.fingerprint[2::3], ":" * 31)

    def test_name_that_cannot_be(self) -> None:
        """A name of which no certificate can be made is refused and named, and nothing is left behind."""
        for name in ("", "*.example.org", "x" * 300 + "\0", "bücher example"):
            error = self.assertRaises(ConfigurationError, self.make, "localhost", name)
            self.assertIn(repr(name)[1:-1][:20], str(error))

    def test_name_of_another_alphabet(self) -> None:
        """A host name may be given as people write it."""
        made = self.make("bücher.example")
        verify(made.ca, made.cert, "xn--bcher-kva.example")


class KeepingTests(CertificatesTestCase):
    """Files that are kept, and files that are made anew."""

    def test_pair_of_release_0_2_0(self) -> None:
        """Its keys have no number of a format, and are used."""
        self.make()
        for name in ("ca.key", "key.pem"):
            path = self.directory / name
            self.assertTrue(path.read_bytes().startswith(b"livefeed-development-format: 1\n-----BEGIN"))
            path.write_bytes(path.read_bytes().partition(b"\n")[2])
        before = self.contents()
        self.assertFalse(self.make().made)
        self.assertEqual(self.contents(), before)

    def test_second_time_keeps_everything(self) -> None:
        """A valid certificate is not replaced, because clients may already trust it."""
        made = self.make()
        before = self.contents()
        kept = self.make()
        self.assertFalse(kept.made)
        self.assertEqual(self.contents(), before)
        self.assertEqual(kept.fingerprint, made.fingerprint)

    def test_names_in_other_spellings(self) -> None:
        """The same address written otherwise is no reason for a new CA."""
        for names in (("0:0:0:0:0:0:0:1",), ("LOCALHOST",), ("localhost", "localhost")):
            self.make(*names)
            self.assertFalse(self.make(*names).made, names)

    def test_force_makes_all_anew(self) -> None:
        """No file stays the same with force."""
        self.make()
        before = self.contents()
        self.assertTrue(self.make(force=True).made)
        after = self.contents()
        for name in FILES:
            self.assertNotEqual(before[name], after[name], name)

    def test_expiring_certificate_is_renewed(self) -> None:
        """A certificate that is about to expire is made anew by the same CA."""
        self.patch(development, "LEAF_DAYS", 6)
        self.make()
        before = self.contents()
        self.patch(development, "LEAF_DAYS", 397)
        made = self.make()
        self.assertTrue(made.made)
        self.assertEqual(self.contents()["ca.pem"], before["ca.pem"])
        verify(made.ca, made.cert, "localhost")
        self.assertFalse(self.make().made)

    def test_expiring_ca_is_renewed(self) -> None:
        """A CA that is about to expire takes its certificate with it."""
        self.patch(development, "CA_DAYS", 6)
        self.make()
        before = self.contents()
        self.patch(development, "CA_DAYS", 3650)
        made = self.make()
        self.assertTrue(made.made)
        self.assertNotEqual(self.contents()["ca.pem"], before["ca.pem"])
        verify(made.ca, made.cert, "localhost")

    def test_other_names_need_another_ca(self) -> None:
        """The CA is limited to its names, so that other names are a new CA too."""
        self.make("localhost")
        before = self.contents()
        made = self.make("localhost", "feed.test")
        self.assertTrue(made.made)
        self.assertNotEqual(self.contents()["ca.pem"], before["ca.pem"])
        verify(made.ca, made.cert, "feed.test")

    def test_missing_certificate_is_made(self) -> None:
        """The existing CA signs a new leaf."""
        self.make()
        before = self.contents()
        (self.directory / "cert.pem").unlink()
        made = self.make()
        self.assertTrue(made.made)
        self.assertEqual(self.contents()["ca.pem"], before["ca.pem"])
        verify(made.ca, made.cert, "localhost")

    def test_certificate_of_another_ca_is_replaced(self) -> None:
        """No client would accept a leaf that the CA has not signed."""
        self.make()
        before = self.contents()
        self.make(force=True)
        for name in ("cert.pem", "key.pem"):
            (self.directory / name).write_bytes(before[name])
        made = self.make()
        self.assertTrue(made.made)
        verify(made.ca, made.cert, "localhost")


class RefusalTests(CertificatesTestCase):
    """Files that livefeed refuses to replace."""

    def refusal(self) -> str:
        return str(self.assertRaises(ConfigurationError, self.make))

    def test_not_pem(self) -> None:
        """A file that holds something else is named, and is not overwritten."""
        for name in FILES:
            self.make(force=True)
            (self.directory / name).write_bytes(b"my diary")
            self.assertIn(name, self.refusal())
            self.assertEqual((self.directory / name).read_bytes(), b"my diary")

    def test_key_of_another_certificate(self) -> None:
        """Two files that do not belong together are refused."""
        self.make()
        (self.directory / "key.pem").write_bytes((self.directory / "ca.key").read_bytes())
        self.assertIn("key.pem is not the key of cert.pem", self.refusal())

    def test_somebody_elses_ca(self) -> None:
        """A CA that livefeed has not made is refused in words, or let be; it is not overwritten."""
        foreign_ca(self.directory)
        before = (self.directory / "ca.key").read_bytes()
        self.assertIn("ca.pem", self.refusal())
        self.assertEqual((self.directory / "ca.key").read_bytes(), before)

    def test_encrypted_key(self) -> None:
        """A key with a passphrase is refused in words."""
        foreign_ca(self.directory, BestAvailableEncryption(b"passphrase"))
        self.assertIn("ca.key", self.refusal())

    def test_key_without_certificate(self) -> None:
        """A private key whose certificate is missing is not overwritten: there may be no other copy of it."""
        foreign_ca(self.directory)
        (self.directory / "ca.pem").unlink()
        before = (self.directory / "ca.key").read_bytes()
        self.assertIn("ca.key", self.refusal())
        self.assertEqual((self.directory / "ca.key").read_bytes(), before)

    def test_pair_of_a_newer_livefeed(self) -> None:
        """It is refused, and all files stay, even if others are missing or expired."""
        self.make()
        for name in ("ca.key", "key.pem"):
            path = self.directory / name
            key = path.read_bytes()
            path.write_bytes(key.replace(b"format: 1\n", b"format: 2\n"))
            before = self.contents()
            why = self.refusal()
            self.assertTrue(why.startswith(f"{path}: has format 2, of a newer livefeed"), why)
            self.assertIn("remove or rename", why)
            self.assertEqual(self.contents(), before)
            path.write_bytes(key)
        (self.directory / "key.pem").write_bytes(b"livefeed-development-format: 2\nanother kind of key")
        for name in ("cert.pem", "ca.pem", "ca.key"):
            (self.directory / name).unlink()
            self.refusal()
            self.assertEqual((self.directory / "key.pem").read_bytes()[31:], b"another kind of key")
        self.assertTrue(self.make(force=True).made)

    def test_directory_that_cannot_be_made(self) -> None:
        """The message names the obstacle and the alternative."""
        (self.directory / "file").write_text("")
        error = self.assertRaises(ConfigurationError, development_certificate, self.directory / "file" / "certs")
        self.assertIn(str(self.directory / "file"), str(error))
        self.assertIn("Not a directory: no development certificate can be made there", str(error))
        # livefeed certs has no such options.
        self.assertNotIn("--cert", str(error))


class DirectoryTests(SynchronousTestCase):
    """default_directory."""

    def test_xdg(self) -> None:
        """XDG_DATA_HOME is followed."""
        self.patch(os, "environ", {"XDG_DATA_HOME": "/data", "HOME": "/home/me"})
        self.assertEqual(default_directory(), Path("/data/livefeed/certs"))

    def test_home(self) -> None:
        """The default of the XDG specification is used if the variable is missing or empty."""
        for environment in ({"HOME": "/home/me"}, {"HOME": "/home/me", "XDG_DATA_HOME": ""}):
            self.patch(os, "environ", environment)
            self.assertEqual(default_directory(), Path("/home/me/.local/share/livefeed/certs"))

    def test_no_home(self) -> None:
        """The message names the settings that a user without a home directory needs."""

        def nowhere() -> Path:
            raise RuntimeError("Could not determine home directory.")

        self.patch(os, "environ", {})
        self.patch(Path, "home", nowhere)
        error = self.assertRaises(ConfigurationError, default_directory)
        self.assertIn("no home directory for a development certificate: set XDG_DATA_HOME", str(error))
        # livefeed certs has no such options.
        self.assertNotIn("--cert", str(error))
