"""The messages about sockets between the parent and a worker, as facts."""

from __future__ import annotations

import msgspec


class AdoptFacts(msgspec.Struct, frozen=True):
    """``adopt``: accept on the sockets of another worker as well.

    :ivar owner: the index of the worker that they are meant for.
    :ivar listen: the index of a description of ``--listen`` for each descriptor of the message.
    """

    owner: int
    listen: list[int]


class OwnerFacts(msgspec.Struct, frozen=True):
    """``release``: accept on the sockets of another worker no more.

    :ivar owner: the index of that worker.
    """

    owner: int


class CanaryFacts(msgspec.Struct, frozen=True):
    """``canary``: take the descriptor of the message as a connection.

    :ivar listener: the index of a description of ``--listen``.
    """

    listener: int


class SocketsFacts(msgspec.Struct, frozen=True):
    """``sockets``: the question of a new parent, without facts, and the answer, with the sockets as descriptors.

    :ivar listen: for each descriptor the description, and the index of the worker that the socket is meant for.
    """

    listen: list[tuple[str, int]] = []
