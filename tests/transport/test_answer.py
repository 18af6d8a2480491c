"""Answers as bytes: in one piece or in two."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.transport.answer import LARGE_BYTES, Answer, in_pieces


class AnswerTests(SynchronousTestCase):
    def test_small_answer_is_one_piece(self) -> None:
        """A large body stays one object, unless its head is in it; at_once is for small answers before the last."""
        small, large = bytes(LARGE_BYTES), bytes(LARGE_BYTES + 1)
        for parts, pieces in (
            ((b"head",), (b"head", b"")),
            ((b"he", b"ad", small), (b"head" + small, b"")),
            ((large, b"end"), (large + b"end", b"")),
            ((large,), (large, b"")),
            ((b"he", b"ad", large), (b"head", large)),
        ):
            self.assertEqual(in_pieces(parts), pieces)
        self.assertIs(in_pieces([b"head", large])[1], large)
        for last, body, at_once in ((False, b"", True), (True, b"", False), (False, large, False)):
            self.assertIs(Answer(b"head", "200", last, body).at_once, at_once)
