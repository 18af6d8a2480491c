"""Change streams: a thread that waits for MongoDB to tell of changes, where MongoDB does.

Rule: nothing depends on it. Whatever goes wrong here, the tick goes on, and the stream is opened anew.
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
"""A stream that broke is opened anew after so long, twice as long each time, less up to a half by chance."""

# What servers without change streams answer, and those whose user may not open one.
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
    """The part of pymongo's ``ChangeStream`` that is used."""

    @property
    def alive(self) -> bool:
        """Whether more can come."""

    def try_next(self) -> object | None:
        """Gives the next change, or ``None`` if none comes within the time that the server waits."""


@dataclass(eq=False)
class Changes:
    """The body of the thread.

    :ivar open_stream: asks the server for a stream; leaving its context closes it.
    :ivar changed: called once a stream is open, since nothing was told of before, and for each change.
    :ivar in_reactor: calls something in the reactor's thread.
    :ivar closing: set when the thread is to end.
    :ivar said: gives what a log line may say of an error.
    :ivar source: whose changes they are, for log lines.
    """

    # required parameters
    open_stream: Callable[[], AbstractContextManager[Stream]]
    changed: Callable[[], None]
    in_reactor: Callable[..., Any]
    closing: threading.Event
    said: Callable[[Exception], str]
    source: object

    # internal state
    _pause_s: float = MIN_PAUSE_S
    _state: str = field(default="")

    def run(self) -> None:
        """Follows one stream after the other, and returns when it is closed, or the server has no streams."""
        while not self.closing.is_set():
            try:
                self._follow()
            except Exception as error:
                if isinstance(error, OperationFailure) and error.code in _HAS_NONE:
                    self._note("none", "{source} tells of no changes, the tick goes on: {why}", error)
                    return
                self._note("broken", "{source} does not tell of changes now, the tick goes on: {why}", error)
            self.closing.wait(self._pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - it only spreads
            self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)

    def _follow(self) -> None:
        with self.open_stream() as stream:
            self._note("open", "{source} tells of changes, which are pulled at once")
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
            why = "" if error is None else self.said(error)
            self.in_reactor(_log.info, text, source=self.source, why=why)
