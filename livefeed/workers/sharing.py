"""The sharing out of sockets: which sockets each worker accepts on, and the messages that bring it there. No I/O.

A worker accepts on its own sockets, and on those of the workers that it serves for, as the supervisor has decided. The
difference from the sockets that it has is sent, so that a message that was lost with a link comes again with the next.

Rule: a shared socket is given once, and its number is the index of the worker that is given it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from livefeed.workers.messages import Message, message_of
from livefeed.workers.socket_messages import AdoptFacts, OwnerFacts

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from livefeed.workers.bound_sockets import SocketGroup
    from livefeed.workers.messages import Hello


class Sending(Protocol):
    """A link to a worker, as far as messages are sent on it."""

    def send(self, message: Message, /) -> None:
        """Sends a message. Its descriptors stay open."""


class Accepting(Protocol):
    """A worker that accepts."""

    sockets: set[tuple[int, int]]
    """The sockets that it has, by the index of the endpoint and the number by which the worker knows the socket."""

    @property
    def index(self) -> int:
        """Its index."""

    @property
    def link(self) -> Sending:
        """The link to it."""


@dataclass(eq=False)
class Sharing:
    """Shares the sockets out among the workers.

    :param groups: the sockets of the endpoints, in the order of ``--listen``.
    :param lent_to: gives the indexes of the workers for which the worker with an index accepts as well.
    :ivar has_sockets: whether workers may be given sockets.
    """

    # required parameters
    groups: Sequence[SocketGroup]
    lent_to: Callable[[int], list[int]]
    has_sockets: bool

    def wanted(self, index: int) -> dict[tuple[int, int], socket.socket]:
        """Gives the sockets that a worker is to accept on: its own, and those of the workers that it serves for.

        :returns: the sockets, by the index of the endpoint and the number by which the worker knows the socket. That of
            a shared socket is the index of the worker; only its own are shared with it already.
        """
        if not self.has_sockets:
            return {}
        return {
            (number, index if group.is_shared else of): sock
            for number, group in enumerate(self.groups)
            for owner in (index, *self.lent_to(index))
            for of, sock in group.sockets_of(owner)
        }

    def welcome(self, worker: Accepting, hello: Hello, message: Message) -> None:
        """Sends a worker its welcome, with its sockets unless it has some already.

        :param message: the welcome without sockets.
        """
        wanted = {} if hello.sockets else self.wanted(worker.index)
        listen, numbers = [endpoint for endpoint, _ in wanted], [number for _, number in wanted]
        fds = tuple(sock.fileno() for sock in wanted.values())
        facts = {**message.facts, "listen": listen, "numbers": numbers}
        worker.link.send(Message(message.type, facts, message.payloads, fds))
        numbers_of = hello.numbers or [[worker.index][:count] for count in hello.sockets]
        has = {(endpoint, number) for endpoint, numbers in enumerate(numbers_of) for number in numbers}
        worker.sockets = has or {*wanted}

    def share_out(self, worker: Accepting) -> None:
        """Gives a worker the sockets that it is to accept on, and takes the others from it."""
        wanted = self.wanted(worker.index)
        missing = [each for each in wanted if each not in worker.sockets]
        for number in sorted({number for _, number in missing}):
            listen = [endpoint for endpoint, of in missing if of == number]
            fds = [wanted[endpoint, number].fileno() for endpoint in listen]
            worker.link.send(message_of("adopt", AdoptFacts(number, listen), (), fds))
        for number in sorted({number for _, number in worker.sockets} - {number for _, number in wanted}):
            worker.link.send(message_of("release", OwnerFacts(number)))
        worker.sockets = {*wanted}
