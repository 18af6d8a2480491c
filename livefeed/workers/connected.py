"""The workers of this generation that are connected: the newest link to each of them, by its index.

Rule: a worker has one link. A second one takes the place of the first, which may only look alive.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livefeed.workers.messages import Lease, message_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from livefeed.workers.messages import Message
    from livefeed.workers.sharing import Sharing
    from livefeed.workers.worker_link import WorkerLink


@dataclass(eq=False)
class ConnectedWorkers:
    """The links, and all that is sent to workers by their index.

    :param sharing: decides about the sockets of each worker.
    :param may_share: tells whether sockets may be given to workers and taken from them now.
    """

    # required parameters
    sharing: Sharing
    may_share: Callable[[], bool]

    # internal state
    _links: dict[int, WorkerLink] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._links)

    def __iter__(self) -> Iterator[WorkerLink]:
        """Gives the links, as they are now: a link may end meanwhile."""
        return iter(tuple(self._links.values()))

    def add(self, worker: WorkerLink) -> None:
        """Takes the newest link to a worker. The one before is used no more."""
        self.lose(worker.index)
        self._links[worker.index] = worker

    def remove(self, worker: WorkerLink) -> None:
        """Takes note that a link has ended. It need not be the newest one."""
        if self._links.get(worker.index) is worker:
            del self._links[worker.index]

    def lose(self, index: int) -> None:
        """Uses the link to a worker no more, if there is one."""
        worker = self._links.pop(index, None)
        if worker is not None:
            worker.lose()

    def index_of(self, link: object) -> int | None:
        """Gives the index of the worker with a link; ``None`` if it has ended."""
        return next((index for index, worker in self._links.items() if worker.link is link), None)

    def send_all(self, message: Message) -> None:
        """Sends a message to all of them."""
        for worker in self:
            worker.link.send(message)

    def send_lease(self, index: int, name: str, places: int | None) -> None:
        """Tells a worker, if it is connected, its places of a feed.

        :param places: the number of subscribers that it may have; ``None`` for no limit.
        """
        worker = self._links.get(index)
        if worker is not None:
            worker.link.send(message_of("lease", Lease(name, places)))

    def close(self) -> None:
        """Closes all links."""
        for worker in self:
            worker.link.close()

    # Sockets

    def share_out(self, worker: WorkerLink) -> None:
        """Gives a worker the sockets that it is to accept on, and takes the others from it, unless nobody may."""
        if self.may_share():
            self.sharing.share_out(worker)

    def share_out_all(self) -> None:
        """Does so for all of them."""
        for worker in self:
            self.share_out(worker)

    def lend(self, owner: int, to: int) -> bool:
        """Lending API. Shared sockets are not lent: the worker accepts on them already."""
        worker = self._links.get(to)
        if worker is None:
            return False
        self.share_out(worker)
        return True

    def take_back(self, owner: int, borrower: int) -> None:
        """Lending API."""
        worker = self._links.get(borrower)
        if worker is not None:
            self.share_out(worker)
