"""The reactor of a command that does one thing."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.reactor import run_until_done


class Reactor:
    """A reactor that runs until its calls are done."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.is_running = False
        self.late: Deferred[Any] | None = None

    def callWhenRunning(self, call: Any) -> None:
        self.calls.append(call)

    def run(self) -> None:
        self.is_running = True
        if self.late is not None:
            self.late.callback("late")
        while self.is_running:
            self.calls.pop(0)()

    def stop(self) -> None:
        self.is_running = False


class RunTests(SynchronousTestCase):
    def test_result(self) -> None:
        """It may be there before the reactor runs, or come later."""
        self.assertEqual(run_until_done(Reactor(), succeed(5)), 5)
        reactor = Reactor()
        reactor.late = Deferred()
        self.assertEqual(run_until_done(reactor, reactor.late), "late")
        self.assertFalse(reactor.is_running)

    def test_error(self) -> None:
        """It is raised after the reactor has stopped."""
        reactor = Reactor()
        self.assertRaises(ZeroDivisionError, run_until_done, reactor, fail(ZeroDivisionError()))
        self.assertFalse(reactor.is_running)
