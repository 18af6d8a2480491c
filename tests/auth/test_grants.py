"""The results of checks."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.auth.grants import Grant, TokenError
from livefeed.exceptions import LivefeedError


class GrantTests(SynchronousTestCase):
    def test_error(self) -> None:
        """It has a reason for metrics, and a sentence for people."""
        error = TokenError("expired", "The token has expired.")
        self.assertIsInstance(error, LivefeedError)
        self.assertEqual((error.reason, error.why, str(error)), ("expired", "The token has expired.", error.why))

    def test_grant(self) -> None:
        """It has no end if none is given."""
        self.assertIsNone(Grant(b"a").expires_at)
