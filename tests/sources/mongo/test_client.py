"""The options of pymongo's client. The meaning of its errors is tested with the source that reports them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.sources import split_url
from livefeed.sources.mongo.client import AWAIT_MS, fit_for_log, make_client
from livefeed.sources.mongo.url import parse_url


class MakeClientTests(SynchronousTestCase):
    """make_client."""

    def test_everything_has_a_bound(self) -> None:
        """No wait is without end, the pool is small, and looking after servers takes less than a second."""
        for timeout_s in (0.5, 0.8, 9.9):
            address, _ = parse_url(split_url(f"mongodb://u:p%40@a,[::1]:1/db/c?timeout={timeout_s}&tls=true"))
            with make_client(address) as client:
                options = client.options
                self.assertLess(options.server_selection_timeout, 0.5)
                self.assertEqual(options.pool_options.connect_timeout, min(timeout_s, 0.9))
                # A stream's answer may take as long as the server waits for a change.
                self.assertEqual(options.pool_options.socket_timeout, timeout_s + AWAIT_MS / 1000)
                self.assertLessEqual(options.pool_options.max_pool_size or 0, 3)
                self.assertEqual(options.pool_options.min_pool_size, 0)
                self.assertEqual(client._topology_settings.seeds, {("a", 27017), ("::1", 1)})

    def test_certificates_are_verified(self) -> None:
        """With TLS, the server must have a certificate for the host name of the URL."""
        address, _ = parse_url(split_url("mongodb://h/db/c?tls=true"))
        with make_client(address) as client:
            context = client.options.pool_options._ssl_context
            assert context is not None
            self.assertTrue(context.check_hostname)
            self.assertEqual(context.verify_mode.name, "CERT_REQUIRED")


class TextTests(SynchronousTestCase):
    """The texts of errors."""

    def test_passwords_are_hidden(self) -> None:
        """A password is nowhere in the text, nor a half of it at its end; where there is none, nothing is hidden."""
        self.assertEqual(fit_for_log("abcb", "b"), "a***c***")
        self.assertEqual(fit_for_log("abc", None), "abc")
        self.assertEqual(fit_for_log("x" * 195 + "correct-horse", "correct-horse"), "x" * 195 + "***")
        self.assertEqual(len(fit_for_log("x" * 1000, None)), 200)
