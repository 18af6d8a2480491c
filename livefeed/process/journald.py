"""Log lines for systemd's journal, each with its priority (sd-daemon(3)).

It has nothing to do with :mod:`livefeed.storage.journal`, which keeps versions.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import TYPE_CHECKING, Any, TextIO

from twisted.application.service import MultiService
from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    LogLevel,
    formatEventAsClassicLogText,
    globalLogBeginner,
)
from twisted.python.components import Componentized

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from twisted.logger import LogEvent

# syslog(3) has eight priorities. Twisted has these five levels.
_PRIORITIES: dict[Any, int] = {
    LogLevel.debug: 7,
    LogLevel.info: 6,
    LogLevel.warn: 4,
    LogLevel.error: 3,
    LogLevel.critical: 2,
}


def is_journal(environment: Mapping[str, str], stream: TextIO | None) -> bool:
    """Tells whether a stream leads to the journal, by ``JOURNAL_STREAM`` (systemd.exec(5))."""
    named = environment.get("JOURNAL_STREAM")
    if not named or stream is None:
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{status.st_dev}:{status.st_ino}"


def with_priority(text: str, level: Any) -> str:
    """Adds the priority to each line of a text, since the journal reads a text line by line.

    Empty lines, as at the end of a traceback, are left out.
    """
    priority = f"<{_PRIORITIES.get(level, 6)}>"
    return "".join(f"{priority}{line}" for line in text.splitlines(keepends=True) if line.strip())


def ending(text: str) -> str:
    """Adds the priority of an error to the last message of the process, if standard error leads to the journal."""
    return with_priority(text, LogLevel.error) if is_journal(os.environ, sys.stderr) else text


def print_traceback(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
    """Prints the traceback that ends the process as Python does, but with priorities if it goes to the journal.

    It takes the place of ``sys.excepthook``. The journal takes a line without a priority for information.
    """
    if is_journal(os.environ, sys.stderr):
        sys.stderr.write(ending("".join(traceback.format_exception(kind, error, frames))))
    else:
        sys.__excepthook__(kind, error, frames)


class JournaledService(MultiService):
    """Makes twistd log to the journal with priorities, when twistd adds this service to its application.

    :param stream: the stream to which twistd would write its log.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def setServiceParent(self, parent: Any) -> None:
        """IService API. twistd uses the application's log observer, if there is one, instead of its own."""
        if isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, FileLogObserver(self._stream, _format))
        super().setServiceParent(parent)


def forget_unwritten_cache() -> None:
    """Removes Twisted's warning that it cannot write its list of plug-ins from the log.

    A service should not be able to write where programs are installed; the missing list costs some milliseconds at the
    start. Twisted logs the warning before there is a log, and buffers it until then.
    """
    buffer = getattr(getattr(globalLogBeginner, "_initialBuffer", None), "_buffer", None)
    if buffer is not None:
        kept = [event for event in buffer if not _is_about_cache(event)]
        buffer.clear()
        buffer.extend(kept)


def _is_about_cache(event: LogEvent) -> bool:
    return str(event.get("format", "")).startswith("Unable to write to plugin cache")


def _format(event: LogEvent) -> str | None:
    text = formatEventAsClassicLogText(event)
    return None if text is None else with_priority(text, event.get("log_level", LogLevel.info))
