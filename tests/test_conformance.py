"""docs/explanation/conformance.md names tests that are there, and one at least for each requirement."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "explanation" / "conformance.md"

_TEST = re.compile(r"`(tests/[^`]*)`")
_RULE = re.compile(r"(?:\|-+)+\|")
_SECTION = re.compile(r"(?:[0-9]{4}: )?[0-9]+(?:\.[0-9]+)*(?:(?:, | to )[0-9]+(?:\.[0-9]+)*)*")


@cache
def names_in(path: str) -> frozenset[str]:
    """Gives the tests in a file, each as it is named behind the file's path."""
    names = set()
    for node in ast.parse((ROOT / path).read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names.update(f"{node.name}::{each.name}" for each in node.body if isinstance(each, ast.FunctionDef))
    return frozenset(name for name in names if name.rpartition("::")[2].startswith("test_"))


def tables() -> list[list[list[str]]]:
    """Gives the tables of the document: their rows, each as its cells, without the one that heads them."""
    found: list[list[list[str]]] = []
    before = ""
    for line in DOCUMENT.read_text("utf-8").splitlines():
        if _RULE.fullmatch(line):
            found.append([])
        elif before.startswith("|") and line.startswith("|"):
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        before = line
    return found


class ConformanceTests(SynchronousTestCase):
    def test_each_standard_has_its_table(self) -> None:
        """Under its heading; the other tests here would prove nothing if no row were found."""
        headings = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("## ")]
        self.assertEqual(len(tables()), len(headings))
        self.assertGreater(min(len(table) for table in tables()), 2)

    def test_each_row_says_what_is_required_and_names_a_test(self) -> None:
        """A section, the requirement, how it is met where that is not plain, and one test or more."""
        for row in (row for table in tables() for row in table):
            self.assertEqual(len(row), 4, row)
            section, requirement, _, tests = row
            self.assertTrue(_SECTION.fullmatch(section), row)
            self.assertTrue(requirement, row)
            self.assertTrue(_TEST.findall(tests), row)
            self.assertEqual(_TEST.sub("", tests).strip(", "), "", row)

    def test_tests_are_there(self) -> None:
        """Every test and path that the document names exists."""
        for name in _TEST.findall(DOCUMENT.read_text("utf-8")):
            path, _, test = name.partition("::")
            if test:
                self.assertIn(test, names_in(path), name)
            else:
                self.assertTrue((ROOT / path).exists(), name)

    def test_deviations_are_said_in_their_column(self) -> None:
        """All deviations are found in one column."""
        for row in (row for table in tables() for row in table):
            self.assertFalse("Deviates" in "".join(row[:2] + row[3:]), row)
