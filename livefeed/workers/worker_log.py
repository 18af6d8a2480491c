"""The log of a worker: its lines go to the parent, which logs them, and without a parent to standard error.

Rule: nothing waits for the log. Lines that cannot be sent are kept, up to a limit, and the newest win.
"""

from __future__ import annotations

import sys
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TextIO

from twisted.logger import ILogObserver, Logger, LogLevel, eventAsText, formatTime
from zope.interface import implementer

from livefeed.process.journald import with_priority
from livefeed.workers.messages import Line, message_of

if TYPE_CHECKING:
    from twisted.logger import LogEvent

    from livefeed.workers.allowance import Allowance
    from livefeed.workers.messages import Message

MAX_LINES = 256
"""The number of lines that are kept for the next parent."""

MAX_CHARACTERS = 16 * 1024
"""The largest number of characters of a line, which may be a traceback. The end is cut off."""

MAX_NAMESPACE = 200
"""The largest number of characters of the namespace of a line. The end is cut off."""

_LEVELS = {level.name: level for level in LogLevel.iterconstants()}
_log = Logger()


class LogLink(Protocol):
    """A link to the parent."""

    @property
    def is_paused(self) -> bool:
        """Tells whether the parent reads too slowly."""

    def send(self, message: Message, /) -> None:
        """Sends a message."""


@implementer(ILogObserver)
@dataclass(eq=False)
class WorkerLog:
    """Takes the events of Twisted's log.

    :ivar index: the index of the worker.
    :ivar file: where lines are written while there is no link.
    :ivar is_journal: whether the file leads to systemd's journal, which takes a priority with each line.
    :ivar link: the link to the parent; ``None`` without one.
    :ivar lost: the number of lines that the parent was not sent since the last time that it was told so.
    """

    # required parameters
    index: int
    file: TextIO = field(default_factory=lambda: sys.stderr)
    is_journal: bool = False

    # internal state
    link: LogLink | None = None
    lost: int = 0
    _kept: deque[Line] = field(default_factory=deque)
    _is_busy: bool = False

    def __call__(self, event: LogEvent) -> None:
        """ILogObserver API."""
        if self._is_busy:
            # A line about the sending of a line.
            return
        self._is_busy = True
        try:
            level = event.get("log_level") or LogLevel.info
            if level is LogLevel.debug:
                return
            text = eventAsText(event, includeTimestamp=False, includeSystem=False)[:MAX_CHARACTERS]
            line = Line(level.name, str(event.get("log_namespace", ""))[:MAX_NAMESPACE], text)
            if not self._take(line):
                self._write(formatTime(event.get("log_time")), line, level)
        finally:
            self._is_busy = False

    def _take(self, line: Line) -> bool:
        """Sends or keeps a line, and tells whether there is a parent for it."""
        if self._can_send():
            self._send(line)
            return True
        self._kept.append(line)
        if len(self._kept) > MAX_LINES:
            self._kept.popleft()
            self.lost += 1
        return self.link is not None

    def _write(self, time: str, line: Line, level: object) -> None:
        text = f"{time} worker {self.index}: {line.text}\n"
        # There may be nothing at the other end any more, such as a terminal.
        with suppress(OSError):
            self.file.write(with_priority(text, level) if self.is_journal else text)
            self.file.flush()

    def connect(self, link: LogLink) -> None:
        """Sends the lines that were kept, and all others from now on."""
        self.link = link
        self.flush()

    def disconnect(self) -> None:
        """Keeps the lines from now on."""
        self.link = None

    def flush(self) -> None:
        """Sends the lines that were kept, unless the parent reads too slowly."""
        was_busy, self._is_busy = self._is_busy, True
        try:
            while self._kept and self._can_send():
                self._send(self._kept.popleft())
            if self.lost and self._can_send():
                text = f"{self.lost} lines of the log are lost: there were too many while the parent did not read them"
                self.lost = 0
                self._send(Line("warn", __name__, text))
        finally:
            self._is_busy = was_busy

    def _can_send(self) -> bool:
        return self.link is not None and not self.link.is_paused

    def _send(self, line: Line) -> None:
        assert self.link is not None
        self.link.send(message_of("log", line))


def log_line(name: str, line: Line, allowance: Allowance) -> None:
    """Writes a line of a worker's log into that of the parent, with the level and the namespace that it had.

    :param name: the name of the worker.
    :param allowance: has the number of lines before it that were left out.
    """
    level = _LEVELS.get(line.level, LogLevel.info)
    logger = Logger(line.namespace[:MAX_NAMESPACE])
    left_out, allowance.left_out = allowance.left_out, 0
    if left_out:
        _log.warn("{name}: {count} lines of its log are left out: there were too many", name=name, count=left_out)
    logger.emit(level, "{name}: {text}", name=name, text=line.text[:MAX_CHARACTERS])
