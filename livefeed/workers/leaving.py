"""The parent's part in the workers of earlier generations: feeds them, keeps their accounts, and removes their locks.

Their processes and their time are in ``earlier``.

Rule: such a worker is granted no places beyond those that it has, and is given no sockets.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from livefeed.workers.earlier import EarlierWorkers
from livefeed.workers.earlier import Processes as Killing
from livefeed.workers.locks import Activity, Holding, hold_worker, lock_path, running_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from twisted.internet.interfaces import IReactorTime

    from livefeed.workers.accounts import Accounts
    from livefeed.workers.earlier import EarlierWorker
    from livefeed.workers.link import Link
    from livefeed.workers.locks import RunningWorker
    from livefeed.workers.messages import Heartbeat, Held, Hello, LeftWorker, Message


class Processes(Killing, Holding, Protocol):
    """The processes of the workers."""


class Feeds(Protocol):
    """The feeds of the parent, as they are sent to the workers."""

    def add(self, link: Link, held: Mapping[str, Held], /) -> None:
        """Sends everything to a worker from now on."""

    def remove(self, link: Link, /) -> None:
        """Sends a worker nothing more."""


@dataclass(eq=False)
class LeavingWorkers:
    """The owner of the workers of earlier generations.

    :param clock: schedules and measures.
    :param processes: watches and kills.
    :param accounts: keeps their figures and places.
    :param feeds: sends the feeds to them.
    :param take: takes a message of a worker, with its place and its name.
    :param welcome: gives the answer to the hello of a worker, by its index, without sockets.
    :param directory: gives the folder of the locks.
    :param heard: called when there is one worker less that has not said hello.
    :ivar workers: these workers.
    """

    # required parameters
    clock: IReactorTime
    processes: Processes
    accounts: Accounts
    feeds: Feeds
    take: Callable[[EarlierWorker, int, str, Message], Heartbeat | None]
    welcome: Callable[[int], Message]
    directory: Callable[[], Path]
    heard: Callable[[], None]

    # internal state
    workers: EarlierWorkers = field(init=False)

    def __post_init__(self) -> None:
        self.workers = EarlierWorkers(self.clock, self.processes, self)

    def expect(self, of: RunningWorker, left: LeftWorker | None = None) -> None:
        """Has a worker send its watchers away as soon as it says hello.

        :param left: its counts and places, as the parent before has told them; ``None`` if it has not.
        """
        if not hold_worker(self.processes, self.directory(), of):
            return
        worker = self.workers.expect(of, None if left is None else left.places)
        if worker is None:
            return
        self.accounts.begin(worker.place)
        if left is not None:
            self.accounts.connect_leaving(worker.place, left.places, left.samples)

    def expect_before(self, generation: int, left: Iterable[LeftWorker]) -> None:
        """Does so with all workers that run, and are of a generation before one.

        :param left: the workers that the parent before has told; all others are found by their locks.
        """
        told = {each.pid: each for each in left}
        for running in running_workers(self.directory()):
            if running.generation < generation and running.activity is not Activity.WAITING:
                self.expect(running, told.get(running.pid))

    def welcome_earlier(self, worker: EarlierWorker, hello: Hello) -> None:
        """Owner API."""
        assert worker.link is not None
        # It keeps its sockets until it has read the order to drain.
        worker.link.send(self.welcome(hello.index))
        self.feeds.add(worker.link, hello.feeds)
        self.accounts.connect_leaving(worker.place, hello.places)

    def take_message(self, worker: EarlierWorker, message: Message) -> None:
        """Owner API."""
        self.take(worker, worker.place, worker.name, message)

    def part_from(self, link: Link) -> None:
        """Owner API."""
        self.feeds.remove(link)

    def note_heard(self) -> None:
        """Owner API."""
        self.heard()

    def forget(self, worker: EarlierWorker) -> None:
        """Owner API."""
        self.accounts.forget(worker.place)
        with suppress(OSError):
            lock_path(self.directory(), worker.of.generation, worker.of.index).unlink()
