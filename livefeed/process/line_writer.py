"""Lines to a file, a socket or standard output, by a thread of their own: a disk that hangs must not stop the reactor.

Rule: the lines that wait are bounded. Lines that cannot be written are dropped and counted, and the log says so once.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from twisted.application.service import Service
from twisted.logger import Logger

from livefeed.exceptions import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.internet.interfaces import IReactorCore, IReactorFromThreads

    class WriterReactor(IReactorCore, IReactorFromThreads):
        """The parts of a reactor that a writer uses."""


STANDARD_OUTPUT = "-"
UNIX = "unix:"

MAX_WAITING_BYTES = 4 * 1024 * 1024
"""Limit of the bytes that wait to be written: some seconds of lines."""

RETRY_S = 1.0
"""Seconds between two attempts to connect to a socket, or to open a file."""

CLOSE_S = 1.0
"""Seconds that the end of the process waits for the last lines."""

_PIPE_BYTES = 4096  # PIPE_BUF: a write of no more is not mixed with the log's lines
_MODE = 0o640

_log = Logger()


class Output(Protocol):
    """A place that lines are written to. Its methods may block."""

    def open(self) -> None:
        """Opens it again, and closes it if it was open before.

        :raises OSError: if that fails; it stays as it was.
        """

    def write(self, data: bytes) -> None:
        """Writes whole lines.

        :raises OSError: if that fails.
        """

    def close(self) -> None:
        """Closes it."""


class FileOutput:
    """A file, which is appended to, or a pipe with a name (fifo(7)).

    :param path: its path.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._is_torn = False

    def open(self) -> None:
        """Output API."""
        # Without O_NONBLOCK a pipe that no program reads would block the start; with it, the error is ENXIO.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(self._path, flags, _MODE)
        os.set_blocking(fd, True)
        self.close()
        self._fd = fd
        self._is_torn = False

    def write(self, data: bytes) -> None:
        """Output API. After a full disk, the next line begins at the beginning of a line."""
        if self._fd < 0:
            self.open()
        view = memoryview(b"\n" + data if self._is_torn else data)
        self._is_torn = True
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except BrokenPipeError:
            # The next attempt opens it again, as another program may read it by then.
            self.close()
            raise
        self._is_torn = False

    def close(self) -> None:
        """Output API."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class StandardOutput:
    """The standard output of the process, which its log may use, too."""

    def open(self) -> None:
        """Output API. It is open."""

    def write(self, data: bytes) -> None:
        """Output API."""
        for piece in pieces(data, _PIPE_BYTES):
            view = memoryview(piece)
            while view:
                view = view[os.write(1, view) :]

    def close(self) -> None:
        """Output API. It stays open."""


class SocketOutput:
    """A Unix socket of a program that collects lines: of datagrams, one for each line, or a stream.

    :param path: its path.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._sock: socket.socket | None = None

    def open(self) -> None:
        """Output API."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            sock.connect(self._path)
        except OSError as error:
            sock.close()
            if error.errno != errno.EPROTOTYPE:
                raise
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.connect(self._path)
            except OSError:
                sock.close()
                raise
        self.close()
        self._sock = sock

    def write(self, data: bytes) -> None:
        """Output API. Connects again if the program has gone."""
        if self._sock is None:
            self.open()
        sock = self._sock
        assert sock is not None
        try:
            if sock.type == socket.SOCK_STREAM:
                sock.sendall(data)
            else:
                for line in data.splitlines(keepends=True):
                    sock.send(line)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Output API."""
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()


def output_of(target: str) -> Output:
    """Gives the output of a setting: the path of a file, ``unix:`` and the path of a socket, or ``-``."""
    if target == STANDARD_OUTPUT:
        return StandardOutput()
    return SocketOutput(target.removeprefix(UNIX)) if target.startswith(UNIX) else FileOutput(target)


def pieces(data: bytes, limit: int) -> Iterator[bytes]:
    """Cuts lines into pieces that end with a line and have at most *limit* bytes, unless one line has more."""
    start = 0
    while start < len(data):
        end = len(data)
        if end - start > limit:
            end = data.rfind(b"\n", start, start + limit) + 1 or data.find(b"\n", start) + 1 or end
        yield data[start:end]
        start = end


