"""Change streams: a thread that waits for MongoDB to report changes, if the server can.

Rule: nothing depends on them. After any error the ticks continue, and the stream is opened anew.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pymongo.errors import OperationFailure
from twisted.logger import Logger

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from contextlib import AbstractContextManager

MIN_PAUSE_S = 1.0
MAX_PAUSE_S = 30.0
"""Seconds until a broken stream is opened anew. They double each time up to the second value; a random part of up to a
half is subtracted."""

# Error codes of servers without change streams, and of users without the permission.
_HAS_NONE = frozenset(
    {
        13,  # Unauthorized
        20,  # IllegalOperation
        59,  # CommandNotFound
        115,  # CommandNotSupported
        238,  # NotImplemented
        8000,  # a hosted service's own errors
        40324,  # there is no such stage
        40573,  # there is, but in replica sets alone
    }
)

_log = Logger()


class Stream(Protocol):
    """The part of pymongo's ``ChangeStream`` that is used here."""

    @property
    def alive(self) -> bool:
        """Whether more changes can come."""

    def try_next(self) -> object | None:
        """Gives the next change; ``None`` if none comes while the server waits."""


@dataclass(eq=False)
class Changes:
    """The body of the thread.

    :ivar open_stream: opens a stream on the server; leaving its context closes it.
    :ivar changed: called when a stream is open, since earlier changes were not reported, and at each change.
    :ivar in_reactor: calls a function in the reactor's thread.
    :ivar closing: set when the thread must end.
    :ivar describe: gives the text of an error that may be logged.
    :ivar source: the source, for log lines.
    """

    # required parameters
    open_stream: Callable[[], AbstractContextManager[Stream]]
    changed: Callable[[], None]
    in_reactor: Callable[..., Any]
    closing: threading.Event
    describe: Callable[[Exception], str]
    source: object

    # internal state
    _pause_s: float = MIN_PAUSE_S
    _state: str = field(default="")

    def run(self) -> None:
        """Follows one stream after the other. Returns when *closing* is set, or if the server has no streams."""
        while not self.closing.is_set():
            try:
                self._follow()
            except Exception as error:
                if isinstance(error, OperationFailure) and error.code in _HAS_NONE:
                    self._note("none", "{source} reports no changes; they are seen at ticks alone: {why}", error)
                    return
                self._note("broken", "{source} reports no changes now; they are seen at ticks alone: {why}", error)
            self.closing.wait(self._pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - it only spreads
            self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)

    def _follow(self) -> None:
        with self.open_stream() as stream:
            self._note("open", "{source} reports changes, which are pulled at once")
            self.in_reactor(self.changed)
            while stream.alive and not self.closing.is_set():
                change = stream.try_next()
                self._pause_s = MIN_PAUSE_S
                if change is not None:
                    self.in_reactor(self.changed)

    def _note(self, state: str, text: str, error: Exception | None = None) -> None:
        """Logs a change of state, once."""
        if state != self._state and not self.closing.is_set():
            self._state = state
            why = "" if error is None else self.describe(error)
            self.in_reactor(_log.info, text, source=self.source, why=why)
