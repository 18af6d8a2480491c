"""Readings of ``/proc`` and ``/sys``, and of the folder of the last versions.

Rules: nothing is judged here, and nothing is changed. Everything is read below one folder, which tests replace.
"""

from __future__ import annotations

import os
import re
import resource
import warnings
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from livefeed.doctor.memory import Swap
from livefeed.doctor.network import ListeningSocket, PortFacts
from livefeed.doctor.processes import FileLimits
from livefeed.process.capacity import MemoryFiles
from livefeed.process.kernel_files import read_number, read_text
from livefeed.process.processors import Processors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from livefeed.process.capacity import Memory

MAX_TEXT_BYTES = 1024 * 1024
"""Upper limit of the bytes of any other file. A machine with a thousand containers has 500 KB of mounts."""

MAX_TABLE_BYTES = 16 * 1024 * 1024
"""Upper limit of the bytes of the table of TCP sockets: 100,000 of them, with 150 bytes each."""

MAX_OPEN_FILES = 200_000
"""Upper limit of the open files of a process that are looked at."""

MAX_ROOTS_BYTES = 4 * 1024 * 1024
"""Upper limit of the bytes of the file with the CAs that this machine trusts. Debian's has 220 KB."""

ROOT_FILES = ("etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/cert.pem")
"""The places of that file, of Debian, of Fedora, and of Alpine."""

MAX_RESERVED_PORTS = 65_536
ALLOCATION_VARIABLES = ("PYTHONMALLOC", "GLIBC_TUNABLES")
"""The variables that are read of a process. All others may be secrets, and are dropped at once."""