class LineWriter(Service):
    """Writes lines in a thread.

    :param target: the place, see :func:`output_of`.
    :param place: where it was set; messages begin with it.
    :param reactor: the reactor of the process. When it has ended all connections, the last lines are written.
    :param flush: calls :meth:`write` with the last lines.
    :param output: the place as an object; ``None`` to make it.
    :ivar tells_reopening: whether the log has a line each time that the output was opened again. One process of
        several that write to the same place is enough. Failures are always told.
    :ivar dropped: the number of lines that were dropped since the start.
    """

    def __init__(
        self,
        target: str,
        place: str,
        reactor: WriterReactor,
        flush: Callable[[], object],
        output: Output | None = None,
    ) -> None:
        self._target = target
        self._place = place
        self._reactor = reactor
        self._flush = flush
        self._output = output or output_of(target)
        self.tells_reopening = True
        # A chunk of lines and their number; None to open the output again, a number to end.
        self._queue: SimpleQueue[tuple[bytes, int] | int | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_closed = False
        # Of the reactor's thread:
        self._given_bytes = 0
        self._not_taken = 0
        self._told_before = 0  # dropped lines that were told before the present failure
        self._is_failing = False
        self._is_behind = False
        self._told: SimpleQueue[str] = SimpleQueue()  # by the other thread, about the output
        # Of the other thread, which the reactor's only reads:
        self._done_bytes = 0
        self._failed_lines = 0
        self._failure = ""
        self._retry_at = 0.0

    @property
    def dropped(self) -> int:
        """The number of lines that were dropped since the start."""
        return self._not_taken + self._failed_lines

    def privilegedStartService(self) -> None:
        """IService API. Files are opened before privileges are given up.

        :raises StartError: if the output cannot be opened. A program that collects lines may come later.
        """
        super().privilegedStartService()
        try:
            self._output.open()
        except OSError as error:
            may_come = isinstance(self._output, SocketOutput) or error.errno == errno.ENXIO
            if not may_come:
                raise StartError(f"livefeed: {self._place}: {self._target}: {error.strerror}") from None
            _log.warn("{place}: {target}: {why}; it is tried again", **self._names(error.strerror or str(error)))

    def startService(self) -> None:
        """IService API."""
        if not self._is_closed and self._thread is None:
            super().startService()
            # Behind the services, whose stop ends connections, which have lines.
            self._reactor.addSystemEventTrigger("after", "shutdown", self.close)
            self._thread = threading.Thread(target=self._run, name="livefeed access log", daemon=True)
            self._thread.start()

    def write(self, data: bytes, lines: int) -> None:
        """Takes lines to write.

        :param data: whole lines.
        :param lines: their number.
        """
        waiting = self._given_bytes - self._done_bytes
        # Until most of it is written: otherwise lines would be taken and dropped in turn.
        if waiting + len(data) > MAX_WAITING_BYTES:
            self._is_behind = True
        elif waiting < MAX_WAITING_BYTES // 4:
            self._is_behind = False
        if self._is_behind:
            self._not_taken += lines
        else:
            self._given_bytes += len(data)
            self._queue.put((data, lines))
        self._tell()

    def reopen(self) -> None:
        """Opens the output again, such as a file that logrotate has renamed. The thread does it after earlier lines."""
        self._flush()
        self._queue.put(None)

    def close(self) -> None:
        """Writes the lines that wait, for :data:`CLOSE_S` at most, and ends the thread."""
        if not self._is_closed:
            self._is_closed = True
            self._flush()
            self._queue.put(0)
            if self._thread is not None:
                self._thread.join(CLOSE_S)

    def _tell(self) -> None:
        """Logs a change: lines are dropped, or no more, or the output was opened again."""
        while not self._told.empty():
            _log.info("{place}: {target}: {why}", **self._names(self._told.get()))
        why = self._failure or ("it does not keep up" if self._is_behind else "")
        if why and not self._is_failing:
            self._is_failing = True
            _log.warn("{place}: {target}: lines are dropped: {why}", **self._names(why))
        elif not why and self._is_failing:
            self._is_failing = False
            count, self._told_before = self.dropped - self._told_before, self.dropped
            why = f"{count} lines were dropped"
            _log.info("{place}: {target}: lines are written again: {why}", **self._names(why))

    def _names(self, why: str) -> dict[str, str]:
        return {"place": self._place, "target": self._target, "why": why}

    # In the thread

    def _run(self) -> None:
        while True:
            task = self._queue.get()
            if isinstance(task, int):
                break
            if task is None:
                self._open_again()
                continue
            data, lines = task
            if not self._failure or time.monotonic() >= self._retry_at:
                self._attempt(lambda data=data: self._output.write(data))  # type: ignore[misc]
            if self._failure:
                self._failed_lines += lines
            self._done_bytes += len(data)
        with suppress(OSError):
            self._output.close()

    def _open_again(self) -> None:
        try:
            self._output.open()
        except OSError as error:
            # The old one is still open.
            self._tell_soon(f"cannot be opened again: {error.strerror}")
        else:
            if self.tells_reopening:
                self._tell_soon("is opened again")

    def _tell_soon(self, why: str) -> None:
        """Has the reactor's thread log a change, and not only at the next line: a parent of workers writes none."""
        self._told.put(why)
        self._reactor.callFromThread(self._tell)

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            self._failure = error.strerror or str(error) or type(error).__name__
            self._retry_at = time.monotonic() + RETRY_S
        else:
            self._failure = ""
