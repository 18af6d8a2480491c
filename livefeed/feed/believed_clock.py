"""The wall clock as embargoes believe it: one that is set forwards counts after a minute only.

A wrong clock would publish a document early, and nobody could take that back. Within the minute the operator, or the
time service, can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted.logger import Logger

from livefeed.clocks import STEP_S
from livefeed.document.timestamps import length_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IReactorTime

SETTLE_S = 60.0
"""Seconds for which a wall clock must have run on before it is believed that it was rightly set forwards."""

_log = Logger()


@dataclass(eq=False)
class BelievedClock:
    """The wall clock, as it was before it was set forwards, until it has run on for :data:`SETTLE_S`.

    It is noticed that the clock was set if it is read again and again in between.

    :param feed: the name of the feed, for the log.
    :param clock: measures.
    :param wall: the wall clock, in seconds since 1970.
    """

    # required parameters
    feed: str
    clock: IReactorTime
    wall: Callable[[], float]

    # internal state
    _read_at: tuple[float, float] | None = None  # the last reading of the measuring clock and the wall clock
    _doubted_s: float = 0.0  # the seconds by which the wall clock was set forwards, until they are believed
    _believed_at: float = 0.0  # when that is, by the measuring clock

    def forget(self) -> None:
        """Takes note that the clock is not read for some time: whatever it shows then is believed."""
        self._read_at = None
        self._doubted_s = 0.0

    def read(self, due_at: Callable[[float], Sequence[str]]) -> float:
        """Gives the seconds since 1970.

        :param due_at: gives the ids of the embargoes that are due at a time, for the log.
        """
        measured_s, wall_s = self.clock.seconds(), self.wall()
        before, self._read_at = self._read_at, (measured_s, wall_s)
        if measured_s >= self._believed_at:
            self._doubted_s = 0.0
        step_s = 0.0 if before is None else (wall_s - before[1]) - (measured_s - before[0])
        if abs(step_s) > STEP_S:
            self._doubted_s = max(0.0, self._doubted_s + step_s)
            if step_s > 0:
                self._believed_at = measured_s + SETTLE_S
            self._tell(step_s, due_at(wall_s))
        return wall_s - self._doubted_s

    def _tell(self, step_s: float, due: Sequence[str]) -> None:
        step, settle = length_of(abs(step_s)), length_of(SETTLE_S)
        if step_s < 0:
            text = 'feed "{feed}": the wall clock was set back by {step} s, and embargoes end later by that'
            _log.warn(text, feed=self.feed, step=step)
        elif due:
            text = (
                'feed "{feed}": the wall clock was set forwards by {step} s; embargoes that are due by that end in '
                "{settle} s, unless it is set back: {due}"
            )
            _log.warn(text, feed=self.feed, step=step, settle=settle, due=", ".join(due))
