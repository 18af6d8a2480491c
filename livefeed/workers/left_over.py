"""The workers that an ended parent has left behind, as a livefeed without workers finds them at its start.

It does not take them over. It says which processes they are, whether they hold addresses, and how they are ended: a
listener that cannot bind its address a moment later would name the address alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.logger import Logger

from livefeed.workers.locks import running_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from livefeed.process.runtime_dir import RuntimeDir

MAX_SHOWN = 8
"""Upper limit of the processes and addresses that a message names."""

_TCP_LISTEN = "0A"  # the state in /proc/net/tcp
_UNIX_ACCEPTS = 0x10000  # the flag of a listening socket in /proc/net/unix
_UNIX_COLUMNS = 8  # with the path, which an unnamed socket has not

_log = Logger()


def held_addresses(pid: int, proc: Path = Path("/proc")) -> list[str]:
    """Gives the ports and the paths of Unix sockets on which a process listens; none if that cannot be read.

    :param proc: the folder ``/proc``.
    """
    folder = proc / str(pid)
    own = set(_sockets_of(folder))
    ports = {int(port, 16) for name in ("tcp", "tcp6") for port, inode in _tcp(folder / "net" / name) if inode in own}
    paths = {path for path, inode in _unix(folder / "net" / "unix") if inode in own}
    return [*(f"the port {port}" for port in sorted(ports)), *sorted(paths)]


def _sockets_of(folder: Path) -> Iterator[str]:
    """Gives the numbers of the sockets that a process has open, as the kernel counts them."""
    try:
        for entry in (folder / "fd").iterdir():
            try:
                found = re.fullmatch(r"socket:\[(\d+)\]", str(entry.readlink()))
            except OSError:
                continue  # it was closed meanwhile
            if found is not None:
                yield found[1]
    except OSError:
        return  # such as those of another user


def _lines(path: Path) -> list[list[str]]:
    try:
        return [line.split() for line in path.read_text("utf-8", "replace").splitlines()[1:]]
    except OSError:
        return []


def _tcp(path: Path) -> Iterator[tuple[str, str]]:
    for fields in _lines(path):
        if fields[3] == _TCP_LISTEN:
            yield fields[1].rpartition(":")[2], fields[9]


def _unix(path: Path) -> Iterator[tuple[str, str]]:
    for fields in _lines(path):
        if len(fields) == _UNIX_COLUMNS and int(fields[3], 16) & _UNIX_ACCEPTS:
            yield fields[7], fields[6]


@dataclass(eq=False)
class LeftOverWorkers(Service):
    """Logs the workers that are left over, before the listeners bind their addresses.

    :ivar directory: gives the runtime directory, in which their locks are.
    :ivar addresses: gives the addresses on which a process listens.
    """

    directory: Callable[[], RuntimeDir]
    addresses: Callable[[int], Iterable[str]] = held_addresses

    def privilegedStartService(self) -> None:
        """IService API."""
        super().privilegedStartService()
        directory = self.directory()
        if not directory.is_ours:
            return
        pids = [each.pid for each in running_workers(directory.path)]
        if not pids:
            return
        held = dict.fromkeys(address for pid in pids for address in self.addresses(pid))
        _log.warn(
            "workers of a livefeed that has ended still run, and serve its watchers with its last documents: processes "
            "{pids}; {held}; `kill {kill}` ends them in order, and without a parent they end by themselves after its "
            "--orphan-after; with --workers, livefeed would take them over",
            pids=_shown(map(str, pids)),
            held=f"they listen on {_shown(held)}" if held else "they listen on no address that livefeed could find",
            kill=" ".join(map(str, pids)),
        )


def _shown(values: Iterable[str]) -> str:
    values = [*values]
    return ", ".join(values[:MAX_SHOWN]) + (", ..." if len(values) > MAX_SHOWN else "")
