"""The lag of the reactor's loop: by how much a timer that runs twice a second is late.

All clients wait for as long: a late timer means that something else took the reactor's thread, or that the machine gave
the process no time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted.application.service import Service

from livefeed.clocks import BEAT_S, Beat

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

PERIOD_S = BEAT_S
"""Seconds between two measurements. One takes some microseconds."""


@dataclass(eq=False)
class LoopLag(Service):
    """Measures while the service runs.

    :ivar measured: number of measurements since the start.
    :ivar late_s: total seconds by which they were late.
    :ivar latest_s: seconds by which the latest of them was late.
    """

    # required parameters
    clock: IReactorTime

    # internal state
    measured: int = 0
    late_s: float = 0.0
    latest_s: float = 0.0
    _due_at: float = 0.0
    _call: IDelayedCall | None = None

    def startService(self) -> None:
        """IService API."""
        super().startService()
        self._schedule()

    def stopService(self) -> None:
        """IService API."""
        super().stopService()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _schedule(self) -> None:
        self._call = Beat(self.clock).callLater(PERIOD_S, self._measure)
        self._due_at = self._call.getTime()

    def _measure(self) -> None:
        late_s = max(0.0, self.clock.seconds() - self._due_at)
        self.measured += 1
        self.late_s += late_s
        self.latest_s = max(self.latest_s, late_s)
        self._schedule()
