"""The types of problems on the operator's port: names, statuses and texts."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.web import operator_problems, problems
from livefeed.web.problem_type import ProblemType
from tests.helpers.problem_types import check_types


class TableTests(SynchronousTestCase):
    def test_types_are_whole(self) -> None:
        """Each can be an answer, and says something to everybody."""
        check_types(self, operator_problems.TYPES)

    def test_each_is_in_the_list(self) -> None:
        """In the order of the file; the list would otherwise lack a page that answers lead to."""
        named = [value for value in vars(operator_problems).values() if isinstance(value, ProblemType)]
        self.assertEqual(named, [*operator_problems.TYPES])
        self.assertGreater(len(named), 20)

    def test_names_and_titles_are_those_of_one_type(self) -> None:
        """Also over both tables."""
        types = operator_problems.ALL
        self.assertEqual(types, (*problems.TYPES, *operator_problems.TYPES))
        self.assertEqual(len({each.name for each in types}), len(types))
        self.assertEqual(len({each.title for each in types}), len(types))
