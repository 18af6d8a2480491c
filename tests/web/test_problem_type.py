"""The type of a problem, apart from the tables."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.web.problem_type import FOLDER, ProblemType, types_in

ONE = ProblemType("one", 404, "a feed", "One", "It is one.", "Look for two.", "Nothing.")
TWO = ProblemType("two", 410, "a feed", "Two", "It is two.", "Look for three.", "Nothing.")


class ProblemTypeTests(SynchronousTestCase):
    def test_path(self) -> None:
        """It is below the folder, and begins with a slash, so that it does not depend on the path of the request."""
        self.assertEqual((FOLDER, ONE.path), ("/-/problems/", "/-/problems/one"))

    def test_text(self) -> None:
        """It has everything, for a terminal."""
        self.assertEqual(
            ONE.as_text(),
            "One\nStatus 404, type /-/problems/one, of a feed\n\nWhat it means\nIt is one.\n\n"
            "What the client should do\n"
            "Look for two.\n\nWhat the operator should do\nNothing.\n",
        )
        self.assertEqual([text for _, text in ONE.sections()], ["It is one.", "Look for two.", "Nothing."])

    def test_types_in_a_module(self) -> None:
        """Only the types, in their order."""
        self.assertEqual(types_in({"TWO": TWO, "FOLDER": FOLDER, "ONE": ONE}), (TWO, ONE))
