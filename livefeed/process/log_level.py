"""The level of the log: lines of less importance are left out, whichever way twistd writes the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.logger import ILogObserver, LogLevel, globalLogPublisher
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.logger import LogEvent, LogPublisher


@implementer(ILogObserver)
@dataclass(eq=False)
class LeveledObserver:
    """Passes on the events that are important enough.

    Twisted's own predicate for its filter would also drop each event without a level or a namespace.

    :ivar observer: an observer of the log.
    :ivar levels: says which events are.
    """

    # required parameters
    observer: Any
    levels: LogLevels

    def __call__(self, event: LogEvent) -> None:
        """ILogObserver API."""
        level = event.get("log_level")
        if level is None or level >= self.levels.least:
            self.observer(event)


@dataclass(eq=False)
class LogLevels(Service):
    """Applies the level to all observers that the log has when this service starts.

    :ivar name: the level: ``debug``, ``info``, ``warn`` or ``error``.
    :ivar publisher: passes the events to the observers.
    :ivar least: the level, as Twisted has it.
    """

    # required parameters
    name: str
    publisher: LogPublisher = field(default_factory=lambda: globalLogPublisher)

    # internal state
    least: Any = field(init=False)

    def __post_init__(self) -> None:
        self.set(self.name)

    def set(self, name: str) -> None:
        """Takes another level, from the next event on."""
        self.name, self.least = name, LogLevel.levelWithName(name)

    def privilegedStartService(self) -> None:
        """IService API. twistd has set up its observers by then, and nothing of livefeed has logged about its start."""
        super().privilegedStartService()
        # Twisted has no way to replace the observer that twistd has added. Removing and adding would change the order,
        # in which the journal's observer is the first.
        observers = self.publisher._observers  # noqa: SLF001
        observers[:] = [
            each if isinstance(each, LeveledObserver) else LeveledObserver(each, self) for each in observers
        ]
