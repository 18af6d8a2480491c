"""``make churn``: a parent with two workers that is reloaded a thousand times, and one of whose workers dies again and
again.

Each reload changes something else: limits, a feed that comes or goes, the certificate, the log level, the interval of a
feed, or nothing. Worker 0 is killed as soon as the one before it is ready, and another one takes its place at once: the
pauses between deaths are switched off here. Worker 1 lives through all of it. Some watchers of every kind follow.

It prints the descriptors, threads, timers, objects and memory of the parent and of worker 1 before and after, and their
slopes with 95 % confidence intervals. It exits with 1 if one of them grows, if a worker or a socket is missing in the
end, or if the log has a traceback.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from livefeed.tls.development import DevelopmentCertificate, development_certificate
from livefeed.workers.locks import running_workers
from tests import soak
from tests.integration.harness import TLS, Livefeed, replace_file
from tests.soak import KINDS, Load, keep_coming, slope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import httpx

COUNTS_SIGNAL = signal.SIGRTMIN

ANSWER_S = 300.0
"""The time in seconds that a process may take to count, and a worker to become ready, on a busy machine."""

SAMPLES = 100
"""The number of samples of a run."""

WARM_UP = 0.2
"""The share of the run at its beginning whose samples are not used: caches and the allocator fill up."""

STAY_S = (5.0, 20.0)
"""The shortest and the longest stay of a watcher, in seconds: those of a dead worker are spread again soon."""

LIMITS = {"files": 1.0, "threads": 1.0, "timers": 2.0, "objects": 500.0, "memory": 1_000_000.0}
"""The growth in 1,000 reloads from which on it counts, if it is certain: an object in each second one is a leak."""

# twistd with workers that have never died before, so that each of them is replaced at once.
_IMPATIENT = """
import sys
from livefeed.workers import supervisor
supervisor.HEALTHY_S = 0.0
from twisted.scripts.twistd import run
sys.argv[0] = "twistd"
run()
"""
COMMAND = (sys.executable, "-c", _IMPATIENT, "--nodaemon", "--pidfile=")

# Python imports this module at its start, in the parent and in the workers.
_SITECUSTOMIZE = """
import gc, json, os, signal, sys
def _count(*_):
    gc.collect()
    reactor = sys.modules["twisted.internet.reactor"]
    counts = {"objects": len(gc.get_objects()), "timers": len(reactor.getDelayedCalls())}
    path = os.path.join(os.environ["CHURN_COUNTS"], str(os.getpid()))
    with open(path + ".new", "w") as file:
        json.dump(counts, file)
    os.replace(path + ".new", path)
signal.signal(signal.SIGRTMIN, _count)
"""


def take_sample(pid: int, folder: Path) -> dict[str, float]:
    """Gives the resources of a process: the system's counts, and its own."""
    answer = folder / str(pid)
    answer.unlink(missing_ok=True)
    os.kill(pid, COUNTS_SIGNAL)
    late = time.monotonic() + ANSWER_S
    while not answer.exists():
        assert time.monotonic() < late, f"process {pid} does not count its objects"
        time.sleep(0.01)
    process = Path(f"/proc/{pid}")
    files, threads = (len([*(process / kind).iterdir()]) for kind in ("fd", "task"))
    memory = int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {"files": files, "threads": threads, "memory": memory, **json.loads(answer.read_text())}


