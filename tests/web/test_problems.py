"""The types of problems on the public port: names, statuses and texts."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.web import problems
from livefeed.web.problem_type import ProblemType
from tests.helpers.problem_types import check_types


class TableTests(SynchronousTestCase):
    def test_types_are_whole(self) -> None:
        """Each can be an answer, and says something to everybody."""
        check_types(self, problems.TYPES)

    def test_each_is_in_the_list(self) -> None:
        """In the order of the file; the list would otherwise lack a page that answers lead to."""
        named = [value for value in vars(problems).values() if isinstance(value, ProblemType)]
        self.assertEqual(named, [*problems.TYPES])
        self.assertGreater(len(named), 20)
