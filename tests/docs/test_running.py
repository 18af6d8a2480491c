"""Sessions and scripts, with a shell that answers what the test says."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from twisted.trial.unittest import SynchronousTestCase

from tests.docs import running
from tests.docs.marks import Run
from tests.docs.running import run_script, run_session
from tests.docs.shell import Outcome

if TYPE_CHECKING:
    from tests.docs.shell import Shell


class MemoryShell:
    """Gives outcomes in their order; the last one for ever."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = [*outcomes]
        self.asked: list[tuple[str, ...]] = []

    def run(self, text: str, *, script: bool = False) -> Outcome:
        self.asked.append(("script" if script else "run", text))
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]

    def start(self, text: str, until: str, *, stop: bool = False, script: bool = False) -> Outcome:
        self.asked.append(("stop" if stop else "start", text, until))
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]


class SessionTests(SynchronousTestCase):
    def session(self, text: str, run: Run, *outcomes: Outcome) -> str:
        self.shell = MemoryShell(*outcomes)
        return run_session(cast("Shell", self.shell), text, run)

    def test_output(self) -> None:
        """Output that is shown is compared; other output is not."""
        two = Outcome(0, "1\n"), Outcome(0, "2\n")
        self.assertEqual(self.session("$ a\n1\n$ b\n", Run(), *two), "")
        problem = self.session("$ a\n1\n$ b\n3\n", Run(), *two)
        self.assertEqual(problem.splitlines()[0], "$ b")
        self.assertIn("-3\n+2", problem)

    def test_status(self) -> None:
        """Each command succeeds, and the last one exits as the mark says."""
        self.assertEqual(self.session("$ a\n$ b\n", Run(exit=4), Outcome(0, ""), Outcome(4, "")), "")
        problem = self.session("$ a\n$ b\n", Run(exit=4), Outcome(4, "why"))
        self.assertEqual(problem, "$ a\nit exits with 4, and not with 0:\nwhy")
        self.assertEqual(len(self.shell.asked), 1)

    def test_background(self) -> None:
        """The last command goes on to run, or is interrupted."""
        for background, how in ((True, "start"), (False, "stop")):
            run = Run(background=background, until="live")
            self.assertEqual(self.session("$ a\n$ b\n", run, Outcome(0, "it is live")), "")
            self.assertEqual(self.shell.asked, [("run", "a"), (how, "b", "live")])

    def test_numbers(self) -> None:
        """The mark counts for each command of the block."""
        self.assertEqual(
            self.session("$ a\n1 x\n$ b\n2 y\n", Run(numbers=True), Outcome(0, "3 x"), Outcome(0, "4 y")), ""
        )

    def test_retry(self) -> None:
        """The whole session is repeated until it is right, or for too long."""
        self.patch(running, "RETRY_PAUSE_S", 0.001)
        outcomes = Outcome(0, "1"), Outcome(1, ""), Outcome(0, "1"), Outcome(0, "2")
        self.assertEqual(self.session("$ a\n1\n$ b\n2\n", Run(retry=True), *outcomes), "")
        self.assertEqual([each[1] for each in self.shell.asked], ["a", "b", "a", "b"])
        self.patch(running, "RETRY_S", 0.01)
        problem = self.session("$ a\n1\n", Run(retry=True), Outcome(0, "2"))
        self.assertTrue(problem.startswith("not within 0 s:\n$ a\n"), problem)


class ScriptTests(SynchronousTestCase):
    def script(self, run: Run, *outcomes: Outcome) -> str:
        self.shell = MemoryShell(*outcomes)
        return run_script(cast("Shell", self.shell), "a\nb\n", run)

    def test_status(self) -> None:
        """A script exits as the mark says."""
        self.assertEqual(self.script(Run(), Outcome(0, "")), "")
        self.assertEqual(self.shell.asked, [("script", "a\nb\n")])
        self.assertEqual(self.script(Run(exit=4), Outcome(4, "")), "")
        self.assertEqual(self.script(Run(), Outcome(4, "why")), "it exits with 4, and not with 0:\nwhy")

    def test_background(self) -> None:
        """A script goes on to run, or is interrupted."""
        for background, how in ((True, "start"), (False, "stop")):
            self.assertEqual(self.script(Run(background=background, until="live"), Outcome(0, "live")), "")
            self.assertEqual(self.shell.asked, [(how, "a\nb\n", "live")])

    def test_retry(self) -> None:
        """It is repeated until it succeeds."""
        self.patch(running, "RETRY_PAUSE_S", 0.001)
        self.assertEqual(self.script(Run(retry=True), Outcome(1, ""), Outcome(0, "")), "")
        self.assertEqual(len(self.shell.asked), 2)
