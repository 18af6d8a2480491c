"""Lines to files and sockets by a thread, and the lines that cannot be written."""

from __future__ import annotations

import errno
import os
import socket
import stat
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactor
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import StartError
from livefeed.process import line_writer
from livefeed.process.line_writer import (
    MAX_WAITING_BYTES,
    FileOutput,
    LineWriter,
    SocketOutput,
    StandardOutput,
    output_of,
    pieces,
)

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_S = 20.0


def wait_until(condition: Callable[[], bool]) -> bool:
    """Waits for another thread; tells whether the condition came to hold."""
    end = time.monotonic() + WAIT_S
    while not condition() and time.monotonic() < end:
        threading.Event().wait(0.001)
    return condition()


class RecordingOutput:
    """An output that records its calls, and fails or blocks when it is told to."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.failure: OSError | None = None
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def _call(self, what: object) -> None:
        assert self.may_go_on.wait(WAIT_S)
        if self.failure is not None:
            raise self.failure
        self.calls.append(what)

    def open(self) -> None:
        self._call("open")

    def write(self, data: bytes) -> None:
        self._call(data)

    def close(self) -> None:
        self.calls.append("close")


class Reactor(MemoryReactor):
    """A reactor that notes the calls of other threads, and makes them when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.called: list[Callable[[], object]] = []

    def callFromThread(self, callable: Callable[[], object]) -> None:  # noqa: A002
        self.called.append(callable)


class WriterTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.reactor: Any = Reactor()

    def writer(self, target: str, output: Any = None, flush: Any = bool) -> LineWriter:
        writer = LineWriter(target, "--access-log", self.reactor, flush, output)
        self.addCleanup(writer.close)
        return writer

    def started(self, target: str, output: Any = None, flush: Any = bool) -> LineWriter:
        writer = self.writer(target, output, flush)
        writer.privilegedStartService()
        writer.startService()
        return writer


