"""From a demand to ranges of figures: the network, the processors, the memory, and the time that a crowd needs to come.

``docs/_static/calculator.js`` has the same arithmetic; a test compares both.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from livefeed.planning.model import CHANGE
from livefeed.planning.ranges import NOTHING, Range

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livefeed.planning.model import Model, Way

SEGMENT_BYTES = 1448
"""Bytes of TCP in a packet of Ethernet, with time stamps."""

PACKET_BYTES = Range(40, 66)
"""Bytes around them: IPv4 and TCP at least, and IPv6, options and Ethernet at most."""

RECORD_BYTES, RECORD_OVERHEAD = 16_384, 22
"""Bytes of a TLS record, and around it (RFC 8446, 5.2)."""

SLOWNESS = Range(1, 2)
"""The processor time here, relative to that on the measured machine: the loopback interface costs less than a network
card, and another processor may have half the speed."""

VERSION_US = Range(300, 1000)
"""Microseconds of the work for a version, whoever follows: check, hash, compression, change."""

VERSION_BYTE_US = Range(0.03, 0.1)
"""The same for each byte of the document: a tick of 100 KB takes 5 to 9 ms."""

BUSY = 0.6
"""The part of a core that is planned to be used: the rest is for connections that come, and for a second like no other.
"""

KERNEL_BYTES = 6 * 1024
"""Bytes of the kernel for a connection, at least."""

MOST_CONNECTION_BYTES = 48 * 1024
"""Bytes of a connection whose client has not read the last document; livefeed's own limit reckons with it."""

PROCESS_BYTES = Range(45e6, 70e6)
"""Bytes of a process without watchers."""

KEPT_VERSIONS = Range(3, 20)
"""Sizes of the document that each process holds: the newest one with its codings, at least, and those before it."""


@dataclass(frozen=True, slots=True)
class Demand:
    """A feed and its watchers.

    :ivar watchers: the number of watchers.
    :ivar document_bytes: the size of the document.
    :ivar interval_s: seconds from one version to the next, and from one poll to the next.
    :ivar mix: the part of the watchers that follows by each way; together 1.
    :ivar change: the size of a change, relative to the document, as splices.
    :ivar hours: the length of the night.
    """

    watchers: int
    document_bytes: int
    interval_s: float
    mix: Mapping[str, float]
    change: float = CHANGE
    hours: float = 8.0


@dataclass(frozen=True, slots=True)
class Part:
    """The part of one way.

    :ivar way: its name.
    :ivar watchers: its number of watchers.
    :ivar message_bytes: the bytes of a message, without TLS and packets.
    :ivar mbit_s: megabits per second.
    :ivar cores: processor cores.
    """

    way: str
    watchers: float
    message_bytes: Range
    mbit_s: Range
    cores: Range


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a demand takes.

    :ivar parts: the part of each way.
    :ivar mbit_s: megabits per second that are sent.
    :ivar gigabytes: gigabytes (10^9) that are sent in the night.
    :ivar cores: processor cores that are busy.
    :ivar processes: processes that hold the connections.
    :ivar memory_bytes: memory of all processes, and of the kernel for the connections.
    :ivar crowd_s: seconds in which all watchers can connect, as after a restart.
    """

    parts: tuple[Part, ...]
    mbit_s: Range
    gigabytes: Range
    cores: Range
    processes: int
    memory_bytes: Range
    crowd_s: Range


def estimate(model: Model, demand: Demand) -> Estimate:
    """Estimates what a demand takes.

    :raises KeyError: if the mix names a way that the model does not have.
    """
    parts = tuple(_part(model.ways[name], demand, share) for name, share in demand.mix.items() if share)
    mbit_s = sum((each.mbit_s for each in parts), NOTHING)
    size = demand.document_bytes
    version = Range(
        (VERSION_US.low + VERSION_BYTE_US.low * size) * SLOWNESS.low,
        (VERSION_US.high + VERSION_BYTE_US.high * size) * SLOWNESS.high,
    )
    cores = sum((each.cores for each in parts), version.times(1e-6 / demand.interval_s))
    processes = max(ceil(cores.high / BUSY), 1)
    connection = model.connection_us
    return Estimate(
        parts=parts,
        mbit_s=mbit_s,
        gigabytes=mbit_s.times(demand.hours * 3600 / 8000),
        cores=cores,
        processes=processes,
        memory_bytes=_memory(model, demand, processes),
        crowd_s=Range(connection.low, connection.high * SLOWNESS.high).times(
            1e-6 * demand.watchers / (BUSY * processes)
        ),
    )


def _part(way: Way, demand: Demand, share: float) -> Part:
    base = demand.document_bytes * (demand.change if way.content == "change" else 1)
    message = Range(way.head_bytes + base * way.part.low, way.head_bytes + base * way.part.high)
    watchers = demand.watchers * share
    each_second = watchers / demand.interval_s
    sent = Range(_on_the_wire(message.low, PACKET_BYTES.low), _on_the_wire(message.high, PACKET_BYTES.high))
    cost = Range(way.cost_us.at(message.low).low * SLOWNESS.low, way.cost_us.at(message.high).high * SLOWNESS.high)
    return Part(way.name, watchers, message, sent.times(each_second * 8e-6), cost.times(each_second * 1e-6))


def _on_the_wire(message: float, packet: float) -> float:
    """Gives the bytes of a message with TLS and packets."""
    encrypted = message + RECORD_OVERHEAD * ceil(message / RECORD_BYTES)
    return encrypted + packet * ceil(encrypted / SEGMENT_BYTES)


def _memory(model: Model, demand: Demand, processes: int) -> Range:
    # With workers, there is a parent, too.
    count = processes if processes == 1 else processes + 1
    held = Range(KEPT_VERSIONS.low, KEPT_VERSIONS.high).times(demand.document_bytes)
    measured = sum(model.ways[name].memory_bytes * share for name, share in demand.mix.items())
    connections = Range(measured + KERNEL_BYTES, max(MOST_CONNECTION_BYTES, measured + KERNEL_BYTES))
    return (PROCESS_BYTES + held).times(count) + connections.times(demand.watchers)
