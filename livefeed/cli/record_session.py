"""One recording of a feed by a client: from what the client is shown to the records of a file.

Rule: nothing raises. A version that cannot be written is told and counted, and the next one is tried.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from livefeed.client.update import State
from livefeed.document.recording import Facts
from livefeed.document.snapshot import Sequence, version_of
from livefeed.exceptions import RecordingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.client.update import Shown
    from livefeed.storage.recorder import Recorder

MAX_DIGITS = 18
"""Digits of the longest number in a sequence that is written."""


@dataclass(slots=True)
class Session:
    """Writes each version and each change of state.

    :ivar recorder: the file, which is open if the recording goes on with it.
    :ivar start: makes the file, given the seconds since 1970. It is called with the first version.
    :ivar clock: a clock that is never set, in seconds.
    :ivar wall: the time of day, in seconds since 1970.
    :ivar tell: shows a line to the operator.
    :ivar written: the number of versions that this session has written.
    :ivar lost: the number of versions that could not be written.
    :ivar state: the state of the feed, as its name; empty before it was heard.
    :ivar is_heard: whether a document has come, which the file may have already.
    :ivar refusal: the reason why the file could not be made; ``None`` if it was, or no version has come.
    """

    # required parameters
    recorder: Recorder
    start: Callable[[float], object]
    clock: Callable[[], float]
    wall: Callable[[], float]
    tell: Callable[[str], object]

    # internal state
    written: int = 0
    lost: int = 0
    state: str = ""
    is_heard: bool = False
    refusal: RecordingError | None = None
    _is_broken: bool = False
    _last_s: float = field(init=False)  # when the last record was written, by the clock

    def __post_init__(self) -> None:
        # A recording that goes on: nothing but the wall clock tells how long ago the last record was.
        before_s = max(0.0, self.wall() - self.recorder.place.at) if self.recorder.place.versions else 0.0
        self._last_s = self.clock() - before_s

    def take(self, shown: Shown) -> None:
        """Writes a version, or a change of state."""
        if shown.state is State.WAITING or self.refusal is not None:
            return
        self.is_heard = self.is_heard or shown.content is not None
        if not self.recorder.is_open:
            if shown.content is None:
                # The file is made with the first version: a command that failed leaves none.
                return
            try:
                self.start(self.wall())
            except RecordingError as error:
                self.refusal = error
                return
            self._last_s = self.clock()
        state = shown.unknown_state or shown.state.value
        why = shown.reason or shown.problem
        if shown.content is not None:
            content, version = shown.content, version_of(shown.content)
            if version != self.recorder.version:
                facts = Facts(
                    sequence_of(shown.sequence), time_of(shown.at), state=state, why=why, signed=shown.statement
                )
                if self._attempt(lambda after_s: self.recorder.append(content, after_s, facts)):
                    self.written, self.state = self.written + 1, state
                else:
                    # It is tried again at the next change, if there is no other version by then.
                    self.lost += 1
                return
        if state != self.state and self._attempt(lambda after_s: self.recorder.note_state(state, after_s, why)):
            self.state = state

    def end(self) -> bool:
        """Writes the end, and closes the file if there is one. Returns whether that worked."""
        if not self.recorder.is_open:
            return self.refusal is None
        return self._attempt(self.recorder.end)

    def sync(self) -> bool:
        """Has everything that was written survive a loss of power. Returns whether that worked. It may block."""
        if not self.recorder.is_open:
            return True
        try:
            self.recorder.sync()
        except OSError as error:
            self._note_error(error)
            return False
        return True

    def _attempt(self, write: Callable[[float], object]) -> bool:
        """Writes a record, and tells when that begins to fail, and when it works again.

        :param write: takes the seconds since the record before.
        """
        now = self.clock()
        try:
            write(max(0.0, now - self._last_s))
        except OSError as error:
            self._note_error(error)
            return False
        self._last_s = now
        if self._is_broken:
            self._is_broken = False
            self.tell("it can be written again")
        return True

    def _note_error(self, error: OSError) -> None:
        if not self._is_broken:
            self._is_broken = True
            self.tell(
                f"it cannot be written: {error.strerror or error}; everything before is safe, and livefeed tries on"
            )


def sequence_of(text: str | None) -> Sequence:
    """Gives a sequence as a server names it; one of zeros if it names none that can be written."""
    epoch, _, number = (text or "").partition(".")
    if not all(each.isascii() and each.isdigit() and len(each) <= MAX_DIGITS for each in (epoch, number)):
        return Sequence(0, 0)
    return Sequence(int(epoch), int(number))


def time_of(text: str | None) -> float:
    """Gives a time as a server names it, in seconds since 1970; 0 if it names none."""
    try:
        return max(0.0, datetime.fromisoformat(text or "").timestamp())
    except (ValueError, OverflowError):
        return 0.0
