"""The channel between two parents: a pair of sockets, whose one end the new program finds by its environment.

Rules: the offer is read before the reactor runs, because everything is made with the sockets in it. Everything after it
goes over a :class:`.link.Link`.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import Factory

from livefeed import __version__
from livefeed.exceptions import ConfigurationError, LinkError, first_line
from livefeed.process.program import CHANNEL
from livefeed.workers.link import Link
from livefeed.workers.messages import Decoder, Message, encode, message_of
from livefeed.workers.succession import FAILED, OFFER, PROTOCOL, FailedFacts, Offer

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from twisted.internet.interfaces import IAddress

    from livefeed.workers.link import Receiver
    from livefeed.workers.succession import OfferedSockets

OFFER_S = 10.0
"""Seconds that the offer may take to arrive. The old parent sends it when it starts the new one."""

MAX_OFFER_BYTES = 1024 * 1024
"""The largest size in bytes of an offer's payloads. There is one, the key of session tickets."""

_TELL_S = 1.0
_CHUNK_BYTES = 65_536
_MAX_FDS_AT_ONCE = 64


def open_channel(reactor: Any, sock: socket.socket, receiver: Receiver) -> Link:
    """Makes the link of one end of the channel.

    :param reactor: the reactor, which takes the ownership of the socket.
    :param receiver: receives the messages.
    """
    link = Link(receiver)
    sock.setblocking(False)
    reactor.adoptStreamConnection(sock.fileno(), socket.AF_UNIX, _Made(link))
    sock.close()
    return link


class _Made(Factory):
    """Gives the one protocol of a connection that there is already."""

    noisy = False

    def __init__(self, link: Link) -> None:
        self._link = link

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """IProtocolFactory API."""
        return self._link


@dataclass(eq=False)
class Inheritance:
    """The new program's end of the channel, and the offer of the old parent.

    :param sock: the end of the channel.
    :ivar offer: the offer.
    :ivar ticket_key: the key of TLS session tickets in use; empty if there is none.
    """

    # required parameters
    sock: socket.socket

    # internal state
    offer: Offer = field(init=False)
    ticket_key: bytes = b""
    _sockets: dict[tuple[str, str], list[tuple[OfferedSockets, dict[int, socket.socket]]]] = field(default_factory=dict)

    @classmethod
    def take(cls, environment: MutableMapping[str, str]) -> Inheritance | None:
        """Takes the channel out of the environment, and reads the offer; ``None`` if this process is no successor.

        :raises ConfigurationError: if the offer cannot be read. The old parent was told.
        """
        text = environment.pop(CHANNEL, None)
        if text is None:
            return None
        try:
            fd = int(text)
            is_socket = stat.S_ISSOCK(os.fstat(fd).st_mode)
        except (ValueError, OverflowError, OSError):
            is_socket = False
        if not is_socket:
            why = "is set by a running livefeed for the program that takes its place, and must not be set otherwise"
            raise ConfigurationError(f"{CHANNEL}: {why}")
        os.set_inheritable(fd, False)
        inheritance = cls(socket.socket(fileno=fd))
        try:
            inheritance._read()
        except (LinkError, OSError) as error:
            why = f"the offer of the running livefeed cannot be read: {first_line(error)}"
            inheritance.fail(why)
            inheritance.sock.close()
            raise ConfigurationError(why) from None
        return inheritance

    def fail(self, why: str) -> None:
        """Tells the old parent the reason for which this program cannot take its place. It may block for a second."""
        with suppress(OSError):
            self.sock.settimeout(_TELL_S)
            self.sock.sendall(encode(message_of(FAILED, FailedFacts(why))))

    def listening(self, description: str) -> tuple[OfferedSockets, dict[int, socket.socket]] | None:
        """Takes the sockets of an endpoint of ``--listen``; ``None`` if the old parent has none of this description."""
        return self._taken("listen", description)

    def operating(self, description: str) -> socket.socket | None:
        """Takes the socket of an endpoint of the operator's port; that of the Unix socket for an empty description."""
        found = self._taken("admin", description)
        return None if found is None else next(iter(found[1].values()), None)

    def close_rest(self) -> None:
        """Closes the sockets that nothing has taken: the new configuration does not have their endpoints."""
        for endpoints in self._sockets.values():
            for _, sockets in endpoints:
                for sock in sockets.values():
                    sock.close()
        self._sockets.clear()

    def _taken(self, kind: str, description: str) -> tuple[OfferedSockets, dict[int, socket.socket]] | None:
        found = self._sockets.get((kind, description))
        return found.pop(0) if found else None

    def _read(self) -> None:
        message = self._receive()
        name = message.facts.get("protocol")
        if message.type != OFFER or name != PROTOCOL:
            message.close_fds()
            raise LinkError(
                f"it speaks {str(name)[:64]}, and livefeed {__version__} speaks {PROTOCOL}; a restart is needed"
            )
        try:
            self.offer = message.read(Offer)
        except LinkError:
            message.close_fds()
            raise
        kinds = [("listen", each) for each in self.offer.listen] + [("admin", each) for each in self.offer.admin]
        if sum(len(each.indexes) for _, each in kinds) != len(message.fds):
            message.close_fds()
            raise LinkError("its sockets do not belong to its endpoints")
        self.ticket_key = message.payload(0) if message.payloads else b""
        taken = iter(message.take_sockets())
        for kind, each in kinds:
            sockets = dict(zip(each.indexes, taken, strict=False))
            self._sockets.setdefault((kind, each.description), []).append((each, sockets))

    def _receive(self) -> Message:
        """Reads one message, without the reactor.

        :raises LinkError: if none comes.
        """
        decoder = Decoder(MAX_OFFER_BYTES)
        deadline = time.monotonic() + OFFER_S
        while True:
            self.sock.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                data, fds, _, _ = socket.recv_fds(self.sock, _CHUNK_BYTES, _MAX_FDS_AT_ONCE)
            except TimeoutError:
                decoder.close()
                raise LinkError(f"it has not arrived within {OFFER_S:g} s") from None
            for fd in fds:
                os.set_inheritable(fd, False)
                decoder.take(fd)
            if not data:
                decoder.close()
                raise LinkError("the channel has ended")
            for message in decoder.feed(data):
                # Nothing follows before this process has told its first step.
                return message
