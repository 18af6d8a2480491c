"""The number of connections that a process may hold: by its setting, by open files, and by memory.

The kernel kills a process whose cgroup (cgroups(7)) or machine has no memory left, and all its watchers with it. So the
number is limited at the start, by the memory that is left then, and no more clients are taken while little is left.

Rule: files of the kernel are read from folders that tests replace, and the arithmetic is in pure functions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from livefeed.clocks import Beat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from twisted.internet.interfaces import IReactorTime

    from livefeed.transport.limits import Limits

BYTES_PER_CONNECTION = 48 * 1024
"""Memory of one connection: 25 KB in the process for a TLS subscriber, 22 KB for a TLS poller
(docs/explanation/benchmarks.md), some 6 KB in the kernel for the socket, and up to 16 KB of data that the client has
not read."""

RESERVE_PART, MAX_RESERVE = 0.1, 256 * 1024 * 1024
"""The memory that is set aside: this part of the limit, but not more than these bytes. It is for a document of 1 MiB
with all its codings and patches, the sources, and the peaks of the allocator."""

RELIEF = 1.5
"""Clients are taken again once this many times the reserve is left."""

RELIEF_S = 30.0
"""Seconds for which the reserve must be left, so that clients are taken again with less than that: other processes may
keep the memory. If it is not enough, the next shortage follows, with two lines in the log a minute at most."""

CHECK_S = 1.0
"""Seconds between two looks at the memory while connections come. At 1,000 new connections per second it falls by 48 MB
in between, a fifth of the largest reserve; a look took 0.6 ms of a busy processor."""

CALM_CHECK_S = 10.0
"""Seconds between two looks while no connections come. Nothing has to be held back then."""

_MAX_FILE_BYTES = 65_536
_NO_LIMIT = 1 << 60  # version 1 writes a number of this size for "no limit"

_log = Logger()


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory that the process, and maybe others, may use.

    :ivar what: the name of the limit, for messages.
    :ivar limit: bytes.
    :ivar used: bytes of it that are used, less those that the kernel can take back.
    """

    what: str
    limit: int
    used: int

    @property
    def reserve(self) -> int:
        """Bytes that are set aside."""
        return min(int(self.limit * RESERVE_PART), MAX_RESERVE)

    @property
    def left(self) -> int:
        """Bytes that are left above the reserve; negative if the reserve is used."""
        return self.limit - self.used - self.reserve

    def connections(self) -> int:
        """Gives the number of further connections that there is memory for."""
        return max(self.left // BYTES_PER_CONNECTION, 0)


@dataclass(frozen=True, slots=True)
class MemoryFiles:
    """The files of the kernel that tell about memory.

    :ivar proc: the folder ``/proc``.
    :ivar cgroups: the folder ``/sys/fs/cgroup``.
    """

    proc: Path = Path("/proc")
    cgroups: Path = Path("/sys/fs/cgroup")

    def read(self) -> list[Memory]:
        """Gives the limits that apply: the machine's, and those of the process's cgroup and its ancestors.

        Limits that cannot be read are left out, as on systems other than Linux.
        """
        return [*self._machine(), *self._cgroups()]

    def _machine(self) -> Iterator[Memory]:
        found = dict(re.findall(r"^(MemTotal|MemAvailable): +(\d+) kB$", _text(self.proc / "meminfo"), re.MULTILINE))
        if len(found) == 2:  # noqa: PLR2004 - both of them
            total, available = (int(found[name]) * 1024 for name in ("MemTotal", "MemAvailable"))
            yield Memory("the memory of the machine", total, total - available)

    def _cgroups(self) -> Iterator[Memory]:
        for line in _text(self.proc / "self" / "cgroup").splitlines():
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if number == "0" and not controllers:
                yield from self._ancestors(self.cgroups, path, "memory.max", "memory.current", "inactive_file")
                # Beside version 1, version 2 is mounted here.
                yield from self._ancestors(
                    self.cgroups / "unified", path, "memory.max", "memory.current", "inactive_file"
                )
            elif "memory" in controllers.split(","):
                yield from self._ancestors(
                    self.cgroups / "memory",
                    path,
                    "memory.limit_in_bytes",
                    "memory.usage_in_bytes",
                    "total_inactive_file",
                )

    def _ancestors(self, root: Path, path: str, limit: str, usage: str, cache: str) -> Iterator[Memory]:
        """Gives the limits of a cgroup and its ancestors.

        In a container the path may be that of the host: then only the root, which is the container's cgroup, is there.
        """
        names = [name for name in path.split("/") if name and name != ".."]
        for depth in range(len(names), -1, -1):
            folder = root.joinpath(*names[:depth])
            most, used = _number(folder / limit), _number(folder / usage)
            if most is None or used is None or most >= _NO_LIMIT:
                continue
            # The kernel drops pages of files that were not used for long before it kills anything.
            match = re.search(rf"^{cache} (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
            freed = int(match[1]) if match else 0
            shown = "/".join(names[:depth])
            yield Memory(f"the memory of the cgroup /{shown}", most, max(used - freed, 0))


def _text(file: Path) -> str:
    """Gives the text of a file of the kernel; empty if it cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(_MAX_FILE_BYTES).decode("ascii", "replace")
    except OSError:
        return ""


def _number(file: Path) -> int | None:
    """Gives the number in a file; ``None`` if there is none, as where it says ``max``."""
    text = _text(file).strip()
    return int(text) if re.fullmatch("[0-9]{1,20}", text) else None


@dataclass(frozen=True, slots=True)
class Capacity:
    """The number of connections that a process may hold.

    :ivar connections: the number.
    :ivar limited_by: the name of the limit that it comes from, for messages.
    """

    connections: int
    limited_by: str

    @classmethod
    def of(cls, setting: int, files: int, memories: Iterable[Memory], workers: int = 1) -> Capacity:
        """Gives the smallest of all limits. If there is a setting, memory does not limit the number.

        :param setting: the limit of the setting; 0 for none.
        :param files: the limit by open files.
        :param memories: the memory that is left.
        :param workers: the number of processes that share the memory.
        """
        limits = [cls(files, "the limit of open files")]
        if setting:
            limits.append(cls(setting, "--max-connections"))
        else:
            limits += cls.by_memory(memories, workers)
        return min(limits, key=lambda each: each.connections)

    @classmethod
    def by_memory(cls, memories: Iterable[Memory], workers: int = 1) -> list[Capacity]:
        """Gives the number of connections that each limit of memory has room for; at least 1."""
        return [cls(max(each.connections() // workers, 1), each.what) for each in memories]


def share(limit: int, workers: int, index: int) -> int:
    """Gives the part of one worker of a limit of all.

    The parts differ by one at most, and add up to the limit, unless there are more workers than that: no worker has a
    part of 0, which is no limit, or leaves the number to livefeed.

    :param limit: the limit of all; 0 and less stand for something else than a number, and are not divided.
    :param workers: their number, at least 1.
    :param index: of this worker, from 0.
    """
    if limit <= 0:
        return limit
    return max((limit + workers - 1 - index) // workers, 1)


class LimitedPool(Protocol):
    """A pool whose number of connections is also limited by memory; livefeed's ``Pool``.

    :ivar limits: the limits that were set.
    """

    limits: Limits

    @property
    def count(self) -> int:
        """The number of connections."""

    @property
    def max_files(self) -> int:
        """The limit of connections by open files."""

    @property
    def accept_rate(self) -> float:
        """New connections that are accepted per second; infinite without a limit."""

    def limit_by_memory(self, connections: int) -> None:
        """Limits the number of connections where no setting does."""

    def hold(self, *, held: bool) -> int:
        """Takes no more connections than there are, or takes them again. Returns their number."""


@dataclass(eq=False)
class MemoryWatch(Service):
    """Limits the connections by memory, and logs the capacity at the start. It starts after the listeners.

    :ivar clock: calls later.
    :ivar files: read at the start and each second.
    :ivar workers: the number of processes that share the memory.
    :ivar is_short: whether no more clients are taken, since too little memory is left.
    :ivar capacity: the capacity at the start.
    """

    # required parameters
    pool: LimitedPool
    clock: IReactorTime
    files: MemoryFiles = field(default_factory=MemoryFiles)
    workers: int = 1

    # internal state
    is_short: bool = False
    _enough_since: float | None = None  # in a shortage, by the clock
    _looked_at: float = -inf  # by the clock
    _count: int = 0  # of the connections then
    capacity: Capacity = field(default_factory=lambda: Capacity(0, ""))
    _loop: LoopingCall = field(init=False)

    def __post_init__(self) -> None:
        self._loop = LoopingCall(self.look)
        self._loop.clock = cast("IReactorTime", Beat(self.clock))

    def startService(self) -> None:
        """IService API."""
        super().startService()
        memories, pool = self.files.read(), self.pool
        setting = pool.limits.connections
        least = min(Capacity.by_memory(memories, self.workers), key=lambda each: each.connections, default=None)
        if least is not None:
            pool.limit_by_memory(least.connections)
        self.capacity = Capacity.of(setting, pool.max_files, memories, self.workers)
        rate = pool.accept_rate
        _log.info(
            "the capacity is {connections} connections, by {limited_by}, and {rate} new ones per second",
            connections=self.capacity.connections,
            limited_by=self.capacity.limited_by,
            rate="any number of" if rate == inf else round(rate),
        )
        if least is not None and least.connections < self.capacity.connections:
            _log.warn(
                "{limited_by} has room for about {connections} connections: once it is nearly used, no more clients "
                "are taken",
                limited_by=least.limited_by,
                connections=least.connections,
            )
        self._loop.start(CHECK_S, now=False)

    def stopService(self) -> None:
        """IService API."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def look(self) -> None:
        """Looks at the memory that is left, if connections have come or it is time to.

        The end of the last of several shortages ends the hold.
        """
        now, count = self.clock.seconds(), self.pool.count
        if not self.is_short and count <= self._count and now - self._looked_at < CALM_CHECK_S:
            self._count = count
            return
        self._looked_at, self._count = now, count
        memories = self.files.read()
        if self.is_short:
            if self._is_relieved(memories):
                self.is_short, self._enough_since = False, None
                self.pool.hold(held=False)
                _log.info("there is enough memory again: more clients are taken")
            return
        for each in memories:
            if each.left < 0:
                self.is_short = True
                _log.warn(
                    "only {left} MB of {what} are left: more clients than the present {count} are told to come back",
                    left=max(each.limit - each.used, 0) >> 20,
                    what=each.what,
                    count=self.pool.hold(held=True),
                )
                return

    def _is_relieved(self, memories: Iterable[Memory]) -> bool:
        """Tells whether a shortage is over: much memory is left, or enough has been left for some time."""
        now = self.clock.seconds()
        if any(each.left < 0 for each in memories):
            self._enough_since = None
            return False
        if self._enough_since is None:
            self._enough_since = now
        is_much = all(each.left > (RELIEF - 1) * each.reserve for each in memories)
        return is_much or now - self._enough_since >= RELIEF_S
