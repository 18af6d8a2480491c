"""The commands of the operator: which exist, and the function that each part of livefeed registers for its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from livefeed.exceptions import CommandError

Arguments = Mapping[str, Any]
"""The arguments of a command: the members of a JSON object."""

Run = Callable[[Arguments], Awaitable[Any]]
"""Runs a command, and gives a report that can be converted to JSON.

It raises :class:`.CommandError` if the command fails.
"""

OF_THE_DESK = ("hold", "release", "pin", "unpin", "rollback", "withdraw", "end", "resume", "overlay")
"""The commands of the desk."""

OF_FEEDS = (*OF_THE_DESK, "embargo")
"""The commands that change one feed. Those about the same one wait for each other; ``by`` is always the operator."""

METHODS: dict[str, Literal["GET", "POST"]] = {
    **dict.fromkeys(OF_FEEDS, "POST"),
    "reload": "POST",
    "upgrade": "POST",
    "drain": "POST",
    "workers": "GET",
    "trace": "GET",
    "playback": "POST",
    "embargoes": "GET",
    "audit": "GET",
}
"""The commands, with the methods by which they are asked for: ``GET`` for those that change nothing."""


class NotOfferedError(CommandError):
    """No part of this process has registered the command."""


class BusyError(CommandError):
    """Commands that change something cannot run now."""


@dataclass(slots=True)
class Commands:
    """The registered commands. A command that changes something runs once at a time, except those of feeds.

    :ivar refusal: why commands that change something are refused now; ``""`` if they are not.
    """

    refusal: str = ""
    _registered: dict[str, Run] = field(default_factory=dict)
    _defaults: dict[str, Run] = field(default_factory=dict)
    _running: set[str] = field(default_factory=set)

    def register(self, name: str, run: Run) -> None:
        """Offers a command.

        :param name: one of :data:`METHODS`.
        :param run: runs it.
        :raises ValueError: if there is no such command, or if it is registered already.
        """
        if name not in METHODS:
            raise ValueError(f"there is no command {name!r}")
        if name in self._registered:
            raise ValueError(f"the command {name!r} is registered already")
        self._registered[name] = run

    def offer(self, name: str, run: Run) -> None:
        """Offers a command until another part registers it.

        :param name: one of :data:`METHODS`.
        """
        self._defaults[name] = run

    async def run(self, name: str, arguments: Arguments) -> Any:
        """Runs a command, and gives its report.

        :raises NotOfferedError: if it is not registered.
        :raises BusyError: if it cannot run now.
        :raises CommandError: if it failed, or if it is running already.
        """
        run = self._registered.get(name) or self._defaults.get(name)
        if run is None:
            raise NotOfferedError(f"this livefeed does not offer the command {name}")
        if METHODS[name] == "GET":
            return await run(arguments)
        if name in self._running:
            raise CommandError(f"the command {name} is running already; wait for its end")
        if self.refusal:
            raise BusyError(f"the command {name} is refused: {self.refusal}")
        if name in OF_FEEDS:
            return await run(arguments)
        self._running.add(name)
        try:
            return await run(arguments)
        finally:
            self._running.discard(name)