class FileTests(WriterTestCase):
    """A file."""

    def test_appended(self) -> None:
        """Earlier lines stay, and only owner and group may read the file: it has addresses."""
        path = self.directory / "access.log"
        for line in (b"1\n", b"2\n"):
            writer = self.started(str(path))
            writer.write(line, 1)
            writer.close()
        self.assertEqual(path.read_bytes(), b"1\n2\n")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o137, 0)

    def test_reopened(self) -> None:
        """Lines after a reopening are in the new file, and lines before it in the old one."""
        path, old = self.directory / "access.log", self.directory / "access.log.1"
        writer = self.started(str(path))
        writer.write(b"1\n", 1)
        path.rename(old)
        writer.reopen()
        writer.write(b"2\n", 1)
        writer.close()
        self.assertEqual((old.read_bytes(), path.read_bytes()), (b"1\n", b"2\n"))

    def test_reopening_is_told_at_once(self) -> None:
        """A process that writes no line tells it, too."""
        writer = self.started(str(self.directory / "access.log"))
        with capturedLogs() as logs:
            writer.reopen()
            self.assertTrue(wait_until(lambda: bool(self.reactor.called)))
            self.reactor.called.pop()()
        self.assertEqual([str(formatEvent(each)).rpartition(": ")[2] for each in logs], ["is opened again"])

    def test_reopening_that_another_process_tells(self) -> None:
        """Of several processes with the same file one tells that it is opened again, and each tells its failures."""
        folder = self.directory / "folder"
        folder.mkdir()
        writer = self.started(str(folder / "access.log"))
        writer.tells_reopening = False
        with capturedLogs() as logs:
            writer.reopen()
            writer.write(b"1\n", 1)
            self.assertTrue(wait_until(lambda: writer._done_bytes == 2))
            (folder / "access.log").unlink()
            folder.rmdir()
            writer.reopen()
            self.assertTrue(wait_until(lambda: bool(self.reactor.called)))
            self.reactor.called.pop()()
        (line,) = [str(formatEvent(each)) for each in logs]
        self.assertIn("cannot be opened again: No such file", line)

    def test_cannot_be_reopened(self) -> None:
        """The old file goes on."""
        folder = self.directory / "folder"
        folder.mkdir()
        path, old = folder / "access.log", self.directory / "old"
        writer = self.started(str(path))
        path.rename(old)
        folder.rmdir()
        with capturedLogs() as logs:
            writer.reopen()
            writer.write(b"1\n", 1)
            writer.close()
            writer._tell()
        self.assertEqual(old.read_bytes(), b"1\n")
        self.assertIn("cannot be opened again: No such file", str(formatEvent(logs[-1])))

    def test_cannot_be_opened(self) -> None:
        """The start ends, with the place of the setting."""
        writer = self.writer(str(self.directory))
        error = self.assertRaises(StartError, writer.privilegedStartService)
        self.assertEqual(str(error), f"livefeed: --access-log: {self.directory}: Is a directory")

    def test_torn(self) -> None:
        """After a full disk the next line begins at the beginning of a line."""
        path = self.directory / "access.log"
        output = FileOutput(str(path))
        output.open()
        write = os.write

        def fill(fd: int, data: Any) -> int:
            self.patch(os, "write", fail)
            return write(fd, data[:3])

        def fail(fd: int, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(os, "write", fill)
        self.assertRaises(OSError, output.write, b"12345\n")
        self.patch(os, "write", write)
        for line in (b"2\n", b"3\n"):
            output.write(line)
        output.close()
        self.assertEqual(path.read_bytes(), b"123\n2\n3\n")


class PipeTests(WriterTestCase):
    """A pipe with a name."""

    def setUp(self) -> None:
        super().setUp()
        self.path = str(self.directory / "pipe")
        os.mkfifo(self.path)

    def read_end(self) -> int:
        fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(fd, True)
        return fd

    def test_program_that_reads(self) -> None:
        """It gets the lines, and so does the next program after it."""
        reader = self.read_end()
        output = FileOutput(self.path)
        output.open()
        output.write(b"1\n")
        self.assertEqual(os.read(reader, 100), b"1\n")
        os.close(reader)
        self.assertRaises(BrokenPipeError, output.write, b"2\n")
        error = self.assertRaises(OSError, output.write, b"3\n")
        self.assertEqual(error.errno, errno.ENXIO)
        reader = self.read_end()
        self.addCleanup(os.close, reader)
        output.write(b"4\n")
        self.assertEqual(os.read(reader, 100), b"4\n")
        output.close()

    def test_nobody_reads_yet(self) -> None:
        """The start does not wait for a program, which may come later."""
        with capturedLogs() as logs:
            writer = self.started(self.path)
        self.assertIn("No such device or address; it is tried again", str(formatEvent(logs[0])))
        reader = self.read_end()
        self.addCleanup(os.close, reader)
        writer.write(b"1\n", 1)
        read: list[bytes] = []
        # Before the thread of the writer has opened the other end, there is nothing to read, and no error.

        def has_come() -> bool:
            if not any(read):
                read.append(os.read(reader, 100))
            return any(read)

        self.assertTrue(wait_until(has_come))
        self.assertEqual(b"".join(read), b"1\n")


class SocketTests(WriterTestCase):
    """A Unix socket."""

    def listen(self, kind: int) -> tuple[str, socket.socket]:
        sock = socket.socket(socket.AF_UNIX, kind)
        self.addCleanup(sock.close)
        sock.settimeout(WAIT_S)
        path = str(self.directory / "log.sock")
        sock.bind(path)
        if kind == socket.SOCK_STREAM:
            sock.listen()
        return path, sock

    def test_datagrams(self) -> None:
        """Each line is a datagram."""
        path, sock = self.listen(socket.SOCK_DGRAM)
        self.started(f"unix:{path}").write(b"1\n22\n", 2)
        self.assertEqual([sock.recv(100), sock.recv(100)], [b"1\n", b"22\n"])

    def test_stream(self) -> None:
        """A stream is connected again when it has ended."""
        path, sock = self.listen(socket.SOCK_STREAM)
        output = SocketOutput(path)
        output.open()
        connection, _ = sock.accept()
        output.write(b"1\n22\n")
        self.assertEqual(connection.recv(100), b"1\n22\n")
        connection.close()
        self.assertRaises(OSError, output.write, b"3\n")
        output.write(b"4\n")
        connection, _ = sock.accept()
        self.addCleanup(connection.close)
        self.assertEqual(connection.recv(100), b"4\n")
        output.close()

    def test_nobody_listens_yet(self) -> None:
        """A program that collects lines may come later, and is no reason not to serve."""
        path, sock = self.listen(socket.SOCK_STREAM)
        sock.close()
        with capturedLogs() as logs:
            self.started(f"unix:{path}")
        self.assertIn("Connection refused; it is tried again", str(formatEvent(logs[0])))
        Path(path).unlink()
        with capturedLogs() as logs:
            self.started(f"unix:{path}")
        self.assertIn("No such file or directory; it is tried again", str(formatEvent(logs[0])))


class OutputTests(WriterTestCase):
    def test_targets(self) -> None:
        """A target is a file, a socket, or standard output."""
        for target, kind in (("-", StandardOutput), ("unix:/x", SocketOutput), ("/x", FileOutput), ("x:y", FileOutput)):
            self.assertIsInstance(output_of(target), kind)

    def test_standard_output(self) -> None:
        """Lines are written whole, in pieces that are not mixed with the log."""
        written: list[bytes] = []

        def write(fd: int, data: Any) -> int:
            self.assertEqual(fd, 1)
            written.append(bytes(data))
            return len(data)

        self.patch(os, "write", write)
        output = StandardOutput()
        output.open()
        output.write(b"x" * 99 + b"\n" + b"y" * 4090 + b"\n")
        output.close()
        self.assertEqual([len(piece) for piece in written], [100, 4091])

    @given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), min_size=1), st.integers(1, 50))
    def test_pieces(self, lines: list[bytes], limit: int) -> None:
        """They are all there is, end with a line each, and are within the limit unless one line is not."""
        data = b"".join(line + b"\n" for line in lines)
        found = [*pieces(data, limit)]
        self.assertEqual(b"".join(found), data)
        for piece in found:
            self.assertTrue(piece.endswith(b"\n"))
            self.assertTrue(len(piece) <= limit or piece.count(b"\n") == 1)


