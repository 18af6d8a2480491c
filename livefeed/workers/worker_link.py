"""The parent's side of the link to one worker that is welcome: its messages go to the owner, and its canaries are sent.

Rules: canaries are sent from the moment at which the worker accepts and the feeds have begun, until the link ends or a
drain begins. A link that has ended tells its owner once, and changes nothing afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from livefeed.exceptions import LinkError, first_line
from livefeed.workers.allowance import Allowance
from livefeed.workers.canary import CanaryError
from livefeed.workers.messages import message_of
from livefeed.workers.socket_messages import CanaryFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twisted.internet.interfaces import IReactorTime

    from livefeed.workers.link import Link
    from livefeed.workers.messages import Message

CANARY_S = 2.0
"""Seconds between two canaries of a worker that is ready. Its heartbeats tell sooner that it hangs."""

CANARIES_PER_S = 2.0
"""The largest number of canaries of all workers together per second. With TLS, one takes 2 ms of the parent and 1 ms of
the worker, and 10,000 deliveries take 150 ms: one per second, of two workers, is 2 % of them."""

RETRY_S = 0.1
"""Seconds between two canaries of a worker that is not ready."""


class WorkerCanary(Protocol):
    """The canary of one worker."""

    async def check(self, endpoint: int, /) -> float:
        """Gives the seconds after which one endpoint has served the newest version.

        :raises CanaryError: if it did not.
        """

    async def check_all(self) -> float:
        """Gives the same for all endpoints together."""


class Supervising(Protocol):
    """The supervisor of the workers."""

    @property
    def is_releasing(self) -> bool:
        """Whether the workers send their watchers away, and accept nothing new."""

    def is_ready(self, index: int, /) -> bool:
        """Tells whether a worker is ready."""

    def served(self, index: int, delay_s: float, /) -> None:
        """Takes note that a worker has served the newest version, and of the seconds that it took."""

    def unserved(self, index: int, why: str, /) -> None:
        """Takes note that a worker has not served its canary."""


class Owner(Protocol):
    """The parent."""

    @property
    def count(self) -> int:
        """The number of workers."""

    @property
    def has_begun(self) -> bool:
        """Whether the feeds have begun: before, no version is the newest one."""

    def canary_of(self, worker: WorkerLink, /) -> WorkerCanary:
        """Makes the canary of a worker."""

    def receive(self, worker: WorkerLink, message: Message, /) -> None:
        """Takes a message of a worker, and the ownership of its descriptors."""

    def note_lost(self, worker: WorkerLink, /) -> None:
        """Takes note that a link has ended."""


@dataclass(eq=False)
class WorkerLink:
    """The link to a worker that was welcome. It is the receiver of that link.

    :param owner: takes the messages.
    :param supervisor: is told about the canaries.
    :param clock: schedules and measures.
    :param index: the index of the worker.
    :param link: the link.
    :param places: the places of limited feeds that the worker had by an earlier lease.
    :param endpoints: number of endpoints, each of which is asked in turn.
    :ivar allowance: limits the number of its messages.
    :ivar is_accepting: whether the worker accepts on the sockets that it was given.
    :ivar is_asked: whether it was asked for its sockets, and has not answered.
    :ivar sockets: these sockets, by the index of the endpoint and the number by which the worker knows the socket.
    :ivar told: whether the worker was told last that livefeed is ready; ``None`` if it was told nothing.
    """

    # required parameters
    owner: Owner
    supervisor: Supervising
    clock: IReactorTime
    index: int
    link: Link
    places: Mapping[str, int]
    endpoints: int

    # internal state
    allowance: Allowance = field(init=False)
    is_accepting: bool = False
    is_asked: bool = False
    sockets: set[tuple[int, int]] = field(default_factory=set)
    told: bool | None = None
    _watching: Deferred[None] | None = None
    _is_lost: bool = False

    def __post_init__(self) -> None:
        self.allowance = Allowance(self.clock.seconds)

    def receive(self, link: Link, message: Message) -> None:
        """Receiver API."""
        self.owner.receive(self, message)

    def flushed(self, link: Link) -> None:
        """Receiver API."""

    def lost(self, link: Link) -> None:
        """Receiver API."""
        self.lose()

    def lose(self) -> None:
        """Takes note that this link is used no more."""
        if not self._is_lost:
            self._is_lost = True
            if self._watching is not None:
                self._watching.cancel()
            self.owner.note_lost(self)
            self.link.close()

    def watch(self) -> None:
        """Sends canaries as long as the link lasts, once the worker accepts and the feeds have begun."""
        if self.is_accepting and self.owner.has_begun and self._watching is None and not self._is_lost:
            self._watching = Deferred.fromCoroutine(self._watch())
            self._watching.addErrback(lambda failure: failure.trap(CancelledError) and None)

    def give_canary(self, endpoint: int, fd: int) -> None:
        """Has the worker take a socket as a connection of an endpoint.

        :raises LinkError: if the descriptor cannot be sent.
        """
        self.link.send(message_of("canary", CanaryFacts(endpoint), (), (fd,)))

    async def _watch(self) -> None:
        canary = self.owner.canary_of(self)
        every_s = max(CANARY_S, self.owner.count / CANARIES_PER_S)
        turn = 0
        # During a drain nothing new is accepted, not even a canary.
        while not self.supervisor.is_releasing:
            is_ready = self.supervisor.is_ready(self.index)
            try:
                if is_ready:
                    turn = (turn + 1) % self.endpoints
                    delay_s = await canary.check(turn)
                else:
                    delay_s = await canary.check_all()
            except (CanaryError, LinkError) as error:
                self.supervisor.unserved(self.index, first_line(error))
            else:
                self.supervisor.served(self.index, delay_s)
            await deferLater(self.clock, every_s if is_ready else RETRY_S)
