"""The rotation of the key of TLS session tickets, so that no key is worth much to a thief."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.internet.task import LoopingCall

from livefeed.tls.tickets import ROTATION_S, TicketKeys

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime


@dataclass(eq=False)
class TicketRotation(Service):
    """Makes a new key every :data:`ROTATION_S` seconds.

    :ivar replace: makes all TLS contexts use a key: those of this process, and those of its workers.
    """

    # required parameters
    replace: Callable[[TicketKeys], None]
    clock: IReactorTime

    # internal state
    _loop: LoopingCall = field(init=False)

    def __post_init__(self) -> None:
        self._loop = LoopingCall(self._rotate)
        self._loop.clock = self.clock

    def startService(self) -> None:
        """IService API."""
        super().startService()
        self._loop.start(ROTATION_S, now=False)

    def stopService(self) -> None:
        """IService API."""
        super().stopService()
        self._loop.stop()

    def _rotate(self) -> None:
        self.replace(TicketKeys.new())
