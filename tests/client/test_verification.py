"""The verification of signed statements by a client."""

from __future__ import annotations

import hashlib
from math import inf
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.client.update import State
from livefeed.client.verification import Trust, Verifier
from livefeed.document.signature import SignatureError
from tests.helpers.signers import TRUSTED, statement_about

WALL = 1_764_000_000.0
A, B = b'{"a": 1}', b'{"a": 2}'


class VerifierTests(SynchronousTestCase):
    """Statements in the order in which a client receives them. The clock of the caller begins at 100."""

    def setUp(self) -> None:
        self.wall = WALL
        self.now = 100.0
        self.verifier = Verifier(Trust(TRUSTED, "feed", 60.0, lambda: self.wall))

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds

    def take(self, content: bytes, *, of: bytes | None = None, **more: Any) -> None:
        """Takes a statement that was made now, unless it says otherwise."""
        created = more.pop("created", int(self.wall))
        self.verifier.take(statement_about(of or content, created=created, **more), content, self.now)

    def refused(self, content: bytes, **more: Any) -> str:
        before = self.verifier.newest
        error = self.assertRaises(SignatureError, self.take, content, **more)
        self.assertIs(self.verifier.newest, before)
        return str(error)

    def test_documents(self) -> None:
        """A document that was signed for this feed is taken."""
        self.take(A)
        self.take(A)
        self.take(B, sequence=(7, 2))
        newest = self.verifier.newest
        assert newest is not None
        self.assertEqual(newest.statement.digest, hashlib.sha256(B).digest())

    def test_refusals(self) -> None:
        """What was not signed, or for something else, is not taken."""
        self.assertIn("not signed", str(self.assertRaises(SignatureError, self.verifier.take, None, A, self.now)))
        self.assertIn("for the feed 'other', and not for 'feed'", self.refused(A, feed="other"))
        self.assertIn("not the document that was signed", self.refused(A, of=B))
        self.assertIn("a key that is not trusted", self.refused(A, key_id="x"))

    def test_no_way_back(self) -> None:
        """An earlier version is not taken, although it was signed once; nor are two documents as one version."""
        self.take(B, sequence=(7, 12))
        self.assertIn("7.9 < 7.12", self.refused(A, sequence=(7, 9)))
        self.assertIn("6.99 < 7.12", self.refused(A, sequence=(6, 99)))
        self.assertIn("two documents are signed as 7.12", self.refused(A, sequence=(7, 12)))
        self.take(A, sequence=(8, 1))

    def test_a_frozen_mirror(self) -> None:
        """A statement holds until it expires; an earlier one of the same version says nothing new."""
        self.assertEqual(self.verifier.why_not_fresh(self.now), "")
        self.take(A)
        first = self.verifier.fresh_until_s
        self.assertEqual(first, self.now + 9)
        self.advance(3)
        self.take(A)
        self.take(A, created=int(WALL))
        self.assertEqual(self.verifier.fresh_until_s, first + 3)
        self.advance(8.9)
        self.assertEqual(self.verifier.why_not_fresh(self.now), "")
        self.advance(0.2)
        self.assertIn("of 2025-11-24T16:00:03.000Z", self.verifier.why_not_fresh(self.now))
        self.take(A)
        self.assertEqual(self.verifier.why_not_fresh(self.now), "")

    def test_a_mirror_that_was_frozen_before(self) -> None:
        """The first statement is judged by the clock, with the tolerance."""
        self.take(A, created=int(WALL - 50))
        self.assertEqual(self.verifier.why_not_fresh(self.now), "")
        self.setUp()
        self.take(A, created=int(WALL - 70))
        self.assertIn("newest signed statement", self.verifier.why_not_fresh(self.now))

    def test_a_mirror_that_falls_behind(self) -> None:
        """After the first statement the time between statements counts, and not the clocks."""
        self.take(A, created=int(WALL + 3600))
        for _ in range(5):
            self.advance(5)
            self.take(A, created=int(self.wall + 3600))
            self.assertEqual(self.verifier.why_not_fresh(self.now), "")
        self.advance(30)
        self.take(A, created=int(self.wall + 3600 - 20))
        self.assertNotEqual(self.verifier.why_not_fresh(self.now), "")

    def test_the_clock_of_the_client_is_set(self) -> None:
        """A clock that is set back or forth within the tolerance changes nothing."""
        self.take(A)
        for step in (-40.0, 55.0):
            self.wall += step
            self.now += 1
            self.take(A, created=int(WALL + self.now - 100))
            self.assertEqual(self.verifier.why_not_fresh(self.now), "")

    def test_a_final_document(self) -> None:
        """A document that has ended does not age."""
        self.take(A, state="ended")
        self.assertEqual(self.verifier.fresh_until_s, inf)
        self.advance(1e6)
        self.assertEqual(self.verifier.why_not_fresh(self.now), "")

    def test_states(self) -> None:
        """The signed state is shown, unless the other one promises less."""
        self.assertIs(self.verifier.state_of(State.LIVE), State.LIVE)
        for signed, said, shown in (
            ("live", State.LIVE, State.LIVE),
            ("live", State.ENDED, State.LIVE),
            ("live", State.UNKNOWN, State.LIVE),
            ("live", State.STALE, State.STALE),
            ("live", State.HELD, State.HELD),
            ("live", State.WITHDRAWN, State.WITHDRAWN),
            ("stale", State.LIVE, State.STALE),
            ("ended", State.LIVE, State.ENDED),
            ("paused", State.LIVE, State.UNKNOWN),
        ):
            self.take(A, state=signed)
            self.assertIs(self.verifier.state_of(said), shown)
