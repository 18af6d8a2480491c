"""The sockets of a worker, as the messages of its parent change them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from livefeed.exceptions import LinkError
from livefeed.workers.messages import message_of
from livefeed.workers.socket_messages import AdoptFacts, CanaryFacts, OwnerFacts, SocketsFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.internet.interfaces import IProtocolFactory

    from livefeed.workers.inherited_sockets import InheritedPort
    from livefeed.workers.messages import Message


class Replying(Protocol):
    """A link, as far as an answer is sent on it."""

    def send(self, message: Message, /) -> None:
        """Sends a message. Its descriptors stay open."""


@dataclass(eq=False)
class WorkerSockets:
    """All sockets of a worker, as the messages of its parent change them.

    :param index: the index of the worker.
    :param descriptions: the descriptions of the endpoints, as the parent has them.
    :param ports: the ports of the endpoints, in the same order.
    :param canaries: makes the protocols of the clients with which the parent checks this worker.
    """

    index: int
    descriptions: Sequence[str]
    ports: Sequence[InheritedPort]
    canaries: IProtocolFactory

    def receive(self, link: Replying, message: Message) -> bool:
        """Takes a message about sockets, and the ownership of its descriptors.

        :returns: whether it was one; any other message is for the caller.
        :raises LinkError: if it cannot be read.
        """
        match message.type:
            case "adopt":
                self._adopt(message)
            case "release":
                owner = message.read(OwnerFacts).owner
                for port in self.ports:
                    port.remove(owner)
            case "canary":
                self._admit(message)
            case "sockets":
                link.send(self._report())
            case _:
                return False
        return True

    def _adopt(self, message: Message) -> None:
        facts = message.read(AdoptFacts)
        if len(facts.listen) != len(message.fds) or any(not 0 <= each < len(self.ports) for each in facts.listen):
            raise LinkError("a message adopt names endpoints that there are not")
        for endpoint, sock in zip(facts.listen, message.take_sockets(), strict=True):
            self.ports[endpoint].add(facts.owner, sock)

    def _admit(self, message: Message) -> None:
        endpoint = message.read(CanaryFacts).listener
        if len(message.fds) != 1 or not 0 <= endpoint < len(self.ports):
            raise LinkError("a message canary has no socket, or names an endpoint that there is not")
        self.ports[endpoint].admit(message.take_sockets()[0], self.canaries)

    def _report(self) -> Message:
        """Gives the sockets to a new parent, which has none."""
        listen, fds = [], []
        for description, inherited in zip(self.descriptions, self.ports, strict=True):
            for owner, port in inherited.ports.items():
                listen.append((description, owner))
                fds.append(port.sock.fileno())
        return message_of("sockets", SocketsFacts(listen), (), fds)
