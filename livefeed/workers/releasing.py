"""The workers during a drain: the parent has each of them send its watchers away, and adds up their reports.

Rule: a worker that has ended is not waited for, and no other one takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from twisted.internet.defer import Deferred

from livefeed.process.drain import DrainReport, Phase
from livefeed.workers.messages import DrainOrder, message_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.workers.messages import Message

LET_GO = "let_go"
"""The message that has a worker send its watchers away, and run on."""

_DONE = (Phase.RELEASED.value, Phase.STOPPED.value)


class Supervising(Protocol):
    """The supervisor of the workers."""

    def release(self) -> None:
        """Starts no worker from now on, and expects no canary to be served."""

    def alive(self) -> list[int]:
        """Gives the indexes of the workers whose processes run."""


@dataclass(eq=False)
class WorkersRelease:
    """Releases the watchers of all workers.

    :param supervisor: knows which workers run.
    :param send_all: sends a message to all workers that are connected.
    """

    # required parameters
    supervisor: Supervising
    send_all: Callable[[Message], object]

    # internal state
    _order: Message | None = None
    _reports: dict[int, DrainReport] = field(default_factory=dict)
    _released: Deferred[None] | None = None

    @property
    def order(self) -> Message | None:
        """The message for a worker that connects during the drain; ``None`` before it."""
        return self._order

    def release(self, *, successor: bool) -> Deferred[None]:
        """Others API."""
        self.supervisor.release()
        self._order = message_of(LET_GO, DrainOrder(successor))
        self.send_all(self._order)
        released = self._released = Deferred()
        self._fire_if_released()
        return released

    def hurry(self) -> None:
        """Others API."""
        released, self._released = self._released, None
        if released is not None:
            released.callback(None)

    def report(self) -> DrainReport:
        """Others API."""
        total = DrainReport()
        for each in self._reports.values():
            total = total.plus(each)
        return total

    def take(self, index: int, report: DrainReport) -> None:
        """Takes the report in the heartbeat of a worker."""
        self._reports[index] = report
        self._fire_if_released()

    def end(self, index: int) -> None:
        """Takes note that the process of a worker has ended. After the order its counts stay."""
        report = self._reports.pop(index, None)
        if report is not None and self._order is not None:
            self._reports[index] = replace(report, phase=Phase.STOPPED.value, left=0)
        self._fire_if_released()

    def _fire_if_released(self) -> None:
        reports = self._reports
        if self._released is not None and all(
            index in reports and reports[index].phase in _DONE for index in self.supervisor.alive()
        ):
            self.hurry()
