"""The messages between two parents during an upgrade. No I/O.

The old parent starts the new one, and each has one end of a pair of sockets, the channel. Its messages are framed as
those of the link. In their order:

- ``offer``, from the old one: the sockets and everything that the new one needs to start;
- ``step``, from the new one, for the log; or ``failed``, with the reason, at any time before the last message;
- ``feed``, from the old one after the first step: the events of its feeds, as workers are sent them, until the commit;
- ``ready``, from the new one: its workers serve the newest versions;
- ``commit``, from the old one, which does nothing more: the lock of the runtime directory, and the final sequences;
- ``committed``, from the new one, which is the parent from now on.

Rule: until ``committed`` has arrived, the old parent can go on as if nothing had been. If the channel ends before that,
the upgrade has failed.
"""

from __future__ import annotations

import msgspec

PROTOCOL = "livefeed.upgrade.v1"
"""The name of the protocol, in ``offer``. A program that speaks another one needs a restart."""

OFFER, STEP, FAILED, READY, COMMIT, COMMITTED = "offer", "step", "failed", "ready", "commit", "committed"
"""The types of the messages, besides ``feed`` and ``seen``."""


class OfferedSockets(msgspec.Struct, frozen=True):
    """The sockets of one endpoint.

    :ivar description: the description of the endpoint, as it was set; empty for the operator's Unix socket.
    :ivar indexes: for each of its descriptors the number of the socket in its group.
    :ivar is_shared: whether all workers accept on the same socket.
    """

    description: str
    indexes: list[int]
    is_shared: bool = False


class Offer(msgspec.Struct, frozen=True):
    """``offer``: the descriptors of the message are those of ``listen`` and then those of ``admin``, in this order.

    :ivar protocol: :data:`PROTOCOL`.
    :ivar livefeed: the version of the program that offers.
    :ivar pid: its process.
    :ivar generation: the generation of the new parent.
    :ivar runtime_dir: the runtime directory, which stays the same.
    :ivar listen: the endpoints of ``--listen``.
    :ivar admin: the endpoints of the operator's port.
    :ivar feeds: the names of the feeds.
    :ivar is_daemon: whether nothing waits for the process of the parent.
    :ivar pidfile: the file with the process id; ``None`` without one.
    """

    protocol: str
    livefeed: str
    pid: int
    generation: int
    runtime_dir: str
    listen: list[OfferedSockets] = []
    admin: list[OfferedSockets] = []
    feeds: list[str] = []
    is_daemon: bool = False
    pidfile: str | None = None


class StepFacts(msgspec.Struct, frozen=True):
    """``step``: the new parent has reached a step.

    :ivar text: the step, for the log.
    """

    text: str


class FailedFacts(msgspec.Struct, frozen=True):
    """``failed``: the new parent ends.

    :ivar why: the reason.
    """

    why: str


class CommitFacts(msgspec.Struct, frozen=True):
    """``commit``: the descriptor of the message is the lock of the runtime directory.

    Its payload has the counters and the workers that run on, as JSON: a head would be too small for many feeds.

    :ivar sequences: the epoch and number of the newest version of each feed that has one.
    """

    sequences: dict[str, tuple[int, int]]
