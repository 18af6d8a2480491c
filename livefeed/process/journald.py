"""The log as systemd's journal takes it: each line with its priority (sd-daemon(3)).

Not to be confused with :mod:`livefeed.storage.journal`, in which versions are kept.
"""

from __future__ import annotations

import os
import sys
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

    from twisted.logger import LogEvent

# syslog(3) has eight; these are the ones that Twisted has words for.
_PRIORITIES: dict[Any, int] = {
    LogLevel.debug: 7,
    LogLevel.info: 6,
    LogLevel.warn: 4,
    LogLevel.error: 3,
    LogLevel.critical: 2,
}


def is_journal(environment: Mapping[str, str], stream: TextIO | None) -> bool:
    """Tells whether what is written to a stream goes to the journal, by ``JOURNAL_STREAM`` (systemd.exec(5))."""
    named = environment.get("JOURNAL_STREAM")
    if not named or stream is None:
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{status.st_dev}:{status.st_ino}"


def with_priority(text: str, level: Any) -> str:
    """Gives a text, each line of which begins with its priority: the journal reads it line by line.

    Lines with nothing in them, as there are behind a traceback, are left out.
    """
    priority = f"<{_PRIORITIES.get(level, 6)}>"
    return "".join(f"{priority}{line}" for line in text.splitlines(keepends=True) if line.strip())


def ending(text: str) -> str:
    """Gives the text that the process ends with on its standard error, as the journal takes it if it is read there."""
    return with_priority(text, LogLevel.error) if is_journal(os.environ, sys.stderr) else text


class JournaledService(MultiService):
    """Has twistd log to the journal with priorities, once it is told what it runs.

    :param stream: what twistd would write its log to.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def setServiceParent(self, parent: Any) -> None:
        """IService API. An application's observer is what twistd takes, in the place of its own."""
        if isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, FileLogObserver(self._stream, _format))
        super().setServiceParent(parent)


def forget_unwritten_cache() -> None:
    """Takes from the log what Twisted says where it may not write its list of plug-ins.

    That is as it should be for a service that may not write where programs are, and costs some milliseconds at the
    start. It is said before there is a log, and kept until there is one.
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
