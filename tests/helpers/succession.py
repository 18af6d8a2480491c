"""The channel of an upgrade in tests: an offer of one parent, as the next one reads it."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from livefeed.process.program import CHANNEL
from livefeed.workers.channel import Inheritance
from livefeed.workers.messages import encode

if TYPE_CHECKING:
    from livefeed.workers.messages import Message


def send_message(sock: socket.socket, message: Message) -> None:
    """Sends a message as a transport does: each descriptor with a byte of its own."""
    data = encode(message)
    for number, fd in enumerate(message.fds):
        socket.send_fds(sock, [data[number : number + 1]], [fd])
    sock.sendall(data[len(message.fds) :])


def inheritance_of(offer: Message) -> tuple[Inheritance, socket.socket]:
    """Gives everything that a new parent inherits, and the other end of the channel."""
    ours, theirs = socket.socketpair()
    with theirs:
        send_message(ours, offer)
        inheritance = Inheritance.take({CHANNEL: str(os.dup(theirs.fileno()))})
    assert inheritance is not None
    return inheritance, ours
