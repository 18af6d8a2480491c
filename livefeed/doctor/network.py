"""The queue of new connections, the ports, and the kernel's tables of connections.

Rule: nothing is read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from livefeed.doctor.finding import Finding, ok, size
from livefeed.process.endpoints import BACKLOG

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from livefeed.doctor.finding import Level

TRACKED_PART = 0.8
"""The part of the table of tracked connections that watchers may take: other programs have connections, too, and each
that has ended stays for minutes."""

UNREAD_BYTES = 16 * 1024
"""Bytes of the kernel for a watcher who has not read the last document, as in livefeed's capacity."""

WILDCARDS = frozenset({"0.0.0.0", "::"})
MAX_PORT = 65_535
SOMAXCONN = 4096
"""Linux's own value, since 5.4."""


@dataclass(frozen=True, slots=True)
class WantedPort:
    """A port that livefeed is to listen on.

    :ivar description: of the endpoint.
    :ivar port: its number, from 1.
    :ivar address: the address; ``""`` for all.
    :ivar is_plain: whether it is without TLS, so that a proxy is in front of it.
    """

    description: str
    port: int
    address: str = ""
    is_plain: bool = False


@dataclass(frozen=True, slots=True)
class ListeningSocket:
    """A socket that some process listens on.

    :ivar address: the address, as text.
    :ivar port: its port.
    :ivar inode: the number of the socket, by which the process is found.
    """

    address: str
    port: int
    inode: int


@dataclass(frozen=True, slots=True)
class PortFacts:
    """Everything that decides on a port.

    :ivar listening: the sockets of all processes.
    :ivar ours: the sockets of the livefeed that runs, by their inodes.
    :ivar unprivileged_from: the lowest port that every user may take.
    :ivar may_bind: whether the process may take lower ones.
    :ivar ephemeral: the lowest and the highest port that the kernel gives to outgoing connections.
    :ivar reserved: the ports in between that it leaves out.
    """

    listening: Sequence[ListeningSocket] = ()
    ours: Collection[int] = ()
    unprivileged_from: int = 1024
    may_bind: bool = False
    ephemeral: tuple[int, int] = (32_768, 60_999)
    reserved: Collection[int] = ()


def check_queue(somaxconn: int | None) -> Finding:
    """Checks that new connections may wait.

    :param somaxconn: the kernel's limit of a queue; ``None`` if it is not known.
    """
    subject = "listen queue"
    if somaxconn is None or somaxconn >= BACKLOG:
        return ok(subject, f"{BACKLOG:,} connections wait for each socket")
    text = f"{somaxconn:,} connections wait for each socket instead of {BACKLOG:,}: others are lost after a restart"
    return Finding(subject, "warning", text, f"sysctl -w net.core.somaxconn={SOMAXCONN}")


def check_ports(wanted: Sequence[WantedPort], facts: PortFacts) -> Iterator[Finding]:
    """Checks that livefeed can listen on each port."""
    for each in wanted:
        yield _check_port(each, facts)


def _check_port(wanted: WantedPort, facts: PortFacts) -> Finding:
    subject, port = "port", wanted.port
    takers = [each for each in facts.listening if each.port == port and _overlap(each.address, wanted.address)]
    if any(each.inode in facts.ours for each in takers):
        return ok(subject, f"{port}: the livefeed that runs listens on it")
    if takers:
        text = f"{port}: another process listens on it, at {takers[0].address}"
        return Finding(subject, "problem", text, f"ss -ltnp 'sport = :{port}' names the process; stop it, or --listen")
    if port < facts.unprivileged_from and not facts.may_bind:
        text = f"{port}: only privileged processes may listen below {facts.unprivileged_from}"
        mend = f"sysctl -w net.ipv4.ip_unprivileged_port_start={port}, or AmbientCapabilities=CAP_NET_BIND_SERVICE"
        return Finding(subject, "problem", text, f"{mend} in the unit")
    lowest, highest = facts.ephemeral
    if lowest <= port <= highest and port not in facts.reserved:
        text = f"{port}: an outgoing connection may have it at the next start"
        reserved = ",".join(map(str, sorted({*facts.reserved, port})))
        return Finding(subject, "warning", text, f"sysctl -w net.ipv4.ip_local_reserved_ports={reserved}")
    return ok(subject, f"{port}: free")


def _overlap(address: str, other: str) -> bool:
    return not other or other == address or bool({address, other} & WILDCARDS)


def check_ephemeral_ports(wanted: Sequence[WantedPort], facts: PortFacts, watchers: int) -> Finding:
    """Checks that a proxy in front of livefeed has a port of its own for each watcher.

    :param wanted: all ports of livefeed.
    """
    lowest, highest = facts.ephemeral
    subject, count = "ephemeral ports", max(highest - lowest + 1, 0)
    plain = [each for each in wanted if each.is_plain]
    room = count * len(plain)
    if not plain or room >= watchers:
        return ok(subject, f"{count:,} for outgoing connections")
    text = f"{count:,}: a proxy has room for {room:,} of {watchers:,} watchers at {plain[0].description}"
    wider = (MAX_PORT - 1024 + 1) * len(plain)
    if wider >= watchers:
        # The port itself must not be taken by the proxy.
        return Finding(subject, "warning", text, "sysctl -w net.ipv4.ip_local_port_range='1024 65535'")
    return Finding(subject, "warning", text, "--listen unix:/run/livefeed/http.sock, or several ports")


def check_tracking(tracked: int | None, most: int | None, watchers: int) -> Finding:
    """Checks that the firewall's table of connections has room.

    :param tracked: the connections in the table; ``None`` if there is no table.
    :param most: its limit.
    """
    subject = "conntrack"
    if tracked is None or most is None:
        return ok(subject, "connections are not tracked")
    free = most - tracked
    if watchers <= free * TRACKED_PART:
        return ok(subject, f"{tracked:,} of {most:,} connections tracked")
    text = f"{tracked:,} of {most:,} connections tracked: a full table drops new ones of {watchers:,} watchers"
    wanted = 1 << (2 * watchers + tracked).bit_length()
    level: Level = "problem" if watchers > free else "warning"
    return Finding(subject, level, text, f"sysctl -w net.netfilter.nf_conntrack_max={wanted}")


def check_tcp_memory(pages: Sequence[int], page_bytes: int, watchers: int) -> Finding:
    """Checks the memory that the kernel gives to all TCP connections.

    :param pages: three limits in pages: no pressure, pressure, none left; empty if they are not known.
    :param page_bytes: the size of a page.
    """
    subject, needed = "tcp memory", watchers * UNREAD_BYTES
    if len(pages) != 3:  # noqa: PLR2004 - tcp(7)
        return ok(subject, "this system does not tell a limit")
    most = pages[2] * page_bytes
    if most >= needed:
        return ok(subject, f"{size(most)} for all connections")
    text = f"{size(most)} for all connections: {watchers:,} watchers who read slowly need {size(needed)}"
    high = -(-needed // page_bytes) * 5 // 4
    return Finding(subject, "warning", text, f"sysctl -w net.ipv4.tcp_mem='{high // 2} {high * 3 // 4} {high}'")
