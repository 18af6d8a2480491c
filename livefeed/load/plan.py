"""The task of a process, and how a run is divided among processes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from livefeed.load.addresses import Target  # noqa: TC001 - msgspec reads the annotations
from livefeed.load.kinds import Kind, shares

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The task of a process.

    :ivar watchers: the number of watchers of each kind.
    :ivar duration_s: the time in seconds for which is measured, once all have arrived; ``None`` for :attr:`requests`.
    :ivar requests: the number of answers and deliveries after which the process ends.
    :ivar rate: the requests per second of all pollers together; ``None`` for a closed loop, in which each sends the
        next request when it has an answer.
    :ivar first: the moment of the first request of an open loop, in periods of one request of the whole run.
    :ivar ramp_s: the time in seconds in which the watchers arrive.
    :ivar is_kept: whether pollers keep their connections.
    :ivar timeout_s: the longest time in seconds for a connection, and for an answer.
    :ivar wait_s: the time in seconds for which long polls ask to wait.
    :ivar max_bytes: the largest document in bytes.
    :ivar fields: further fields of each request. A token is among them, so they are never printed.
    :ivar cacert: the file of trusted authorities; ``None`` for those of the system.
    :ivar checks_certificate: whether the certificate is checked.
    :ivar is_resumed: whether TLS sessions are resumed.
    :ivar verifies: whether the content of each document is compared with its version.
    :ivar time_pointer: the JSON Pointer to a time in the document.
    :ivar clock_offset_ns: the time by which the clock of the server is ahead of this machine's.
    :ivar has_reference: whether one more watcher by ``livefeed.delta.v2`` tells the times of versions.
    :ivar sources: the addresses of this machine from which connections are made; empty for the system's choice.
    """

    target: Target
    watchers: dict[Kind, int]
    duration_s: float | None = None
    requests: int | None = None
    rate: float | None = None
    first: float = 0.0
    ramp_s: float = 0.0
    is_kept: bool = True
    timeout_s: float = 10.0
    wait_s: int = 25
    max_bytes: int = 16 * 1024 * 1024
    fields: dict[str, str] = field(default_factory=dict, repr=False)
    cacert: str | None = None
    checks_certificate: bool = True
    is_resumed: bool = True
    verifies: bool = False
    time_pointer: str | None = None
    clock_offset_ns: int = 0
    has_reference: bool = False
    sources: list[str] = field(default_factory=list)

    @property
    def connections(self) -> int:
        """The number of watchers."""
        return sum(self.watchers.values())


def divided(whole: Plan, processes: int) -> list[Plan]:
    """Divides a run among processes, each of which has a part of each kind, of the requests and of the rate.

    :param processes: at most as many as there are watchers.
    """
    plans = []
    left = dict(whole.watchers)
    requests_left, total = whole.requests, whole.connections
    for index in range(processes):
        remaining = processes - index
        watchers = _part(left, remaining)
        left = {kind: number - watchers.get(kind, 0) for kind, number in left.items()}
        requests = None if requests_left is None else requests_left // remaining
        requests_left = None if requests_left is None or requests is None else requests_left - requests
        pollers = sum(whole.watchers.get(kind, 0) for kind in _pacing(whole.watchers))
        own = sum(watchers.get(kind, 0) for kind in _pacing(whole.watchers))
        plans.append(
            replace(
                whole,
                watchers=watchers,
                requests=requests,
                rate=None if whole.rate is None or not pollers else whole.rate * own / pollers,
                first=index / processes,
                sources=_rotated(whole.sources, index * total // processes),
            )
        )
    return plans


def _part(left: Mapping[Kind, int], remaining: int) -> dict[Kind, int]:
    """Gives one of several equal parts: its size is that of the others to within one watcher."""
    size = sum(left.values()) // remaining
    return shares({kind: number for kind, number in left.items() if number}, size)


def _pacing(watchers: Mapping[Kind, int]) -> list[Kind]:
    return [kind for kind in watchers if kind in (Kind.POLL, Kind.CONDITIONAL, Kind.BROWSER)]


def _rotated(sources: list[str], start: int) -> list[str]:
    if not sources:
        return sources
    start %= len(sources)
    return [*sources[start:], *sources[:start]]
