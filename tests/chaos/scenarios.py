"""The things that are done to livefeed while it is watched."""

from __future__ import annotations

import signal
import ssl
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import httpx

from tests.chaos.load import FIRST_NETWORK, Demand, Load
from tests.chaos.server import NotSupportedError, Publisher, Server, ServerError
from tests.integration.harness import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

OUTAGE_S = 3.0
"""Seconds between the death of the parent and the start of the next."""

DRAINED_S = 3.0
"""Seconds from the beginning of a drain to SIGTERM: all watchers are sent away at once, and come back after 6 s."""

BACK_S = 150.0
"""The longest time in seconds that watchers may take to be back: slots end after 60 s at most."""

_SETTLE_S = 3.0
_POLL_S = 0.5
_EXTRA = "extra"
_EXTRA_NETWORK = 200


@dataclass(slots=True)
class Run:
    """One livefeed with its watchers.

    :ivar directory: for files.
    :ivar program: the program of the load.
    :ivar workers: number of workers.
    :ivar began_at: when the window began.
    :ivar event_at: when something was done to livefeed.
    :ivar lag_ms: the longest delay of a timer of the load in the window.
    :ivar notes: further results, for the report.
    """

    directory: Path
    program: Path
    workers: int
    server: Server
    load: Load
    size: int
    began_at: float = 0.0
    event_at: float = 0.0
    lag_ms: float = 0.0
    notes: list[str] = field(default_factory=list)

    def begin(self) -> None:
        """Begins the window."""
        self.load.status()  # The delays until now do not count.
        self.began_at = self.event_at = time.monotonic()
        self.observe(_SETTLE_S)

    def happen(self) -> None:
        """Takes the time of the event."""
        self.event_at = time.monotonic()

    def observe(self, seconds: float) -> None:
        """Waits, and notes how late the load itself is."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _POLL_S))
            self.lag_ms = max(self.lag_ms, self.load.status().lag_ms)

    def wait_until_back(self) -> None:
        """Returns when all watchers are served and up to date, or when they took too long."""
        late = time.monotonic() + BACK_S
        while (status := self.load.status()).current < status.watchers:
            self.lag_ms = max(self.lag_ms, status.lag_ms)
            if time.monotonic() > late:
                self.notes.append(f"{status.watchers - status.current} watchers are not back after {BACK_S:.0f} s")
                return
            time.sleep(_POLL_S)

    def wait_for(self, condition: Callable[[], bool], failure: str, timeout_s: float = 60.0) -> None:
        """Returns when a condition holds.

        :raises ServerError: if that takes too long.
        """
        late = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > late:
                raise ServerError(failure)
            self.observe(_POLL_S)


def _reload(run: Run) -> None:
    run.server.reload()


def _renew_certificate(run: Run) -> None:
    run.server.renew_certificate()
    run.server.reload()
    served = ssl.get_server_certificate((HOST, run.server.port))
    if served.strip() not in run.server.cert.read_text():
        raise ServerError("new connections receive the old certificate after the reload")


def _change_feeds(run: Run) -> None:
    """Adds a feed, has watchers follow it, and removes it."""
    path = run.directory / f"{_EXTRA}.json"
    watched = run.load.demand
    demand = Demand(
        websockets=max(5, watched.websockets // 20),
        deltas=max(5, watched.deltas // 20),
        pollers=max(5, watched.pollers // 20),
        rate=watched.rate,
    )
    with Publisher(path, size=run.size):
        run.server.feeds[_EXTRA] = path
        run.server.write_config()
        run.server.reload()
        run.wait_for(lambda: _status_of(run, f"/{_EXTRA}") == 200, "the feed that was added is not served")
        load = Load(
            run.program,
            demand,
            run.server.address,
            run.directory,
            path=f"/{_EXTRA}",
            first_network=_EXTRA_NETWORK,
        )
        with load:
            load.wait_until_current(60.0)
            del run.server.feeds[_EXTRA]
            run.server.write_config()
            run.server.reload()
            run.wait_for(lambda: _status_of(run, f"/{_EXTRA}") == 404, "the feed that was removed is still served")
            run.wait_for(
                lambda: load.status().connected == 0, "watchers of the feed that was removed are still connected"
            )


def _status_of(run: Run, path: str) -> int:
    with httpx.Client(verify=False, trust_env=False) as client:
        return client.get(f"https://{run.server.address}{path}").status_code


def _kill_worker(run: Run) -> None:
    workers = run.server.workers()
    run.happen()
    run.server.kill(workers[0])
    run.wait_for(
        lambda: len(run.server.workers()) == run.workers and workers[0] not in run.server.workers(),
        "the worker that was killed is not replaced",
    )


def _kill_parent(run: Run) -> None:
    workers = run.server.workers()
    run.server.kill(run.server.parent.pid)
    run.observe(OUTAGE_S)
    run.server.start()
    kept = [pid for pid in run.server.workers() if pid in workers]
    run.notes.append(f"{len(kept)} of {len(workers)} workers were kept")


def _upgrade(run: Run) -> None:
    before = set(run.server.processes())
    run.server.command("upgrade", unsupervised=True)
    run.happen()
    run.wait_for(
        lambda: not before & set(run.server.processes()),
        f"the processes of before the upgrade have not ended; the log:\n{run.server.log()[-2000:]}",
        BACK_S,
    )


def _restart(run: Run) -> None:
    begun = time.monotonic()
    code = run.server.terminate()
    stopped = time.monotonic()
    run.server.start()
    run.notes.append(
        f"stopped with code {code} after {stopped - begun:.1f} s, served again after {time.monotonic() - begun:.1f} s"
    )


def _drain(run: Run) -> None:
    """Sends the watchers away, and starts livefeed again. They have no other server to go to meanwhile."""
    run.server.command("drain", successor=False)
    run.observe(DRAINED_S)
    run.server.terminate()
    run.server.start()


def _hold(run: Run) -> None:
    """Does nothing."""


def _catches(number: signal.Signals, purpose: str) -> Callable[[Server], str | None]:
    def reason(server: Server) -> str | None:
        return None if server.catches(number) else f"this livefeed does not know {number.name} ({purpose})"

    return reason


@dataclass(frozen=True, slots=True)
class Scenario:
    """Something that is done to livefeed.

    :ivar act: does it, and returns when livefeed has done its part.
    :ivar purpose: one line for the help.
    :ivar needs_workers: whether it makes sense with workers only.
    :ivar refusal: gives the reason for which this livefeed cannot be put to it, or ``None``.
    :ivar observe_s: how long livefeed is watched afterwards, at least, in seconds.
    :ivar ignore_slots: whether the watchers ignore the slots that they are given.
    """

    act: Callable[[Run], None]
    purpose: str
    needs_workers: bool = False
    refusal: Callable[[Server], str | None] = field(default=lambda _: None)
    observe_s: float = 8.0
    ignore_slots: bool = False


SCENARIOS = {
    "reload": Scenario(_reload, "SIGHUP", refusal=_catches(signal.SIGHUP, "reload")),
    "certificate": Scenario(
        _renew_certificate, "another certificate and SIGHUP", refusal=_catches(signal.SIGHUP, "reload")
    ),
    "feeds": Scenario(
        _change_feeds, "a feed is added, followed and removed by SIGHUP", refusal=_catches(signal.SIGHUP, "reload")
    ),
    "worker": Scenario(_kill_worker, "a worker is killed with -9", needs_workers=True),
    "parent": Scenario(_kill_parent, "the parent is killed with -9, and started again", needs_workers=True),
    "upgrade": Scenario(_upgrade, "the program on disk takes over, by the operator's port", needs_workers=True),
    "restart": Scenario(_restart, "SIGTERM and start"),
    "restart-ignored": Scenario(_restart, "the same with watchers that ignore their slots", ignore_slots=True),
    "drain": Scenario(_drain, "a drain by the operator's port, then SIGTERM and start"),
    "hold": Scenario(_hold, "nothing happens for --seconds, with --connections"),
}


@contextmanager
def running(  # noqa: PLR0913 - the options of the command
    scenario: Scenario,
    demand: Demand,
    directory: Path,
    program: Path,
    *,
    workers: int,
    size: int,
    tick_s: float,
    settings: str,
    options: set[str],
) -> Iterator[Run]:
    """Gives a livefeed whose watchers are all served and up to date.

    :param tick_s: seconds from one version to the next, and from one tick of livefeed to the next.
    :param options: the names of the options that livefeed has.
    :raises NotSupportedError: if livefeed lacks the scenario's subject.
    """
    if scenario.needs_workers and not workers:
        raise NotSupportedError("it needs --workers of 1 or more")
    if workers and "workers" not in options:
        raise NotSupportedError("this livefeed has no option --workers")
    demand = replace(demand, ignore_slots=scenario.ignore_slots)
    path = directory / "document.json"
    with (
        Publisher(path, size=size, interval_s=tick_s),
        Server(directory, {"feed": path}, workers=workers, settings=f"interval = {tick_s}\n{settings}") as server,
    ):
        if reason := scenario.refusal(server):
            raise NotSupportedError(reason)
        if not server.has_workers(workers):
            raise NotSupportedError(f"this livefeed is not ready, with {len(server.workers())} of {workers} workers")
        with Load(program, demand, server.address, directory, first_network=FIRST_NETWORK) as load:
            yield Run(directory, program, workers, server, load, size)
