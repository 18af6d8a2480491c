"""The rule by which an integration test takes part in the runs."""

from __future__ import annotations

import ast
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.runs import ALL, FAST, RUNS, TWISTED, WORKERS, run_of, runs_of

FOLDER = Path(__file__).parent / "integration"


def subjects_in(path: Path) -> set[str]:
    """Gives the subjects that a module, or a class or function of it, is marked with."""
    names = {node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
    return names & {*RUNS}


class RunTests(SynchronousTestCase):
    def test_run_of_the_environment(self) -> None:
        """Workers count before the transport, since they have the fast one."""
        for transport, workers, run in (
            ("fast", 0, FAST),
            ("twisted", 0, TWISTED),
            ("fast", 2, WORKERS),
        ):
            self.assertEqual(run_of(transport, workers), run)


class RuleTests(SynchronousTestCase):
    def test_a_test_without_a_subject_is_in_all_runs(self) -> None:
        """Also if it has marks of other kinds."""
        self.assertEqual(runs_of([]), ALL)
        self.assertEqual(runs_of(["parametrize", "skipif"]), ALL)

    def test_the_closest_subject_counts(self) -> None:
        """A test may have another subject than the rest of its module."""
        self.assertEqual(runs_of(["parametrize", "processes", "peers"]), {FAST, WORKERS})
        self.assertEqual(runs_of(["peers", "processes"]), {FAST})

    def test_each_test_is_run_once_at_least(self) -> None:
        """The run without variables has all tests, as somebody who calls pytest expects."""
        self.assertEqual([name for name, (runs, _) in RUNS.items() if FAST not in runs or not runs <= ALL], [])

    def test_each_subject_is_in_use(self) -> None:
        """One that is not would be a leftover."""
        used = set().union(*(subjects_in(path) for path in FOLDER.glob("test_*.py")))
        self.assertEqual(used, {*RUNS})
