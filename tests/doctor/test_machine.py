"""Readings of a machine that is a folder of files."""

from __future__ import annotations

import os
import resource
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.doctor.machine import Machine, Unit, free_bytes
from livefeed.doctor.memory import Swap
from livefeed.doctor.network import ListeningSocket, PortFacts
from livefeed.process.processors import Processors
from tests.authority import Holder

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def socket_line(address: str, state: str, inode: int) -> str:
    """Gives a line of a table of the kernel."""
    return f"   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1\n"


class MachineTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        self.machine = Machine(self.root)

    def write(self, path: str, text: str | bytes) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file


class FileTests(MachineTestCase):
    def test_texts_and_numbers(self) -> None:
        """Files that are missing, or have something else, have none."""
        self.write("a", " 12\t34 x \n")
        self.assertEqual((self.machine.text("a"), self.machine.numbers("a")), ("12\t34 x", [12, 34]))
        self.assertEqual((self.machine.text("b"), self.machine.number("b"), self.machine.numbers("b")), ("", None, []))
        self.write("c", "12\n")
        self.assertEqual(self.machine.number("c"), 12)

    def test_choice(self) -> None:
        """It stands in brackets."""
        self.write("a", "always defer+madvise [madvise] never\n")
        self.assertEqual((self.machine.chosen("a"), self.machine.chosen("b")), ("madvise", ""))


