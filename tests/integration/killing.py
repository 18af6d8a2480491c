"""Kills a livefeed at random times while publishers store documents, and looks at what the next one has.

``python -m tests.integration.killing [--kills N] [--writes N] [--seed N]`` does so on its own.
"""

from __future__ import annotations

import argparse
import random
import signal
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from livefeed.document.snapshot import version_of
from tests.integration.harness import TCP, WAIT_S, Livefeed

PUBLISHERS = 3
"""The number of publishers that write at the same time, so that writes share syncs."""

PAUSE_S = 0.05
"""Seconds until a publisher that was told to come back does."""

LATEST_S = 0.5
"""Seconds from the first write until the latest kill."""


def document(number: int) -> bytes:
    """Gives the document with a number. It is as long as several blocks of a disk."""
    return b'{"n": %d, "pad": "%b"}' % (number, b"x" * (number % 7 * 3000))


@dataclass
class Publishing:
    """Publishers, and the numbers of the documents that they have sent, and that were answered.

    :param most: the number of writes.
    :ivar sent: the numbers of all documents.
    :ivar answered: the numbers of those that are durable by the word of livefeed.
    :ivar statuses: the status codes of the answers.
    """

    most: int
    sent: set[int] = field(default_factory=set)
    answered: set[int] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)
    _next: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _stopped: bool = False
    _threads: list[threading.Thread] = field(default_factory=list)

    def run(self, livefeed: Livefeed, kill_s: float) -> None:
        """Publishes until all documents are stored, or livefeed is killed after a time in seconds."""
        self.start(livefeed)
        time.sleep(kill_s)
        livefeed.process.signal(signal.SIGKILL)
        self.stop()

    def start(self, livefeed: Livefeed) -> None:
        """Begins to publish."""
        self._stopped = False
        self._threads = [threading.Thread(target=self._publish, args=(livefeed,)) for _ in range(PUBLISHERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Publishes no more."""
        self._stopped = True
        for thread in self._threads:
            thread.join()

    def wait_for(self, count: int) -> None:
        """Returns once so many documents are stored."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.answered) >= count, WAIT_S)

    def _publish(self, livefeed: Livefeed) -> None:
        while not self._stopped:
            with livefeed.operator() as client, suppress(httpx.TransportError):
                while not self._stopped:
                    if not self._publish_one(client):
                        return
            time.sleep(PAUSE_S)

    def _publish_one(self, client: httpx.Client) -> bool:
        """Publishes the next document. Returns whether there is one."""
        with self._changed:
            self._next += 1
            number = self._next
            if number > self.most:
                return False
            self.sent.add(number)
        status = client.put("/feeds/feed", content=document(number)).status_code
        with self._changed:
            self.statuses.add(status)
            if status in (200, 201, 202):
                self.answered.add(number)
                self._changed.notify_all()
        if status == 503:
            time.sleep(PAUSE_S)
        return True

    def check(self, livefeed: Livefeed) -> None:
        """Looks at the store: each answered write is there, and no other document than those that were sent."""
        by_version = {version_of(document(number)): number for number in self.sent}
        with livefeed.operator() as client:
            listed = client.get("/feeds/feed/versions").json()
            found = {by_version[each["version"]] for each in listed}
            assert self.answered <= found | set(range(1, max(found, default=0) - 200)), self.answered - found
            newest = client.get("/feeds/feed")
        if listed:
            assert newest.content == document(by_version[listed[0]["version"]])
        else:
            assert newest.status_code == 404


def kill_during_writes(directory: Path, *, kills: int, writes: int, seed: int) -> Publishing:
    """Kills a livefeed several times during writes, and checks the store after each kill.

    :param kills: the number of kills.
    :param writes: the number of writes.
    :param seed: of the times of the kills.
    """
    publishing, times = Publishing(writes), random.Random(seed)
    for left in reversed(range(kills + 1)):
        options = ("--source", "store:", "--state-dir", str(directory / "state"))
        with Livefeed(*options, directory=directory, certificate=None, listen=(TCP,), live=False) as livefeed:
            publishing.check(livefeed)
            if left:
                publishing.run(livefeed, times.uniform(0, LATEST_S))
    return publishing


def main() -> None:
    """Does it as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--writes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1000))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        done = kill_during_writes(Path(name), kills=options.kills, writes=options.writes, seed=options.seed)
    print(
        f"seed {options.seed}: {options.kills} kills, {len(done.sent)} documents sent, {len(done.answered)} answered, "
        "and all of these are stored"
    )


if __name__ == "__main__":
    main()
