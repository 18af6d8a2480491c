"""A statement beside its version."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.signature import Signed
from livefeed.document.snapshot import Sequence, Snapshot
from livefeed.feed.signer import Stated


class StatedTests(SynchronousTestCase):
    def test_is_about(self) -> None:
        """A statement is about one version at one place in the order."""
        snapshot = Snapshot.bare(b"1", Sequence(1, 2))
        stated = Stated(snapshot.version, snapshot.sequence, Signed("", "", b""))
        self.assertTrue(stated.is_about(snapshot))
        self.assertFalse(stated.is_about(Snapshot.bare(b"1", Sequence(1, 3))))
        self.assertFalse(stated.is_about(Snapshot.bare(b"2", Sequence(1, 2))))