@dataclass
class Configuration:
    """The settings file and the certificate, of which each reload finds something changed.

    :ivar pairs: two certificates with their keys, of which the first is in use.
    """

    path: Path
    certificate: DevelopmentCertificate
    pairs: list[tuple[bytes, bytes]]
    limit: int = 0
    is_extra: bool = False
    level: str = "info"
    interval: float = 1.0

    @classmethod
    def make(cls, directory: Path) -> Self:
        """Makes the files."""
        certificate = development_certificate(directory / "certs")
        pairs: list[tuple[bytes, bytes]] = []
        for _ in range(2):
            for path in (certificate.cert, certificate.key):
                path.unlink(missing_ok=True)
            development_certificate(directory / "certs")
            pairs.insert(0, (certificate.cert.read_bytes(), certificate.key.read_bytes()))
        made = cls(directory / "livefeed.toml", certificate, pairs)
        made.write()
        return made

    def write(self) -> None:
        """Writes the settings."""
        lines = [
            f"max_connections = {500 + self.limit}",
            f"address_rate = {1000 + self.limit}",
            f"log_level = '{self.level}'",
            f"[feeds.feed]\nsource = 'demo:'\ninterval = {self.interval}\nmax_subscribers = {200 + self.limit}",
        ]
        if self.is_extra:
            lines.append("[feeds.extra]\nsource = 'demo:?seed=7'\ninterval = 0.5")
        replace_file(self.path, "\n".join([*lines, ""]).encode())

    def change(self, number: int) -> None:
        """Makes the change of a reload."""
        match number % 6:
            case 0:
                self.limit = 100 - self.limit
            case 1 | 4:
                self.is_extra = not self.is_extra
            case 2:
                self.pairs.reverse()
                for path, data in zip((self.certificate.cert, self.certificate.key), self.pairs[0], strict=True):
                    replace_file(path, data)
            case 3:
                self.level = "warn" if self.level == "info" else "info"
                self.interval = 3.0 - self.interval
        self.write()