class LimitTests(WriterTestCase):
    """Lines that wait or cannot be written."""

    def said(self, logs: Any) -> list[str]:
        return [str(formatEvent(event)) for event in logs]

    def test_behind(self) -> None:
        """While the disk hangs, lines are dropped and counted, and the log says so once; later it goes on."""
        output = RecordingOutput()
        writer = self.started("x", output)
        output.may_go_on.clear()
        chunk = b"x" * (MAX_WAITING_BYTES // 4 - 1) + b"\n"
        with capturedLogs() as logs:
            for _ in range(10):
                writer.write(chunk, 7)
            self.assertEqual(self.said(logs), ["--access-log: x: lines are dropped: it does not keep up"])
            self.assertEqual(writer.dropped, 6 * 7)
            output.may_go_on.set()
            writer._queue.put(0)
            assert writer._thread is not None
            writer._thread.join(WAIT_S)
            writer.write(b"1\n", 1)
            self.assertEqual(self.said(logs)[1:], ["--access-log: x: lines are written again: 42 lines were dropped"])
        self.assertEqual(output.calls, ["open", *[chunk] * 4, "close"])

    def test_failing(self) -> None:
        """What cannot be written is dropped and counted; the output is tried again after a while."""
        output = RecordingOutput()
        writer = self.started("x", output)
        self.patch(line_writer, "RETRY_S", 0)

        def wait() -> None:
            """Waits until the thread has done all that it was given before."""
            writer.reopen()
            self.assertTrue(wait_until(lambda: not writer._told.empty()))

        with capturedLogs() as logs:
            output.failure = OSError(errno.ENOSPC, "No space left on device")
            writer.write(b"1\n2\n", 2)
            wait()
            writer.write(b"3\n", 1)
            output.failure = None
            wait()
            writer.write(b"4\n", 1)
            wait()
            writer.write(b"5\n", 1)
        said = [line for line in self.said(logs) if "opened again" not in line]
        self.assertEqual(said[0], "--access-log: x: lines are dropped: No space left on device")
        self.assertTrue(said[1].startswith("--access-log: x: lines are written again: "), said)
        self.assertGreaterEqual(writer.dropped, 2)

    def test_end(self) -> None:
        """The last lines are written when the reactor has ended all connections; nothing is written later."""
        output = RecordingOutput()
        last_lines: list[bytes] = [b"last\n"]
        writer = self.started("x", output, lambda: writer.write(last_lines.pop(), 1))  # type: ignore[has-type]
        writer.write(b"1\n", 1)
        ((close, *_),) = self.reactor.triggers["after"]["shutdown"]
        close()
        self.assertEqual(output.calls, ["open", b"1\n", b"last\n", "close"])
        writer.close()
        writer.startService()
        self.assertEqual(output.calls[-1], "close")
