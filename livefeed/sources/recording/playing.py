"""The position in a recording that is played: by a clock, a speed and pauses. It reads nothing."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MIN_SPEED, MAX_SPEED = 0.01, 1000.0
"""The slowest and the fastest speed; 1 is that of the night. A feed shows 50 versions a second at most."""

MAX_BEHIND_S = 0.5
"""Seconds by which a version may be late. If more versions are due than can be shown, the position waits for them."""


@dataclass(slots=True)
class Playing:
    """A position that moves.

    :ivar clock: a clock that is never set, in seconds.
    :ivar speed: seconds of the recording in one second.
    :ivar is_paused: whether it stands still.
    """

    # required parameters
    clock: Callable[[], float]
    speed: float = 1.0

    # internal state
    is_paused: bool = False
    _position_s: float = 0.0  # the position at a time by the clock
    _since_s: float = 0.0

    def position_s(self) -> float:
        """Gives the position, in seconds from the beginning of the recording."""
        if self.is_paused:
            return self._position_s
        return self._position_s + (self.clock() - self._since_s) * self.speed

    def move_to(self, position_s: float) -> None:
        """Takes another position."""
        self._position_s, self._since_s = position_s, self.clock()

    def pause(self) -> None:
        """Stands still."""
        self.move_to(self.position_s())
        self.is_paused = True

    def resume(self) -> None:
        """Moves on."""
        self.move_to(self.position_s())
        self.is_paused = False

    def change_speed(self, speed: float) -> None:
        """Moves at another speed from here on."""
        self.move_to(self.position_s())
        self.speed = speed

    def wait_for(self, position_s: float) -> None:
        """Goes back to a position that is shown only now, if that is later than :data:`MAX_BEHIND_S`."""
        if not self.is_paused and self.position_s() - position_s > MAX_BEHIND_S * self.speed:
            self.move_to(position_s)

    def due_in_s(self, position_s: float) -> float:
        """Gives the seconds until a position is reached; 0 if it is, and infinity during a pause before it."""
        left_s = position_s - self.position_s()
        if left_s <= 0:
            return 0.0
        return inf if self.is_paused else left_s / self.speed
