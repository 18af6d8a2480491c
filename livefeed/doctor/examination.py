"""The list of all checks: each has its readings, runs in a thread of its own with a time limit, and fails alone."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from livefeed import clocks
from livefeed.doctor import probes
from livefeed.doctor.clock import check_clock, check_clock_source
from livefeed.doctor.feeds import check_pulled, check_settings
from livefeed.doctor.finding import Finding
from livefeed.doctor.folders import Notifications, check_notifications, check_runtime_folder, check_state_folder
from livefeed.doctor.machine import Machine
from livefeed.doctor.memory import check_allocator, check_huge_pages, check_memory, check_swap
from livefeed.doctor.network import (
    WantedPort,
    check_ephemeral_ports,
    check_ports,
    check_queue,
    check_tcp_memory,
    check_tracking,
)
from livefeed.doctor.processes import check_open_files, check_processors, check_python
from livefeed.doctor.tls import check_certificates, check_openssl, check_transport
from livefeed.exceptions import first_line
from livefeed.process.descriptions import PROXIED, port_of, split_description
from livefeed.process.runtime_dir import LOCK, default_runtime_dir
from livefeed.threads import start_thread

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from livefeed.checks import StartChecks
    from livefeed.config.settings import FeedSettings, Settings
    from livefeed.doctor.machine import Unit

CHECK_S = 5.0
"""Seconds that a check may take. A folder on another machine that does not answer would take for ever."""

Check = Callable[[], Iterable[Finding]]
"""A check with its readings."""

_PAGES = "sys/kernel/mm/transparent_hugepage"
_CLOCK = "sys/devices/system/clocksource/clocksource0"


@dataclass(frozen=True, slots=True)
class Section:
    """Findings that belong together.

    :ivar title: their heading.
    :ivar findings: the findings.
    """

    title: str
    findings: tuple[Finding, ...]


@dataclass(eq=False)
class Examination:
    """Looks at the machine for settings.

    :param settings: the settings.
    :param watchers: the number of watchers that the machine is to hold.
    :param environment: all variables.
    :param file: the file of settings, as it was named; ``None`` without one.
    :param machine: the machine.
    :ivar folder: the runtime directory of the instance of the settings.
    :ivar process: the livefeed that runs as that instance; ``None`` if none does.
    :ivar unit: the unit of systemd that starts it; ``None`` if there is none, or one runs.
    """

    # required parameters
    settings: Settings
    watchers: int
    environment: Mapping[str, str]
    file: str | None = None
    machine: Machine = field(default_factory=Machine)

    # internal state
    folder: Path = field(init=False)
    process: int | None = field(init=False)
    unit: Unit | None = field(init=False)
    _offset_s: float = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        self.folder = settings.runtime_dir or default_runtime_dir(self.environment, os.geteuid(), settings.instance)
        self.process = self.machine.holder(self.folder / LOCK)
        self.unit = probes.read_unit() if self.process is None else None
        self._offset_s = clocks.wall() - clocks.monotonic()

    def run(self, start: StartChecks) -> list[Section]:
        """Does all checks but those of the documents.

        :param start: the checks of a start, which have not run.
        """
        return [
            Section("Processes and memory", run_checks(self._of_processes())),
            Section("Network", run_checks(self._of_network())),
            # First the settings: their certificates are read there.
            Section("Settings, TLS, files and clock", (*run_checks(self._of_settings(start)), *self._others(start))),
        ]

    def _of_processes(self) -> Iterator[tuple[str, Check]]:
        machine, settings, watchers = self.machine, self.settings, self.watchers

        def open_files() -> Iterator[Finding]:
            yield check_open_files(machine.file_limits(self.process, self.unit), watchers, self._processes())

        def processors() -> Iterator[Finding]:
            yield check_processors(machine.processors(), settings.workers, watchers)

        def memory() -> Iterator[Finding]:
            yield check_memory(machine.memories(), watchers)

        def swap() -> Iterator[Finding]:
            yield check_swap(machine.swap())

        def allocator() -> Iterator[Finding]:
            yield check_allocator(self._allocation(), watchers)

        def huge_pages() -> Iterator[Finding]:
            enabled, defragmented = (machine.chosen(f"{_PAGES}/{name}") for name in ("enabled", "defrag"))
            yield check_huge_pages(enabled, defragmented, self._allocation())

        def python() -> Iterator[Finding]:
            yield check_python(sys.version_info[:3], platform.python_implementation())

        yield "open files", open_files
        yield "processors", processors
        yield "memory", memory
        yield "swap", swap
        yield "allocator", allocator
        yield "huge pages", huge_pages
        yield "python", python

    def _of_network(self) -> Iterator[tuple[str, Check]]:
        machine, watchers, wanted = self.machine, self.watchers, wanted_ports(self.settings)

        def ports() -> Iterator[Finding]:
            facts = machine.ports(self.process, self.unit)
            yield from check_ports(wanted, facts)
            yield check_ephemeral_ports(wanted, facts, watchers)

        def queue() -> Iterator[Finding]:
            yield check_queue(machine.number("proc/sys/net/core/somaxconn"))

        def tracking() -> Iterator[Finding]:
            folder = "proc/sys/net/netfilter"
            tracked, most = (machine.number(f"{folder}/nf_conntrack_{name}") for name in ("count", "max"))
            yield check_tracking(tracked, most, watchers)

        def tcp_memory() -> Iterator[Finding]:
            yield check_tcp_memory(machine.numbers("proc/sys/net/ipv4/tcp_mem"), resource.getpagesize(), watchers)

        yield "port", ports
        yield "listen queue", queue
        yield "conntrack", tracking
        yield "tcp memory", tcp_memory

    def _of_settings(self, start: StartChecks) -> Iterator[tuple[str, Check]]:
        def settings() -> Iterator[Finding]:
            start.run()
            yield from check_settings(start.problems, self.file)

        yield "settings", settings

    def _others(self, start: StartChecks) -> tuple[Finding, ...]:
        machine, settings = self.machine, self.settings

        def transport() -> Iterator[Finding]:
            yield check_transport(settings.transport, has_epoll=probes.has_epoll())

        def openssl() -> Iterator[Finding]:
            yield check_openssl(probes.read_openssl())

        def certificates() -> Iterator[Finding]:
            pairs = list(start.pairs())
            yield from check_certificates(pairs, machine.roots() if pairs else (), clocks.wall())

        def state_folder() -> Iterator[Finding]:
            path = settings.state_dir
            yield check_state_folder(None if path is None else probes.read_folder(path, machine))

        def runtime_folder() -> Iterator[Finding]:
            yield check_runtime_folder(self.folder, self.process, None if self.unit is None else self.unit.name)

        def notifications() -> Iterator[Finding]:
            instances, watches = (
                machine.number(f"proc/sys/fs/inotify/max_user_{name}") for name in ("instances", "watches")
            )
            found = Notifications(instances, watches, probes.has_notifications())
            yield check_notifications(found, len({_folder_of(feed) for feed in settings.feeds} - {None}))

        def clock() -> Iterator[Finding]:
            jump_s = clocks.wall() - clocks.monotonic() - self._offset_s
            yield check_clock(clocks.wall(), jump_s, is_synchronised=probes.is_synchronised())

        def clock_source() -> Iterator[Finding]:
            available = machine.text(f"{_CLOCK}/available_clocksource").split()
            yield check_clock_source(machine.text(f"{_CLOCK}/current_clocksource"), available)

        return run_checks(
            (
                ("transport", transport),
                ("openssl", openssl),
                ("certificate", certificates),
                ("state folder", state_folder),
                ("runtime folder", runtime_folder),
                ("inotify", notifications),
                ("clock", clock),
                ("clock source", clock_source),
            )
        )

    async def pull(self, start: StartChecks) -> Section:
        """Pulls each source once. Needs a reactor that runs.

        :param start: the checks of a start, which have run.
        """
        before = list(start.problems)
        begun = time.monotonic()
        pulled = await start.pull()
        took_s = time.monotonic() - begun
        sizes = {feed.feed: feed.max_bytes for feed in self.settings.feeds}
        findings = [check_pulled(each, sizes[each.feed], took_s, self.file) for each in pulled]
        failed = {each.why for each in pulled}
        # The rules that would hold a document back; a pull that has failed has its own line.
        of_rules = [each for each in start.problems if each not in before and each.why not in failed]
        if of_rules:
            findings += check_settings(of_rules, self.file)
        return Section("Documents", tuple(findings))

    def _processes(self) -> int:
        """Gives the number of processes that hold the connections."""
        workers = self.settings.workers
        return self.machine.processors().usable if workers == "auto" else max(workers, 1)

    def _allocation(self) -> Mapping[str, str] | None:
        if self.process is not None:
            return self.machine.allocation(self.process)
        return self.environment if self.unit is None else self.unit.allocation


def run_checks(checks: Iterable[tuple[str, Check]], timeout_s: float = CHECK_S) -> tuple[Finding, ...]:
    """Runs checks at the same time, each in a thread of its own.

    :param checks: each with the subject of its findings.
    :param timeout_s: the seconds that all of them may take together.
    :returns: their findings, in the order of the checks. A check that breaks, or takes too long, has a warning.
    """
    running = [(subject, _started(subject, check)) for subject, check in checks]
    end = time.monotonic() + timeout_s
    findings: list[Finding] = []
    for subject, results in running:
        try:
            findings += results.get(timeout=max(end - time.monotonic(), 0))
        except Empty:
            text = f"no answer within {timeout_s:g} s: a disk, or another machine, does not answer"
            findings.append(Finding(subject, "warning", text, "mount | column -t shows the file systems"))
    return tuple(findings)


def _started(subject: str, check: Check) -> SimpleQueue[list[Finding]]:
    results: SimpleQueue[list[Finding]] = SimpleQueue()

    def work() -> None:
        try:
            found = list(check())
        except Exception as error:
            text = f"this check has failed: {type(error).__name__}: {first_line(error)}"
            found = [Finding(subject, "warning", text, "report it, with the output of livefeed doctor --json")]
        results.put(found)

    start_thread(work, name=f"doctor: {subject}")
    return results


def wanted_ports(settings: Settings) -> list[WantedPort]:
    """Gives the ports that livefeed is to listen on, except for those that the system chooses."""
    wanted = []
    for description in (*settings.listen, *settings.admin):
        bare = description.removeprefix(PROXIED)
        found = port_of(bare)
        if found is not None and int(found[1]):
            parts = split_description(bare)
            address = next((part.removeprefix("interface=") for part in parts if part.startswith("interface=")), "")
            is_plain = found[0] == "http" and description in settings.listen
            wanted.append(WantedPort(description, int(found[1]), address, is_plain))
    return wanted


def _folder_of(feed: FeedSettings) -> Path | None:
    """Gives the folder of the file that a feed's document is in; ``None`` if it is in none."""
    parts = urlsplit(feed.source)
    return Path(unquote(parts.path)).parent if parts.scheme == "file" else None
