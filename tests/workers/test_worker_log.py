"""The log of a worker: to the parent, or kept and written to a file, and never without end."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING

from twisted.logger import Logger, LogLevel, LogPublisher, capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from livefeed.workers.allowance import Allowance
from livefeed.workers.messages import Line
from livefeed.workers.worker_log import MAX_CHARACTERS, MAX_LINES, MAX_NAMESPACE, WorkerLog, log_line

if TYPE_CHECKING:
    from livefeed.workers.messages import Message


@dataclass
class FakeLink:
    log: Logger
    is_paused: bool = False
    lines: list[str] = field(default_factory=list)
    levels: list[str] = field(default_factory=list)

    def send(self, message: Message) -> None:
        # A line that is logged while one is sent must not be sent again and again.
        self.log.info("sending")
        self.lines.append(message.facts["text"])
        self.levels.append(message.facts["level"])


class WorkerLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = StringIO()
        self.observer = WorkerLog(3, self.file)
        self.logger = Logger("a.module", observer=LogPublisher(self.observer))
        self.link = FakeLink(self.logger)

    def test_with_a_parent(self) -> None:
        """Lines go to the parent with their level, and nowhere else; debug lines stay."""
        self.observer.connect(self.link)
        self.logger.emit(LogLevel.warn, "a {thing}", thing="b")
        self.logger.debug("c")
        self.logger.emit(LogLevel.critical, "d" * 2 * MAX_CHARACTERS)
        self.assertEqual(self.link.lines, ["a b", "d" * MAX_CHARACTERS])
        self.assertEqual(self.link.levels, ["warn", "critical"])
        self.assertEqual(self.file.getvalue(), "")

    def test_without_a_parent(self) -> None:
        """Lines are written, and the next parent is sent them."""
        self.logger.info("a")
        self.assertRegex(self.file.getvalue(), r"^\S+ worker 3: a\n$")
        self.observer.connect(self.link)
        self.assertEqual(self.link.lines, ["a"])
        self.observer.disconnect()
        self.logger.info("b")
        self.assertEqual(self.link.lines, ["a"])
        self.assertIn("worker 3: b\n", self.file.getvalue())

    def test_in_the_journal(self) -> None:
        """Each line has its priority, also those of one text, since the journal reads line by line."""
        logger = Logger("a", observer=LogPublisher(WorkerLog(3, self.file, is_journal=True)))
        logger.info("a")
        logger.emit(LogLevel.warn, "b\nc")
        logger.failure("d", Failure(ValueError("bad")))
        lines = self.file.getvalue().splitlines()
        self.assertRegex(lines[0], r"^<6>\d{4}-\S+ worker 3: a$")
        self.assertRegex(lines[1], r"^<4>\d{4}-\S+ worker 3: b$")
        self.assertEqual(lines[2], "<4>c")
        self.assertGreater(len(lines), 4)
        self.assertTrue(all(line.startswith("<2>") for line in lines[3:]), lines)

    def test_the_newest_lines_win(self) -> None:
        """The number of lines that are kept is bounded, and the parent is told how many are lost."""
        for number in range(MAX_LINES + 5):
            self.logger.info("{number}", number=number)
        self.observer.connect(self.link)
        self.assertEqual(self.link.lines[:-1], [str(number) for number in range(5, MAX_LINES + 5)])
        self.assertTrue(self.link.lines[-1].startswith("5 lines of the log are lost"))
        self.observer.flush()
        self.assertEqual(len(self.link.lines), MAX_LINES + 1)

    def test_a_slow_parent(self) -> None:
        """Nothing is sent until it has caught up, and the lines are not written to the file."""
        self.observer.connect(self.link)
        self.link.is_paused = True
        for number in range(MAX_LINES + 2):
            self.logger.info("{number}", number=number)
        self.observer.flush()
        self.assertEqual((self.link.lines, self.file.getvalue()), ([], ""))
        self.link.is_paused = False
        self.observer.flush()
        self.assertEqual(len(self.link.lines), MAX_LINES + 1)

    def test_a_terminal_that_is_gone(self) -> None:
        """The worker goes on."""
        with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
            observer = WorkerLog(3, full)
            Logger("a", observer=LogPublisher(observer)).info("a")
            self.assertEqual(len(observer._kept), 1)
            full.buffer.raw.close()  # type: ignore[attr-defined]


class LogLineTests(SynchronousTestCase):
    """Lines of a worker in the log of the parent."""

    def test_line(self) -> None:
        """It keeps its level and namespace, and is cut off; the text is no format, and an unknown level is ``info``."""
        allowance = Allowance(lambda: 0.0)
        allowance.left_out = 2
        with capturedLogs() as logged:
            log_line("worker 1", Line("warn", "n" * 1000, "{x}" + "y" * MAX_CHARACTERS), allowance)
            log_line("worker 1", Line("loud", "n", "z"), allowance)
        told, cut, unknown = logged
        self.assertEqual(formatEvent(told), "worker 1: 2 lines of its log are left out: there were too many")
        self.assertEqual(formatEvent(cut), f"worker 1: {{x}}{'y' * (MAX_CHARACTERS - 3)}")
        self.assertEqual((cut["log_level"], cut["log_namespace"]), (LogLevel.warn, "n" * MAX_NAMESPACE))
        self.assertEqual((formatEvent(unknown), unknown["log_level"]), ("worker 1: z", LogLevel.info))
