"""livefeed, in the ways in which it is compared."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tests.bench.peers.server import BUILT, HOST, KINDS_OF_FOLLOWING, START_S, Server

FEEDS = ("one", "two", "three", "four", "five")

OPENSSL_3_PYTHON = BUILT.parent / "openssl3" / "bin" / "python"

UNIT = ("PYTHONMALLOC=malloc", "GLIBC_TUNABLES=glibc.malloc.hugetlb=1")
"""Variables of livefeed's environment, as in the unit in ``docs/systemd/livefeed.service``."""


class Livefeed(Server):
    """livefeed, with one of its transports."""

    followed_by = KINDS_OF_FOLLOWING
    transport = "fast"
    source: str | None = None
    workers = 0
    variables: tuple[str, ...] = UNIT

    def root(self) -> Path:
        """Gives the directory with the source code."""
        return Path(__file__).parents[3]

    def start(self) -> None:
        certificate = self.setting.certificate
        arguments: list[str | Path] = [*self.program(), "--nodaemon", "--pidfile=", "livefeed"]
        arguments += [*self.source_arguments(), "--transport", self.transport]
        arguments += ["--listen", f"tls:{self.port}:interface={HOST}"]
        arguments += ["--listen", f"tcp:{self.plain_port}:interface={HOST}"]
        arguments += ["--cert", certificate.cert, "--key", certificate.key]
        arguments += self.more_arguments()
        root = self.root()
        # As an installed livefeed it finds its byte code, also where the environment keeps Python from writing any.
        kept = ["-u", "PYTHONDONTWRITEBYTECODE", f"PYTHONPYCACHEPREFIX={self.setting.directory / 'pycache'}"]
        self.run("env", *kept, f"PYTHONPATH={root}", *self.variables, *arguments, directory=root)

    def program(self) -> list[str | Path]:
        """Gives the beginning of the command, up to the options of twistd."""
        return [self.interpreter(), "-m", "tests.bench.paused", self.setting.directory / "pauses"]

    def interpreter(self) -> str | Path:
        """Gives the Python that runs it."""
        return sys.executable

    def source_arguments(self) -> list[str]:
        """Gives the options that name the sources."""
        return ["--source", self.source or f"file:{self.setting.document}"]

    def more_arguments(self) -> list[str]:
        """Gives the options that not every livefeed has."""
        return ["--instance", f"bench-{self.port}", *(["--workers", str(self.workers)] if self.workers else [])]

    def longest_pause_ms(self) -> float:
        """Gives how long the garbage collector has stopped it at most, since it was last asked."""
        pauses = self.setting.directory / "pauses"
        longest = float(pauses.read_text()) if pauses.exists() else 0.0
        pauses.unlink(missing_ok=True)
        return longest


class LivefeedDemo(Livefeed):
    """livefeed with its small demonstration, of which each second a little changes."""

    source = "demo:?kind=small"


class LivefeedAnnounced(Livefeed):
    """livefeed that reads a file only when the file changes.

    With a tick each second, some ticks would come between two changes: subscribers by delta would be sent heartbeats,
    and others the same document again.
    """

    def more_arguments(self) -> list[str]:
        return [*super().more_arguments(), "--interval", "3600"]


class LivefeedFeeds(LivefeedAnnounced):
    """livefeed with several feeds, each of which is a file."""

    names: tuple[str, ...] = FEEDS

    def files(self) -> dict[str, Path]:
        """Gives the file of each feed, by the feed's name."""
        directory = self.setting.directory / self.slug
        directory.mkdir(exist_ok=True)
        return {name: directory / f"{name}.json" for name in self.names}

    def source_arguments(self) -> list[str]:
        config = self.setting.directory / f"{self.slug}.toml"
        files = self.files()
        for path in files.values():
            path.write_bytes(self.setting.document.read_bytes())
        config.write_text("".join(f'[feeds.{name}]\nsource = "file:{path}"\n' for name, path in files.items()))
        return ["--config", str(config)]


class LivefeedManyFeeds(LivefeedFeeds):
    """livefeed with many feeds, and with the default settings."""

    names = tuple(f"feed-{number}" for number in range(64))

    def more_arguments(self) -> list[str]:
        return Livefeed.more_arguments(self)


class LivefeedAsInstalled(Livefeed):
    """livefeed as its unit starts it: nothing of the bench is in its process."""

    def program(self) -> list[str | Path]:
        return [Path(sys.executable).with_name("twistd")]


class LivefeedSmallPages(Livefeed):
    """livefeed without the variable that puts its heap into huge pages."""

    variables = UNIT[:1]


class LivefeedOpenSSL3(Livefeed):
    """livefeed with an OpenSSL of the series that the other servers have."""

    def interpreter(self) -> str | Path:
        return OPENSSL_3_PYTHON


class LivefeedOtherPython(Livefeed):
    """livefeed on another Python."""

    def interpreter(self) -> str | Path:
        assert self.setting.python is not None
        return self.setting.python


class OtherLivefeed(Livefeed):
    """livefeed from another checkout, with the interpreter and the packages of this one."""

    def root(self) -> Path:
        assert self.setting.other is not None
        return self.setting.other

    def more_arguments(self) -> list[str]:
        return []


class LivefeedWorkers(Livefeed):
    """livefeed with workers, which share the servers' core with their parent."""

    workers = 2

    def start(self) -> None:
        log = self.setting.directory / f"{self.slug}.log"
        known = log.stat().st_size if log.exists() else 0
        super().start()
        # The port takes connections as soon as the parent has bound it.
        deadline = time.monotonic() + START_S
        while log.read_bytes()[known:].count(b" is ready (process ") < self.workers:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: its workers are not ready after {START_S} s")
            time.sleep(0.05)

    def connections(self) -> list[int]:
        """Gives the number of open files of each worker; few of them are not connections."""
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in sorted(self.pids()[1:])]


class LivefeedWorker(LivefeedWorkers):
    """livefeed with one worker: the difference to one process is that of the code, and not of the shared core."""

    workers = 1


class LivefeedTwisted(Livefeed):
    """livefeed on Twisted's own transport."""

    transport = "twisted"
