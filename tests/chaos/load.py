"""The processes of the load: ``watchers/``, built with Go, each with a part of the watchers."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.chaos import records
from tests.chaos.server import cpu_seconds, pss_bytes
from tests.helpers import go_programs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

KINDS = ("websockets", "deltas", "pollers", "idle")
"""The kinds of watchers, in the order of their numbers within a process."""

PROCESS_WATCHERS = 15_000
"""Watchers in one process: the limit of open files may be 20,000, and a watcher that comes back may need two."""

IDLE_EVERY_S = 60.0
"""Seconds from one poll of an idle poller to the next: livefeed closes connections after 75 s without a request."""

FIRST_NETWORK = 16
"""The second number of the source addresses of the first process; the other processes have those after it."""

_STOP_S = 30.0


class LoadError(Exception):
    """The load does not run, or its watchers do not connect."""


def build(target: Path) -> Path:
    """Builds the program, unless it is newer than its sources.

    :raises GoError: if Go is missing, or the build fails.
    """
    return go_programs.build(Path(__file__).parent / "watchers", target)


@dataclass(frozen=True, slots=True)
class Demand:
    """The watchers that are wanted.

    :ivar rate: first connections per second, of all processes together.
    :ivar poll_s: seconds from one poll of a poller to the next.
    :ivar ignore_slots: whether watchers come back after one to two seconds, wherever the server sends them.
    :ivar resume: whether they resume their TLS sessions.
    """

    websockets: int = 0
    deltas: int = 0
    pollers: int = 0
    idle: int = 0
    rate: float = 100.0
    poll_s: float = 1.0
    ignore_slots: bool = False
    resume: bool = False

    @property
    def total(self) -> int:
        """The number of all watchers."""
        return self.websockets + self.deltas + self.pollers + self.idle

    def split(self, most: int = PROCESS_WATCHERS) -> list[Demand]:
        """Gives the demands of the processes. Subscribers and pollers have processes of their own.

        A process that reads the deliveries of thousands at the same time would be late with its polls.
        """
        subscribers = replace(self, pollers=0, idle=0)
        pollers = replace(self, websockets=0, deltas=0)
        parts = [part for each in (subscribers, pollers) if each.total for part in each.divide(most)]
        return [replace(part, rate=self.rate * part.total / self.total) for part in parts] or [self]

    def divide(self, most: int) -> list[Demand]:
        """Gives as few demands as possible of at most so many watchers; each kind is divided evenly."""
        parts = -(-self.total // most)
        shares = [[count // parts + (index < count % parts) for index in range(parts)] for count in self._counts()]
        return [
            replace(self, websockets=websockets, deltas=deltas, pollers=pollers, idle=idle)
            for websockets, deltas, pollers, idle in zip(*shares, strict=True)
        ]

    def every_s(self) -> list[float]:
        """Gives for each watcher the seconds from one poll to the next; 0 for subscribers."""
        subscribers = [0.0] * (self.websockets + self.deltas)
        return subscribers + [self.poll_s] * self.pollers + [IDLE_EVERY_S] * self.idle

    def options(self) -> list[str]:
        """Gives the options of the program."""
        counts = [f"-{kind}={count}" for kind, count in zip(KINDS, self._counts(), strict=True)]
        return [
            *counts,
            f"-rate={self.rate}",
            f"-every={self.poll_s}s",
            f"-idle-every={IDLE_EVERY_S}s",
            f"-ignore-slots={str(self.ignore_slots).lower()}",
            f"-resume={str(self.resume).lower()}",
        ]

    def _counts(self) -> tuple[int, ...]:
        return self.websockets, self.deltas, self.pollers, self.idle


@dataclass(frozen=True, slots=True)
class Status:
    """The state of all watchers.

    :ivar connected: those that are served.
    :ivar current: those of them that are at most two versions behind the newest of their process, and all idle pollers.
    :ivar lag_ms: the longest delay of a timer in a process of the load since the last status: of the load itself.
    """

    watchers: int
    connected: int
    current: int
    lag_ms: float


@dataclass(frozen=True, slots=True)
class Usage:
    """The resources of the load."""

    cpu_s: float
    memory_bytes: int


class Load:
    """Watchers that run; leaving the context ends them.

    :param program: the program, see :func:`build`.
    :param address: host and port of livefeed.
    :param directory: for the records.
    :param path: of the feed.
    :param first_network: for the source addresses; loads at the same time need different ones.
    """

    def __init__(  # noqa: PLR0913 - the options of a program
        self,
        program: Path,
        demand: Demand,
        address: str,
        directory: Path,
        *,
        path: str = "/feed",
        first_network: int = FIRST_NETWORK,
    ) -> None:
        self.demand = demand
        self._parts = demand.split()
        self._files: list[Path] = []
        self._processes: list[subprocess.Popen[str]] = []
        first = 0
        try:
            for index, part in enumerate(self._parts):
                self._files.append(directory / f"records-{first_network + index}")
                own = [f"-address={address}", f"-path={path}", f"-network={first_network + index}", f"-first={first}"]
                command = [str(program), *own, f"-records={self._files[-1]}", *part.options()]
                self._processes.append(
                    subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
                )
                first += part.total
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes that still run."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def status(self) -> Status:
        """Asks the processes."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("status\n")
        answers = []
        for process in self._processes:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise LoadError(f"a process of the load has ended with code {process.wait()}")
            answers.append(json.loads(line))
        watchers, connected, current = (
            sum(answer[name] for answer in answers) for name in ("watchers", "connected", "current")
        )
        return Status(watchers, connected, current, max(answer["lag_us"] for answer in answers) / 1e3)

    def wait_until_current(self, timeout_s: float) -> None:
        """Returns when all watchers are served and up to date.

        :raises LoadError: if that takes too long.
        """
        late = time.monotonic() + timeout_s
        while (status := self.status()).current < status.watchers:
            if time.monotonic() > late:
                raise LoadError(f"not all watchers are served after {timeout_s:.0f} s: {status}")
            time.sleep(0.5)

    def usage(self) -> Usage:
        """Gives the processor time and the memory of the processes."""
        cpu = sum(cpu_seconds(process.pid) for process in self._processes)
        return Usage(cpu, sum(pss_bytes(process.pid) for process in self._processes))

    def stop(self) -> None:
        """Ends the processes in order, so that their records are whole."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("stop\n")
        for process in self._processes:
            if code := process.wait(_STOP_S):
                raise LoadError(f"a process of the load has ended with code {code}")

    def records(self) -> Iterator[tuple[int, int, int, int, int]]:
        """Gives the records of all processes, after :meth:`stop`."""
        for path in self._files:
            yield from records.read(path)

    def every_s(self) -> Sequence[float]:
        """Gives for each watcher, by its number, the seconds from one poll to the next."""
        return [each for part in self._parts for each in part.every_s()]
