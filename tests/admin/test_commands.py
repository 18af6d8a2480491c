"""The registry of commands."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.commands import Arguments, BusyError, Commands, NotOfferedError
from livefeed.exceptions import CommandError


class CommandsTests(SynchronousTestCase):
    """Registered commands, and others."""

    def setUp(self) -> None:
        self.commands = Commands()
        self.done: Deferred[str] = Deferred()

    async def wait(self, arguments: Arguments) -> Any:
        """A command that ends when the test wants it."""
        return {"arguments": dict(arguments), "result": await self.done}

    def run_one(self, name: str, **arguments: object) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.commands.run(name, arguments))

    def test_run(self) -> None:
        """The arguments go in, and the report comes out."""
        self.commands.register("reload", self.wait)
        running = self.run_one("reload", a=1)
        self.assertNoResult(running)
        self.done.callback("yes")
        self.assertEqual(self.successResultOf(running), {"arguments": {"a": 1}, "result": "yes"})

    def test_not_offered(self) -> None:
        """A command that no part has registered says so."""
        error = self.failureResultOf(self.run_one("upgrade"), NotOfferedError)
        self.assertEqual(error.getErrorMessage(), "this livefeed does not offer the command upgrade")

    def test_offered_until_it_is_registered(self) -> None:
        """A part that knows more takes the place of the default."""

        async def default(_: Arguments) -> str:
            return "default"

        self.commands.offer("workers", default)
        self.assertEqual(self.successResultOf(self.run_one("workers")), "default")
        self.commands.register("workers", self.wait)
        self.assertNoResult(self.run_one("workers"))

    def test_refusal(self) -> None:
        """Commands that change something are refused with the reason, and the others run."""
        self.commands.register("reload", self.wait)
        self.commands.register("workers", self.wait)
        self.commands.refusal = "an upgrade runs"
        error = self.failureResultOf(self.run_one("reload"), BusyError)
        self.assertEqual(error.getErrorMessage(), "the command reload is refused: an upgrade runs")
        self.assertNoResult(self.run_one("workers"))
        self.commands.refusal = ""
        self.assertNoResult(self.run_one("reload"))

    def test_one_at_a_time(self) -> None:
        """A second reload waits for no turn; it can be tried again after the first, however that has ended."""
        self.commands.register("reload", self.wait)
        running = self.run_one("reload")
        self.failureResultOf(self.run_one("reload"), CommandError)
        self.done.errback(CommandError("broken"))
        self.failureResultOf(running, CommandError)
        self.done = Deferred()
        self.assertNoResult(self.run_one("reload"))

    def test_reading_runs_at_any_time(self) -> None:
        """Commands that change nothing may run at the same time."""
        self.commands.register("workers", self.wait)
        running = [self.run_one("workers"), self.run_one("workers")]
        self.done.callback("")
        self.assertEqual(len([self.successResultOf(each) for each in running[:1]]), 1)

    def test_registered_once(self) -> None:
        """A name that is unknown or taken is a mistake in livefeed."""
        self.commands.register("drain", self.wait)
        self.assertRaises(ValueError, self.commands.register, "drain", self.wait)
        self.assertRaises(ValueError, self.commands.register, "bogus", self.wait)
