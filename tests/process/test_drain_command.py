"""The operator's command ``drain``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import CommandError
from livefeed.process.drain import Drain, DrainTimes
from livefeed.process.drain_command import DrainCommand


class CommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.slots: list[Any] = []
        subscribers: Any = SimpleNamespace(protocols_open=[], let_go=self.slots.append)
        self.drain = Drain(SimpleNamespace(channels=set()), subscribers, [], None, self.clock, DrainTimes(delay_s=5.0))
        self.command = DrainCommand(self.drain)

    def run_command(self, **arguments: Any) -> dict[str, Any]:
        """Gives the report of the command, which does not wait."""
        return self.successResultOf(Deferred.fromCoroutine(self.command(arguments)))

    def refusal(self, **arguments: Any) -> str:
        """Gives the message of a command that fails."""
        failure = self.failureResultOf(Deferred.fromCoroutine(self.command(arguments)), CommandError)
        return str(failure.value)

    def test_progress(self) -> None:
        """Asked again, it reports how far it has come, and begins nothing anew."""
        counts = {"sockets": 0, "streams": 0, "pollers": 0, "left": 0}
        for _ in range(2):
            self.assertEqual(self.run_command(), {"phase": "not ready", **counts})
        self.clock.advance(5)
        self.assertEqual(self.run_command(), {"phase": "released", **counts})
        self.assertEqual(len(self.slots), 1)

    def test_undo(self) -> None:
        """Only the first phase can be undone, and a process that serves has nothing to undo."""
        self.assertIn("the process is serving", self.refusal(undo=True))
        self.run_command()
        self.assertEqual(self.run_command(undo=True)["phase"], "serving")
        self.assertFalse(self.drain.is_draining)
        self.run_command(undo=False)
        self.clock.advance(5)
        self.assertIn("the process is released, and only 'not ready' can be undone", self.refusal(undo=True))

    def test_successor(self) -> None:
        """By default the watchers have another server to go to at once."""
        for arguments, first_s in (({}, 0.1), ({"successor": True}, 0.1), ({"successor": False}, 6.0)):
            self.setUp()
            self.run_command(**arguments)
            self.clock.advance(5)
            self.assertEqual(self.slots[0].first_s, first_s)

    def test_wrong_arguments(self) -> None:
        """They are named, and nothing begins."""
        self.assertEqual(self.refusal(undo="yes"), "the argument undo of drain is neither true nor false")
        self.assertEqual(self.refusal(force=True), "drain has no argument 'force': there are undo and successor")
        self.assertFalse(self.drain.is_draining)

    def test_failure(self) -> None:
        """It is logged: the command has been answered already."""
        self.drain.stop_listening = lambda: 1 // 0
        self.run_command()
        self.clock.advance(5)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
