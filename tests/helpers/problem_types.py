"""Checks of the tables of problem types."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.trial.unittest import SynchronousTestCase

    from livefeed.web.problem_type import ProblemType

_NAME = re.compile(r"[a-z]+(?:-[a-z]+)*")
MAX_NAME_CHARACTERS = 32
"""The reason of a close frame has 123 bytes, and the longest one has 48 besides the path with the name."""


def check_types(test: SynchronousTestCase, types: Iterable[ProblemType]) -> None:
    """Checks that each type has a name for a URL, the status of an error, a title, and three whole texts."""
    for each in types:
        test.assertRegex(each.name, rf"\A{_NAME.pattern}\Z")
        test.assertLessEqual(len(each.name), MAX_NAME_CHARACTERS, each)
        test.assertTrue(400 <= HTTPStatus(each.status) < 600, each)
        test.assertRegex(each.title, r"\A[A-Z][A-Za-z0-9' ]{2,40}\Z")
        for text in (each.meaning, each.client, each.operator):
            test.assertRegex(text, r"(?s)\A[A-Z`].*\.\Z", each.name)
            test.assertEqual(text.count("`") % 2, 0, each.name)
            test.assertNotRegex(text, r"\s\s|\n|[<>]", each.name)
