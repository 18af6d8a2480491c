"""The operator's command ``drain``: begins a drain, undoes its first phase, and reports how far it has come."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from livefeed.exceptions import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livefeed.process.drain import Drain

_log = Logger()


@dataclass(frozen=True, slots=True)
class DrainCommand:
    """Runs the command. It does not wait for the end of the drain: asked again, it reports the progress.

    The arguments are ``undo`` (``true`` to be ready again; the drain must still be in its first phase) and
    ``successor`` (by default ``true``: the watchers have another server to go to at once).
    """

    drain: Drain

    async def __call__(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Gives the members of :class:`livefeed.process.drain.DrainReport`.

        :raises CommandError: if an argument is unknown or not a truth value, or if nothing can be undone.
        """
        for name, value in arguments.items():
            if name not in ("undo", "successor"):
                raise CommandError(f"drain has no argument {name!r}: there are undo and successor")
            if not isinstance(value, bool):
                raise CommandError(f"the argument {name} of drain is neither true nor false")
        if arguments.get("undo", False):
            if not self.drain.cancel():
                phase = self.drain.phase.value
                raise CommandError(f"nothing can be undone: the process is {phase}, and only 'not ready' can be undone")
        else:
            draining = Deferred.fromCoroutine(self.drain.begin(successor=arguments.get("successor", True)))
            draining.addErrback(lambda failure: _log.failure("the drain has failed", failure))
        return asdict(self.drain.report())
