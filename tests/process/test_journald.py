"""The log as the journal takes it."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections import deque
from types import SimpleNamespace
from typing import Any

from twisted.application.service import Application, IService, Service
from twisted.logger import ILogObserver, Logger, LogLevel, LogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process import journald
from livefeed.process.journald import (
    JournaledService,
    ending,
    forget_unwritten_cache,
    is_journal,
    print_traceback,
    with_priority,
)


class StreamTests(SynchronousTestCase):
    """Which stream the journal reads."""

    def test_only_the_one_that_is_named(self) -> None:
        """A child has the variable, too, and its own streams; others have no number at all."""
        with tempfile.TemporaryFile("w") as stream, tempfile.TemporaryFile("w") as other:
            status = os.fstat(stream.fileno())
            environment = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
            self.assertTrue(is_journal(environment, stream))
            for elsewhere in (other, io.StringIO(), None):
                self.assertFalse(is_journal(environment, elsewhere))
            for text in ("", "1:1", "nonsense"):
                self.assertFalse(is_journal({"JOURNAL_STREAM": text}, stream))
            self.assertFalse(is_journal({}, stream))

    def test_last_words(self) -> None:
        """The final message is an error in the journal, and plain text elsewhere."""
        self.assertEqual(ending("livefeed: no"), "livefeed: no")
        self.patch(journald, "is_journal", lambda environment, stream: True)
        self.assertEqual(ending("livefeed: no"), "<3>livefeed: no")

    def test_a_traceback_at_the_end(self) -> None:
        """Each line is an error in the journal; elsewhere Python prints it as it does by itself."""
        printed = io.StringIO()
        self.patch(sys, "stderr", printed)
        error = ValueError("a\n\nb")
        print_traceback(ValueError, error, None)
        self.assertEqual(printed.getvalue(), "ValueError: a\n\nb\n")
        printed.truncate(printed.seek(0))
        self.patch(journald, "is_journal", lambda environment, stream: stream is printed)
        print_traceback(ValueError, error, None)
        self.assertEqual(printed.getvalue(), "<3>ValueError: a\n<3>b\n")


class PriorityTests(SynchronousTestCase):
    """with_priority, and the observer that uses it."""

    def test_each_line(self) -> None:
        """The journal takes each for a message."""
        self.assertEqual(with_priority("a\nb\n", LogLevel.warn), "<4>a\n<4>b\n")
        self.assertEqual(with_priority("a", LogLevel.debug), "<7>a")

    def test_an_application_logs_with_priorities(self) -> None:
        """Each level has one, and each line of a traceback."""
        stream = io.StringIO()
        application = Application("livefeed")
        journaled = JournaledService(stream)
        Service().setServiceParent(journaled)
        journaled.setServiceParent(application)
        whole: Any = IService(application)
        self.assertEqual([*whole], [journaled])
        said = Logger("x", observer=LogPublisher(ILogObserver(application)))
        said.info("said")
        said.warn("warned")
        said.info("")
        said.failure("broken", Failure(ValueError("bad")))
        lines = stream.getvalue().splitlines()
        self.assertRegex(lines[0], r"^<6>\d{4}-\S+ \[x#info\] said$")
        self.assertRegex(lines[1], r"^<4>\d{4}-\S+ \[x#warn\] warned$")
        self.assertTrue(all(line.startswith("<2>") for line in lines[-3:]), lines)
        self.assertIn("ValueError: bad", lines[-1])


class CacheTests(SynchronousTestCase):
    """forget_unwritten_cache."""

    def test_only_that_is_forgotten(self) -> None:
        """All other early events stay, in order; it is no error if no events are kept."""
        events: deque[Any] = deque(
            {"format": text} for text in ("a", "Unable to write to plugin cache %(path)s: error number %(errno)d", "b")
        )
        events.append({"log_format": "c"})
        beginner = SimpleNamespace(_initialBuffer=SimpleNamespace(_buffer=events))
        self.patch(journald, "globalLogBeginner", beginner)
        forget_unwritten_cache()
        self.assertEqual([*events], [{"format": "a"}, {"format": "b"}, {"log_format": "c"}])
        beginner._initialBuffer = None
        forget_unwritten_cache()
