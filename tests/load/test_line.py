"""Connections that never block."""

from __future__ import annotations

import errno
import socket
import ssl

from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import FollowError
from livefeed.load.line import Tls, context_of, error_name, open_socket
from tests.helpers.load_targets import plan_for, target_of
from tests.helpers.threaded_server import HOST


class LineTests(SynchronousTestCase):
    def test_sources(self) -> None:
        """A connection comes from the address that is asked for."""
        with socket.create_server((HOST, 0)) as listening:
            for source, wanted in ((None, HOST), ("127.0.0.7", "127.0.0.7")):
                with open_socket(target_of(listening.getsockname()[1]), source) as sock:
                    accepted, (address, _) = listening.accept()
                    accepted.close()
                    self.assertEqual(address, wanted)
                    self.assertFalse(sock.getblocking())

    def test_fails_at_once(self) -> None:
        """The socket is closed, and the error tells why."""
        closed: list[bool] = []

        class Failing(socket.socket):
            def connect_ex(self, address: object) -> int:
                return errno.EADDRNOTAVAIL

            def close(self) -> None:
                closed.append(True)
                super().close()

        self.patch(socket, "socket", Failing)
        error = self.assertRaises(OSError, open_socket, target_of(80), None)
        self.assertEqual((error_name(error), closed[:1]), ("no free port", [True]))

    def test_names_of_errors(self) -> None:
        """The same defect has the same name, whatever its text."""
        refused = ssl.SSLCertVerificationError(1, "failed")
        refused.verify_message = "self-signed certificate"
        failed = ssl.SSLError(1, "failed")
        failed.reason = "WRONG_VERSION_NUMBER"
        for error, name in (
            (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "refused"),
            (BrokenPipeError(errno.EPIPE, "x"), "reset"),
            (OSError(errno.EMFILE, "x"), "too many open files"),
            (OSError(errno.EIO, "Input/output error"), "input/output error"),
            (OSError(), "oserror"),
            (refused, "certificate refused (self-signed certificate)"),
            (failed, "TLS failed (wrong version number)"),
            (ssl.SSLError(), "TLS failed (unknown)"),
            (ssl.SSLEOFError(8, "eof"), "reset"),
        ):
            self.assertEqual(error_name(error), name)

    def test_tls(self) -> None:
        """There is none for plain HTTP; otherwise the certificate is checked unless the plan says otherwise."""
        self.assertIsNone(Tls.of(plan_for(80)))
        for checks in (True, False):
            context = context_of(target_of(443, is_secure=True), None, checks_certificate=checks)
            assert context is not None
            self.assertEqual((context.verify_mode == ssl.CERT_REQUIRED, context.check_hostname), (checks, checks))
        self.assertRaises(FollowError, Tls.of, plan_for(443, is_secure=True, cacert="/nowhere"))
