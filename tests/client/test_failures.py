"""The reasons why a server cannot be reached, and the settings of TLS."""

from __future__ import annotations

import errno
import socket
import ssl
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from livefeed.client.address import Address
from livefeed.client.failures import reason_of, tls_context
from livefeed.exceptions import FollowError

ADDRESS = Address.of("https://example.org:8443/feed")


def of_tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] (_ssl.c:1006)")
    error.reason = reason
    return error


class ReasonTests(SynchronousTestCase):
    """Each reason is one line that names the server."""

    def test_other_endpoint(self) -> None:
        """The place that was not reached is named besides that of the URL."""
        address = Address.of("https://example.org:8443/feed", connect="front.example:9443")
        for error, reason in (
            (ConnectionRefusedError(111, "x"), "nothing listens at example.org:8443 (front.example:9443)"),
            (socket.gaierror(socket.EAI_NONAME, "x"), "there is no host front.example"),
        ):
            self.assertEqual(reason_of(error, address), reason)

    def test_reasons(self) -> None:
        """People read what they can do something about."""
        untrusted = ssl.SSLCertVerificationError(1, "failed")
        untrusted.verify_message = "hostname mismatch"
        untrusted.verify_code = 62  # the name of another host
        unknown = ssl.SSLCertVerificationError(1, "failed")
        unknown.verify_message, unknown.verify_code = "self-signed certificate", 18
        for error, reason in (
            (
                unknown,
                "the certificate of example.org:8443 is not trusted: self-signed certificate; cacert, or ",
            ),
            (ConnectionRefusedError(111, "x"), "nothing listens at example.org:8443"),
            (socket.gaierror(socket.EAI_NONAME, "x"), "there is no host example.org"),
            (socket.gaierror(socket.EAI_AGAIN, "try again"), "the name example.org cannot be resolved: try again"),
            (untrusted, "the certificate of example.org:8443 is not trusted: hostname mismatch"),
            (of_tls("WRONG_VERSION_NUMBER"), "TLS with example.org:8443 failed: wrong version number; does it speak"),
            (of_tls("TLSV1_ALERT"), "TLS with example.org:8443 failed: tlsv1 alert"),
            (TimeoutError(), "example.org:8443 did not answer within 10 s"),
            (ConnectionResetError(104, "x"), "example.org:8443 closed the connection"),
            (OSError(errno.EHOSTUNREACH, "No route"), "there is no way to example.org:8443: no route"),
            (ValueError("odd\x1b[2J\nmore"), "example.org:8443 could not be asked: odd\\x1b[2J"),
        ):
            self.assertTrue(reason_of(error, ADDRESS).startswith(reason), reason_of(error, ADDRESS))

    def test_settings_of_tls(self) -> None:
        """Certificates are checked unless the user says otherwise, and a file that cannot be read is an error."""
        self.assertIsNone(tls_context(Address.of("http://h/feed")))
        context = tls_context(ADDRESS)
        assert context is not None
        self.assertEqual((context.verify_mode, context.check_hostname), (ssl.CERT_REQUIRED, True))
        context = tls_context(ADDRESS, verify=False)
        assert context is not None
        self.assertEqual(context.verify_mode, ssl.CERT_NONE)
        empty = Path(self.enterContext(TemporaryDirectory())) / "empty.pem"
        empty.write_text("x")
        for path, why in ((empty, "cannot be read as a PEM"), (empty.with_suffix(".no"), "No such file")):
            error = self.assertRaises(FollowError, tls_context, ADDRESS, path)
            self.assertIn(why, str(error))
            self.assertIn(str(path), str(error))
            self.assertRaises(FollowError, tls_context, Address.of("http://h/feed"), path)
