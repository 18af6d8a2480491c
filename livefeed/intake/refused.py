"""The documents that the gate or a rule has refused, on their way to the disk.

Rule: they are for the operator, who wants to know afterwards what the exporter has sent. So nothing waits for them, and
if the disk cannot keep up, the oldest ones that are still to be written are left out.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from livefeed.document.recording import Facts
from livefeed.exceptions import RecordingError
from livefeed.storage.ring import Kept

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_QUEUED = 4
"""The number of documents that wait for the disk."""

GATE = "the gate"
"""The name that stands for the gate in the place of a rule. No rule has a blank in its name."""

_log = Logger()


class File(Protocol):
    """The file of refused documents. Its methods block."""

    def append(self, document: Kept, /) -> None:
        """Writes a document.

        :raises OSError: if it cannot be written.
        :raises RecordingError: if the file must not be changed.
        """

    def close(self) -> None:
        """Closes the file; the next document opens it again."""


@dataclass(eq=False)
class RefusedDocuments:
    """Keeps the refused documents of a feed.

    :param feed: the name of the feed.
    :param file: the file.
    :param in_thread: calls a function in a thread.
    :param wall: gives the time for display, in seconds since 1970.
    """

    # required parameters
    feed: str
    file: File
    in_thread: Callable[..., Deferred[Any]]
    wall: Callable[[], float]

    # internal state
    _last: tuple[str, bytes] | None = None
    _queue: deque[Kept] = field(default_factory=lambda: deque(maxlen=MAX_QUEUED))
    _writing: Deferred[None] | None = None
    _is_broken: bool = False

    def note(self, data: bytes, rule: str, pointer: str, why: str) -> None:
        """Keeps a document, unless it is the last one, which was refused by the same rule.

        :param rule: the rule, or :data:`GATE`.
        :param pointer: the place of the refused value.
        :param why: the reason.
        """
        if self._last == (rule, data):
            return
        self._last = rule, data
        if not data:
            return
        self._queue.append(Kept(data, Facts(at=self.wall(), rule=rule, pointer=pointer, why=why)))
        if self._writing is None:
            writing = Deferred.fromCoroutine(self._write())
            self._writing = None if writing.called else writing

    def close(self) -> None:
        """Closes the file, which another process may use then. The next document opens it again.

        It does not wait for the disk. If a write is under way, its end closes the file.
        """
        if self._writing is None:
            self.file.close()
        else:
            self._writing.addCallback(lambda _: self.file.close())

    async def _write(self) -> None:
        try:
            while self._queue:
                document = self._queue.popleft()
                try:
                    await self.in_thread(self.file.append, document)
                except (OSError, RecordingError, MemoryError) as error:
                    self._note_error(getattr(error, "strerror", None) or str(error))
                else:
                    self._is_broken = False
        finally:
            self._writing = None

    def _note_error(self, why: str) -> None:
        if not self._is_broken:
            self._is_broken = True
            _log.warn('feed "{feed}": refused documents cannot be kept: {why}', feed=self.feed, why=why)