_LISTENS = "0A"  # TCP_LISTEN of the kernel, in include/net/tcp_states.h
_NET_BIND_SERVICE = 10  # in linux/capability.h
_OPEN_FILES = re.compile(r"^Max open files +(\d{1,20}|unlimited) +(\d{1,20}|unlimited) ", re.MULTILINE)
_CHOSEN = re.compile(r"\[([a-z+]{1,20})\]")
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_UNLIMITED = 1 << 40


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of systemd that starts livefeed.

    :ivar name: its name.
    :ivar open_files: its limit of open files; ``None`` if it is not known.
    :ivar may_bind: whether its processes may listen on the lowest ports.
    :ivar allocation: its variables about memory, and no others.
    """

    name: str
    open_files: int | None
    may_bind: bool
    allocation: Mapping[str, str]

    @classmethod
    def of(cls, name: str, shown: str) -> Unit | None:
        """Reads the properties of a unit, as ``systemctl show`` gives them; ``None`` if there is no such unit."""
        found = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        if found.get("LoadState") != "loaded":
            return None
        limit = found.get("LimitNOFILE", "")
        pairs = (each.strip('"').partition("=") for each in found.get("Environment", "").split())
        return cls(
            name,
            _UNLIMITED if limit == "infinity" else int(limit) if re.fullmatch(r"\d{1,19}", limit) else None,
            "cap_net_bind_service" in found.get("AmbientCapabilities", "") or found.get("User") in ("", "root"),
            {key: value for key, _, value in pairs if key in ALLOCATION_VARIABLES},
        )


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine, as the files of its kernel describe it.

    :ivar root: the folder that has ``proc`` and ``sys``.
    """

    root: Path = Path("/")

    def text(self, path: str) -> str:
        """Gives the text of a file without white space around it; empty if it cannot be read."""
        return read_text(self.root / path, MAX_TEXT_BYTES).strip()

    def number(self, path: str) -> int | None:
        """Gives the number in a file; ``None`` if there is none."""
        return read_number(self.root / path)

    def numbers(self, path: str) -> list[int]:
        """Gives the numbers in a file with several; none if it cannot be read."""
        return [int(each) for each in self.text(path).split() if re.fullmatch("[0-9]{1,20}", each)]

    def holder(self, lock: Path) -> int | None:
        """Gives the process that holds a lock (flock(2)); ``None`` if none does.

        :param lock: the file.
        """
        try:
            number = lock.stat().st_ino
        except OSError:
            return None
        # 1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF
        for line in self.text("proc/locks").splitlines():
            found = re.search(r"FLOCK +ADVISORY +WRITE +(\d{1,10}) +[0-9a-f]+:[0-9a-f]+:(\d{1,20}) ", line)
            # In another namespace of processes, its number is 0.
            if found is not None and int(found[2]) == number and int(found[1]):
                return int(found[1])
        return None

    def file_limits(self, process: int | None = None, unit: Unit | None = None) -> FileLimits:
        """Gives the limits of open files.

        :param process: the livefeed that runs, whose limits count; ``None`` if none does.
        :param unit: the unit of systemd, whose limits count otherwise; ``None`` for those of this process.
        """
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        whose = FileLimits(soft, hard).whose
        if process is not None:
            found = _OPEN_FILES.search(self.text(f"proc/{process}/limits"))
            if found is not None:
                soft, hard = (_UNLIMITED if each == "unlimited" else int(each) for each in found.groups())
                whose = f"process {process}"
        elif unit is not None and unit.open_files is not None:
            soft = hard = unit.open_files
            whose = unit.name
        opened = self.numbers("proc/sys/fs/file-nr")
        return FileLimits(
            soft=soft,
            hard=hard if hard != resource.RLIM_INFINITY else _UNLIMITED,
            per_process=self.number("proc/sys/fs/nr_open"),
            machine=self.number("proc/sys/fs/file-max"),
            open=opened[0] if opened else 0,
            whose=whose,
        )

    def allocation(self, process: int) -> Mapping[str, str] | None:
        """Gives the variables of a process that are about its memory, and no others; ``None`` if it shows none."""
        text = self.text(f"proc/{process}/environ")
        if not text:
            return None
        pairs = (each.partition("=") for each in text.split("\0"))
        return {name: value for name, _, value in pairs if name in ALLOCATION_VARIABLES}

    def processors(self) -> Processors:
        """Gives the processors of this process."""
        return Processors.read(self.root / "sys/fs/cgroup", self.root / "proc/self/cgroup")

    def memories(self) -> list[Memory]:
        """Gives the limits of memory that apply."""
        return MemoryFiles(self.root / "proc", self.root / "sys/fs/cgroup").read()

    def swap(self) -> Swap:
        """Gives the swap."""
        text = self.text("proc/meminfo")
        found = {name: int(value) * 1024 for name, value in re.findall(r"(?m)^(Swap\w+): +(\d{1,15}) kB$", text)}
        total = found.get("SwapTotal", 0)
        return Swap(total, total - found.get("SwapFree", total))

    def chosen(self, path: str) -> str:
        """Gives the choice in a file such as ``always [madvise] never``; empty if there is none."""
        found = _CHOSEN.search(self.text(path))
        return "" if found is None else found[1]

    def ports(self, process: int | None = None, unit: Unit | None = None) -> PortFacts:
        """Gives everything that decides on ports.

        :param process: the livefeed that runs; ``None`` if none does.
        :param unit: the unit of systemd; ``None`` if there is none.
        """
        defaults = PortFacts()
        ephemeral = self.numbers("proc/sys/net/ipv4/ip_local_port_range")
        capabilities = re.search(r"(?m)^CapEff:\s+([0-9a-f]{1,16})$", self.text(f"proc/{process or 'self'}/status"))
        lowest = self.number("proc/sys/net/ipv4/ip_unprivileged_port_start")
        return PortFacts(
            listening=[*self._listening("tcp"), *self._listening("tcp6")],
            ours=frozenset() if process is None else frozenset(self._sockets(process)),
            unprivileged_from=defaults.unprivileged_from if lowest is None else lowest,
            may_bind=(unit is not None and unit.may_bind)
            or (capabilities is not None and bool(int(capabilities[1], 16) >> _NET_BIND_SERVICE & 1)),
            ephemeral=(ephemeral[0], ephemeral[1]) if len(ephemeral) == 2 else defaults.ephemeral,  # noqa: PLR2004
            reserved=frozenset(self._reserved()),
        )

    def _listening(self, family: str) -> Iterator[ListeningSocket]:
        """Gives the sockets of a table of the kernel (proc(5)) that listen."""
        for line in read_text(self.root / f"proc/net/{family}", MAX_TABLE_BYTES).splitlines()[1:]:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTENS:  # noqa: PLR2004 - the inode is the tenth
                address, _, port = fields[1].partition(":")
                yield ListeningSocket(_address(address), int(port, 16), int(fields[9]))

    def _sockets(self, process: int) -> Iterator[int]:
        """Gives the inodes of the sockets of a process, as far as this user may see them."""
        with suppress(OSError):
            for each in islice((self.root / f"proc/{process}/fd").iterdir(), MAX_OPEN_FILES):
                with suppress(OSError):
                    found = re.fullmatch(r"socket:\[(\d{1,20})\]", str(each.readlink()))
                    if found is not None:
                        yield int(found[1])

    def _reserved(self) -> Iterator[int]:
        for part in self.text("proc/sys/net/ipv4/ip_local_reserved_ports").split(","):
            found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", part)
            if found is not None:
                yield from range(int(found[1]), min(int(found[2] or found[1]) + 1, MAX_RESERVED_PORTS))

    def filesystem(self, folder: Path) -> str:
        """Gives the kind of the file system of a folder; empty if it is not known."""
        best, kind = -1, ""
        for line in self.text("proc/self/mountinfo").splitlines():
            left, _, right = line.partition(" - ")
            fields = left.split()
            if len(fields) < 5 or not right:  # noqa: PLR2004 - the mount point is the fifth (proc(5))
                continue
            point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4]))
            # Of several on one point, the last one is on top.
            if folder.is_relative_to(point) and len(point.parts) >= best:
                best, kind = len(point.parts), right.split()[0]
        return kind

    def roots(self) -> list[x509.Certificate]:
        """Gives the CAs that this machine trusts; none if its file is not known."""
        for name in ROOT_FILES:
            with suppress(OSError), (self.root / name).open("rb") as opened:
                return list(_certificates(opened.read(MAX_ROOTS_BYTES)))
        return []


def _certificates(data: bytes) -> Iterator[x509.Certificate]:
    """Gives the certificates in PEM form that can be read: some old CAs are not as RFC 5280 wants them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        for each in _PEM.findall(data):
            with suppress(ValueError):
                yield x509.load_pem_x509_certificate(each)


def free_bytes(folder: Path) -> int | None:
    """Gives the free bytes of a disk for this user; ``None`` if they cannot be read."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def _address(text: str) -> str:
    """Gives an address of a table of the kernel, which has words of four bytes, in the order of the machine."""
    words = bytes.fromhex(text)
    data = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    return str(IPv4Address(data) if len(data) == 4 else IPv6Address(data))  # noqa: PLR2004 - bytes of IPv4
