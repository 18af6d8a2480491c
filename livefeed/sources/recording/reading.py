"""Reads the versions of a recording ahead, in threads.

Rules: the methods that block say so, and one of them runs at a time. An abandoned call changes nothing that a later one
does not find: what was read is here, and is not the result of the call.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livefeed.exceptions import RecordingError
from livefeed.storage.recording import Contents, Recording
from livefeed.storage.recording_time import seconds_into

if TYPE_CHECKING:
    from pathlib import Path

    from livefeed.storage.record_file import Entry

MAX_AHEAD, MAX_AHEAD_BYTES = 64, 4 * 1024 * 1024
"""The number of versions that are read ahead, and their size in bytes besides the first one."""

SHORTEST_LAP_S = 1.0
"""The shortest time in seconds of the recording from its first version to its first version again."""


@dataclass(frozen=True, slots=True)
class Version:
    """A version that is to be shown.

    :ivar data: the document.
    :ivar number: its number in the recording, from 1.
    :ivar due_s: when it is due, in seconds from the beginning of the recording, as if all repetitions were one.
    :ivar at: when it was shown in the night, in seconds since 1970.
    """

    data: bytes
    number: int
    due_s: float
    at: float


@dataclass(eq=False)
class Reading:
    """A recording that is read ahead.

    :ivar path: the file.
    :ivar max_bytes: the size in bytes of the largest document.
    :ivar at: the time at which it begins, as an operator writes it; empty for the beginning.
    :ivar loops: whether it begins again at its end.
    :ivar ahead: the next versions, in their order. Only the owner removes some.
    :ivar contents: what is in the file; ``None`` before it was opened.
    :ivar error: why nothing can be read behind the versions that are ahead; ``None`` if it can.
    :ivar end_s: when the recording ends, like :attr:`Version.due_s`; ``None`` while that was not reached.
    :ivar start_s: where it begins, in seconds from its beginning.
    """

    # required parameters
    path: Path
    max_bytes: int
    at: str = ""
    loops: bool = False

    # internal state
    ahead: deque[Version] = field(default_factory=deque)
    contents: Contents | None = None
    error: RecordingError | None = None
    end_s: float | None = None
    start_s: float = 0.0
    _recording: Recording | None = None
    _lap_s: float = 0.0  # what is added to the times of this repetition
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_closed: bool = False

    @property
    def wants_more(self) -> bool:
        """Whether few versions are ahead, and there are more."""
        return self.end_s is None and self.error is None and not self._is_far_ahead(4)

    def _is_far_ahead(self, part: int) -> bool:
        # The copy is made at once: another thread may change the deque at any time.
        ahead = tuple(self.ahead)
        return part * len(ahead) >= MAX_AHEAD or part * sum(len(each.data) for each in ahead) >= MAX_AHEAD_BYTES

    def open(self) -> None:
        """Opens the file, and reads the first versions. It blocks.

        :raises RecordingError: if the file cannot be read, or is damaged anywhere.
        """
        with self._lock:
            if self._recording is None and not self._is_closed:
                recording = Recording(self.path, self.max_bytes)
                try:
                    contents = recording.scan()
                    began_at, length_s = contents.beginning.at, contents.length_s
                    self.start_s = seconds_into(self.at, began_at, length_s) if self.at else 0.0
                except BaseException:
                    recording.close()
                    raise
                self._recording, self.contents = recording, contents
                self._move_to(self.start_s)
            self._close_if_asked()

    def fill(self) -> None:
        """Reads further versions, if few are ahead. It blocks."""
        with self._lock:
            self._fill()
            self._close_if_asked()

    def seek(self, position_s: float) -> None:
        """Has the next version be the one that was shown at a position, in seconds from the beginning. It blocks."""
        with self._lock:
            if self._recording is not None:
                self._move_to(position_s)
            self._close_if_asked()

    def close(self) -> None:
        """Closes the file, at the end of a call that blocks if there is one. It does not block."""
        self._is_closed = True
        if self._lock.acquire(blocking=False):
            self._close_if_asked()
            self._lock.release()

    def _close_if_asked(self) -> None:
        if self._is_closed and self._recording is not None:
            self._recording.close()
            self._recording = None

    def _move_to(self, position_s: float) -> None:
        self.ahead.clear()
        self.error, self.end_s, self._lap_s = None, None, 0.0
        try:
            self._append_from(position_s)
        except RecordingError as error:
            self.error = error
        self._fill()

    def _fill(self) -> None:
        recording = self._recording
        if recording is None or self.error is not None or self.end_s is not None:
            return
        try:
            while not self._is_far_ahead(1):
                entry = recording.next()
                if entry is not None:
                    self._append(entry)
                elif self._is_end():
                    return
        except RecordingError as error:
            self.error = error

    def _append_from(self, position_s: float) -> None:
        """Reads the version that was shown at a position, and the one behind it."""
        recording, contents = self._recording, self.contents
        assert recording is not None
        assert contents is not None
        recording.move_near(contents, position_s)
        shown: Entry | None = None
        while (entry := recording.next()) is not None:
            if entry.data is not None and entry.elapsed_s > position_s:
                break
            shown = entry if entry.data is not None else shown
        for each in (shown, entry):
            if each is not None:
                self._append(each, position_s)

    def _append(self, entry: Entry, earliest_s: float = 0.0) -> None:
        """Takes a version as the next one.

        :param earliest_s: the position at which it is due if it has been shown for longer by then.
        """
        if entry.data is not None:
            due_s = self._lap_s + max(entry.elapsed_s, earliest_s)
            self.ahead.append(Version(entry.data, entry.number, due_s, entry.at))

    def _is_end(self) -> bool:
        """Begins again at the end of the file, or takes note of the end."""
        contents = self.contents
        assert contents is not None
        if not self.loops or not contents.versions:
            self.end_s = self._lap_s + contents.length_s
            return True
        self._lap_s += max(contents.length_s - self.start_s, SHORTEST_LAP_S)
        self._append_from(self.start_s)
        return False