@dataclass
class Churn:
    """A run.

    :ivar samples: the resources of parent and worker, with the number of reloads before them.
    """

    livefeed: Livefeed
    operator: httpx.Client
    configuration: Configuration
    folder: Path
    deaths: int = 0
    samples: dict[str, list[tuple[int, dict[str, float]]]] = field(
        default_factory=lambda: {"parent": [], "worker 1": []}
    )

    def workers(self) -> list[dict[str, Any]]:
        """Gives the report about the workers."""
        report: list[dict[str, Any]] = self.operator.get("/-/workers").json()
        return report

    def wait_for(self, found: Callable[[], object], what: str) -> None:
        """Returns as soon as a function gives something true."""
        late = time.monotonic() + ANSWER_S
        while not found():
            assert time.monotonic() < late, f"{what}: {self.workers()}"
            time.sleep(0.05)

    def is_ready(self) -> bool:
        """Tells whether all workers are ready."""
        return all(each["state"] == "ready" and not each["serves_for"] for each in self.workers())

    def reload(self, number: int) -> None:
        """Changes something, and has it read."""
        self.configuration.change(number)
        answer = self.operator.post("/-/reload", json={})
        assert answer.status_code == 200, answer.text

    def kill(self) -> None:
        """Kills worker 0, once it is ready."""
        self.wait_for(self.is_ready, "the workers do not become ready")
        self.deaths += 1
        os.kill(self.workers()[0]["pid"], signal.SIGKILL)
        self.wait_for(lambda: self.workers()[0]["restarts"] == self.deaths, "the death is not noticed")

    def sample(self, number: int) -> None:
        """Takes a sample of both processes."""
        pids = {"parent": self.livefeed.pid, "worker 1": self.workers()[1]["pid"]}
        for name, pid in pids.items():
            self.samples[name].append((number, take_sample(pid, self.folder)))
        shown = "; ".join(f"{name} {_shown(found[-1][1])}" for name, found in self.samples.items())
        print(f"{number:5} reloads, {self.deaths:4} deaths: {shown}", flush=True)

    def run(self, reloads: int, deaths: int, limit_s: float) -> int:
        """Reloads and kills, spread evenly over the run, and gives the number of reloads.

        :param limit_s: seconds after which the run ends early.
        """
        every, end = max(1, reloads // SAMPLES), time.monotonic() + limit_s
        for number in range(reloads):
            if time.monotonic() > end:
                reloads = number
                break
            # Without a wait for its successor: reloads meet workers that die, start and come in.
            if self.deaths < deaths * (number + 1) // reloads:
                self.kill()
            self.reload(number)
            if not number % every:
                self.sample(number)
        self.wait_for(self.is_ready, "the workers do not become ready")
        self.sample(reloads)
        return reloads


def _shown(sample: dict[str, float]) -> str:
    memory = sample["memory"] / 1e6
    return f"{memory:.1f} MB, " + ", ".join(f"{sample[name]:.0f} {name}" for name in LIMITS if name != "memory")


def report(samples: Sequence[tuple[int, dict[str, float]]], name: str) -> list[str]:
    """Prints the table of a process, and gives what grows."""
    used = samples[round(WARM_UP * len(samples)) :]
    growing = []
    part = max(1, len(used) // 5)
    print(f"\n{name:10} {'before':>12} {'after':>12} {'in 1,000 reloads':>18}   95 % between")
    for kind, limit in LIMITS.items():
        values = [sample[kind] for _, sample in used]
        # The slope is that of an hour of 3,600 s, and a thousand reloads take its place.
        found = slope([3.6 * number for number, _ in used], values)
        before, after = statistics.median(values[:part]), statistics.median(values[-part:])
        print(f"{kind:10} {before:12.0f} {after:12.0f} {found.value:+18.2f}   {found.low:+.2f} and {found.high:+.2f}")
        if found.low > 0 and found.value > limit:
            growing.append(f"{kind} of {name}")
    return growing


async def follow(load: Load, watchers: int, work: Callable[[], int]) -> int:
    """Gives the result of a function that runs in a thread, while watchers of all kinds follow."""
    kinds = [kind for kind in KINDS if "part" not in kind]
    tasks = [asyncio.create_task(keep_coming(load, kinds[number % len(kinds)])) for number in range(watchers)]
    try:
        return await asyncio.to_thread(work)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reloads", type=int, default=1000, help="number of reloads, 30 at least (1000)")
    parser.add_argument("--deaths", type=int, default=200, help="number of deaths of worker 0 (200)")
    parser.add_argument("--watchers", type=int, default=24, help="number of watchers that follow (24)")
    parser.add_argument("--minutes", type=float, default=24 * 60, help="the longest time of the run (a day)")
    options = parser.parse_args()
    if options.reloads < 30:
        parser.error("--reloads: 30 at least, for the slopes")
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="livefeed-churn-")))
        folder = directory / "counts"
        folder.mkdir()
        (directory / "sitecustomize.py").write_text(_SITECUSTOMIZE)
        os.environ.update({"PYTHONPATH": f"{directory}:{Path.cwd()}", "CHURN_COUNTS": str(folder)})
        configuration = Configuration.make(directory)
        livefeed = stack.enter_context(
            Livefeed(
                *("--config", str(configuration.path), "--workers", "2"),
                directory=directory,
                certificate=configuration.certificate,
                listen=(TLS,),
                command=COMMAND,
            )
        )
        churn = Churn(livefeed, stack.enter_context(livefeed.operator()), configuration, folder)
        churn.wait_for(churn.is_ready, "the workers do not become ready")
        soak.STAY_S = STAY_S
        begin, limit_s = time.monotonic(), 60 * options.minutes
        load = Load(livefeed, livefeed.tls_context(), begin + limit_s + 3600)
        done = asyncio.run(follow(load, options.watchers, lambda: churn.run(options.reloads, options.deaths, limit_s)))
        print(f"\n{done} reloads and {churn.deaths} deaths in {time.monotonic() - begin:.0f} s")
        growing = [each for name, samples in churn.samples.items() for each in report(samples, name)]
        silent = [kind for kind in load.errors if not load.seen[kind]]
        code = livefeed.terminate()
        left = running_workers(livefeed.runtime_dir)
    print(f"\ngrowing: {', '.join(growing) or 'nothing'}; watchers without a message: {', '.join(silent) or 'none'}")
    print(f"exit code {code}; workers that are left: {len(left)}")
    return 1 if growing or silent or code or left else 0


if __name__ == "__main__":
    sys.exit(main())