class ProcessTests(MachineTestCase):
    def locks(self, kind: str, process: int, inode: int) -> None:
        self.write("proc/locks", f"1: POSIX  ADVISORY  READ 5 fe:00:1 0 EOF\n2: {kind} {process} fe:00:{inode} 0 EOF\n")

    def test_holder_of_a_lock(self) -> None:
        """The kernel's table names it."""
        lock = self.write("lock", "")
        self.locks("FLOCK  ADVISORY  WRITE", 1234, lock.stat().st_ino)
        self.assertEqual(self.machine.holder(lock), 1234)
        self.assertIsNone(self.machine.holder(self.root / "none"))

    def test_nobody_holds_it(self) -> None:
        """Other locks, and processes of another namespace, do not count."""
        lock = self.write("lock", "")
        number = lock.stat().st_ino
        for kind, process, inode in (
            ("FLOCK  ADVISORY  WRITE", 1234, number + 1),
            ("POSIX  ADVISORY  WRITE", 1234, number),
            ("FLOCK  ADVISORY  WRITE", 0, number),
        ):
            self.locks(kind, process, inode)
            self.assertIsNone(self.machine.holder(lock))

    def test_limits_of_this_process(self) -> None:
        """The rest is not known on other systems."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        found = self.machine.file_limits()
        self.assertEqual((found.soft, found.per_process, found.machine, found.open), (soft, None, None, 0))

    def test_no_limit(self) -> None:
        """It is a large number."""
        self.patch(resource, "getrlimit", lambda _: (5, resource.RLIM_INFINITY))
        self.assertEqual(self.machine.file_limits().hard, 1 << 40)

    def test_limits_of_another_process(self) -> None:
        """They are those that count; those of this process do, if they cannot be read."""
        self.write("proc/sys/fs/nr_open", "1048576\n")
        self.write("proc/sys/fs/file-max", "2000000\n")
        self.write("proc/sys/fs/file-nr", "1213\t0\t2000000\n")
        self.write("proc/7/limits", "Limit  Units\nMax open files            1024     unlimited      files \n")
        found = self.machine.file_limits(7)
        self.assertEqual((found.soft, found.hard, found.whose), (1024, 1 << 40, "process 7"))
        self.assertEqual((found.per_process, found.machine, found.open), (1_048_576, 2_000_000, 1213))
        self.assertEqual(self.machine.file_limits(8).whose, "this shell")

    def test_variables(self) -> None:
        """Only those about memory are kept."""
        self.write("proc/7/environ", "LIVEFEED_SOURCE=redis://u:secret@h\0PYTHONMALLOC=malloc\0X\0")
        self.assertEqual(self.machine.allocation(7), {"PYTHONMALLOC": "malloc"})
        self.assertIsNone(self.machine.allocation(8))

    def test_processors_and_memory(self) -> None:
        """They are those that livefeed uses."""
        self.patch(os, "sched_getaffinity", lambda _: {0, 1})
        self.write("proc/self/cgroup", "0::/\n")
        self.write("sys/fs/cgroup/cpu.max", "150000 100000\n")
        self.write("proc/meminfo", "MemTotal:  8000 kB\nMemAvailable:  4000 kB\nSwapTotal:  100 kB\nSwapFree:  40 kB\n")
        self.assertEqual(self.machine.processors(), Processors(2, 1.5))
        (memory,) = self.machine.memories()
        self.assertEqual((memory.limit, memory.used), (8_192_000, 4_096_000))
        self.assertEqual(self.machine.swap(), Swap(102_400, 61_440))

    def test_no_swap(self) -> None:
        """A system that tells nothing has none."""
        self.assertEqual(self.machine.swap(), Swap(0, 0))


SHOWN = """LoadState=loaded
LimitNOFILE=4096
AmbientCapabilities=cap_net_bind_service
User=livefeed
Environment=PYTHONMALLOC=malloc "LIVEFEED_SOURCE=redis://u:secret@h" GLIBC_TUNABLES=glibc.malloc.hugetlb=1
"""


class UnitTests(MachineTestCase):
    def test_unit(self) -> None:
        """Only its variables about memory are kept."""
        found = Unit.of("a.service", SHOWN)
        assert found is not None
        self.assertEqual((found.open_files, found.may_bind), (4096, True))
        self.assertEqual(found.allocation, {"PYTHONMALLOC": "malloc", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"})

    def test_rights(self) -> None:
        """Root has all of them."""
        for user, may_bind in (("", True), ("root", True), ("livefeed", False)):
            found = Unit.of("a.service", f"LoadState=loaded\nLimitNOFILE=infinity\nUser={user}\nAmbientCapabilities=\n")
            assert found is not None
            self.assertEqual((found.open_files, found.may_bind), (1 << 40, may_bind))

    def test_no_unit(self) -> None:
        """Systemd shows the properties of a unit that it does not know, too."""
        for shown in ("LoadState=not-found\nLimitNOFILE=524288\n", "", "nothing"):
            self.assertIsNone(Unit.of("a.service", shown))

    def test_limits_of_a_unit(self) -> None:
        """They count if no livefeed runs."""
        unit = Unit.of("a.service", SHOWN)
        found = self.machine.file_limits(None, unit)
        self.assertEqual((found.soft, found.hard, found.whose), (4096, 4096, "a.service"))
        self.assertTrue(self.machine.ports(None, unit).may_bind)
        self.assertEqual(
            self.machine.file_limits(None, Unit("a", None, may_bind=False, allocation={})).whose, "this shell"
        )


class PortTests(MachineTestCase):
    def test_unknown_machine(self) -> None:
        """It has the values of Linux."""
        self.assertEqual(self.machine.ports(), PortFacts(listening=[], ours=frozenset(), reserved=frozenset()))

    def test_sockets_that_listen(self) -> None:
        """Both families, with addresses as text; connections do not count."""
        self.write(
            "proc/net/tcp", HEAD + socket_line("0100007F:1F90", "0A", 11) + socket_line("0100007F:1F91", "01", 12)
        )
        self.write("proc/net/tcp6", HEAD + socket_line("00000000000000000000000001000000:01BB", "0A", 13) + "short\n")
        self.assertEqual(
            self.machine.ports().listening, [ListeningSocket("127.0.0.1", 8080, 11), ListeningSocket("::1", 443, 13)]
        )

    def test_limits(self) -> None:
        """Ranges and capabilities are read."""
        for name, text in (
            ("ip_local_port_range", "1024\t65535\n"),
            ("ip_unprivileged_port_start", "80\n"),
            ("ip_local_reserved_ports", "8080,9000-9002,x\n"),
        ):
            self.write(f"proc/sys/net/ipv4/{name}", text)
        self.write("proc/self/status", "Name:\tx\nCapEff:\t0000000000000400\n")
        found = self.machine.ports()
        self.assertEqual((found.ephemeral, found.unprivileged_from, found.may_bind), ((1024, 65_535), 80, True))
        self.assertEqual(sorted(found.reserved), [8080, 9000, 9001, 9002])

    def test_livefeed_that_runs(self) -> None:
        """Its sockets and its capabilities count."""
        self.write("proc/7/status", "CapEff:\t0000000000000000\n")
        folder = self.root / "proc/7/fd"
        folder.mkdir()
        (folder / "3").symlink_to("socket:[11]")
        (folder / "4").symlink_to("/dev/null")
        (folder / "5").write_text("no link")
        found = self.machine.ports(7)
        self.assertEqual((sorted(found.ours), found.may_bind), ([11], False))
        self.assertEqual(sorted(self.machine.ports(8).ours), [])


class FolderTests(MachineTestCase):
    def test_filesystem(self) -> None:
        """The deepest mount above a folder counts, and of several the last; its path may have escapes."""
        self.write(
            "proc/self/mountinfo",
            "22 1 254:0 / / rw - ext4 /dev/vda rw\n"
            "23 22 0:5 / /var rw shared:1 - xfs /dev/vdb rw\n"
            "24 22 0:6 / /var rw - tmpfs none rw\n"
            "25 22 0:7 / /my\\040nfs rw - nfs4 host:/ rw\n"
            "broken\n",
        )
        for folder, kind in (("/var/lib", "tmpfs"), ("/various", "ext4"), ("/my nfs/x", "nfs4"), ("/", "ext4")):
            self.assertEqual(self.machine.filesystem(Path(folder)), kind)
        self.assertEqual(Machine(self.root / "none").filesystem(Path("/")), "")

    def test_free_bytes(self) -> None:
        """A folder that is not there has no disk."""
        self.assertGreater(free_bytes(self.root) or 0, 0)
        self.assertIsNone(free_bytes(self.root / "none"))

    def test_roots(self) -> None:
        """Each certificate counts that can be read."""
        self.assertEqual(self.machine.roots(), [])
        first, second = Holder("A"), Holder("B")
        broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        self.write("etc/ssl/cert.pem", first.issue(first) + broken + b"text\n" + second.issue(second))
        self.assertEqual([each.subject.rfc4514_string() for each in self.machine.roots()], ["CN=A", "CN=B"])


class ThisMachineTests(SynchronousTestCase):
    def test_this_machine(self) -> None:
        """The files are where they are looked for."""
        machine = Machine()
        self.assertTrue(machine.filesystem(Path("/proc")))
        self.assertGreater(machine.file_limits(os.getpid()).hard, 0)
        self.assertEqual(machine.file_limits(os.getpid()).whose, f"process {os.getpid()}")
        self.assertGreaterEqual(machine.processors().usable, 1)
