"""Short calls to the kernel and to OpenSSL."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import sys
import tempfile
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.python import _inotify
from twisted.trial.unittest import SynchronousTestCase

from livefeed.doctor import probes
from livefeed.doctor.machine import Machine
from livefeed.exceptions import ConfigurationError
from livefeed.tls.openssl import TicketKeyCalls
from livefeed.tls.symbols import UnknownFunctionError


class SystemTests(SynchronousTestCase):
    def test_epoll(self) -> None:
        """Linux has it."""
        self.assertTrue(probes.has_epoll())
        self.patch(probes, "select", object())
        self.assertFalse(probes.has_epoll())
        self.assertTrue(hasattr(select, "epoll"))

    def test_clock(self) -> None:
        """The kernel's state decides; a kernel that refuses, and a system without the call, tell nothing."""

        class Library:
            def __init__(self, state: int) -> None:
                self.adjtimex = lambda _: state

        for state, expected in ((0, True), (4, True), (5, False), (-1, None)):
            self.patch(ctypes, "CDLL", lambda _, state=state: Library(state))
            self.assertEqual(probes.is_synchronised(), expected)
        self.patch(ctypes, "CDLL", lambda _: object())
        self.assertIsNone(probes.is_synchronised())

    def test_clock_of_this_machine(self) -> None:
        """The call works."""
        self.assertIn(probes.is_synchronised(), (True, False))

    def test_notifications(self) -> None:
        """The descriptor is closed again."""
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        self.assertTrue(probes.has_notifications())
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)  # noqa: PTH208

        def refuse() -> int:
            raise _inotify.INotifyError("none left")

        self.patch(_inotify, "init", refuse)
        self.assertFalse(probes.has_notifications())
        self.patch(sys, "platform", "darwin")
        self.assertIsNone(probes.has_notifications())


class UnitTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        program = self.folder / "systemctl"
        program.write_text('#!/bin/sh\necho LoadState=loaded; echo LimitNOFILE=77; echo "User=$*"\n')
        program.chmod(0o755)
        self.patch(os, "environ", {"PATH": str(self.folder)})

    def test_unit(self) -> None:
        """Systemd is asked for its properties."""
        found = probes.read_unit("a.service", self.folder)
        assert found is not None
        self.assertEqual((found.name, found.open_files), ("a.service", 77))

    def test_no_systemd(self) -> None:
        """It may not run the machine, fail, or be missing."""
        self.assertIsNone(probes.read_unit("a.service", self.folder / "none"))
        (self.folder / "systemctl").write_text("#!/bin/sh\nexit 1\n")
        self.assertIsNone(probes.read_unit("a.service", self.folder))
        (self.folder / "systemctl").unlink()
        self.assertIsNone(probes.read_unit("a.service", self.folder))


class FolderTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)

    def read(self) -> Any:
        return probes.read_folder(self.folder, Machine(self.folder))

    def test_folder(self) -> None:
        """A write is measured, and leaves nothing."""
        found = self.read()
        self.assertEqual((found.exists, found.error), (True, ""))
        self.assertGreater(found.sync_s, 0)
        self.assertGreater(found.free, 0)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_missing_folder(self) -> None:
        """It is not made."""
        path = self.folder / "none"
        self.assertFalse(probes.read_folder(path, Machine()).exists)
        self.assertFalse(path.exists())

    def test_file_systems_without_such_files(self) -> None:
        """Nothing is tried, and nothing is wrong."""
        for number in (errno.EISDIR, errno.EOPNOTSUPP):

            def refuse(*_: Any, number: int = number) -> int:
                raise OSError(number, "x")

            self.patch(os, "open", refuse)
            found = self.read()
            self.assertEqual((found.error, found.sync_s), ("", None))

    def test_folder_that_may_not_be_written_to(self) -> None:
        """The system's reason is told."""

        def refuse(*_: Any) -> int:
            raise OSError(errno.EROFS, "Read-only file system")

        self.patch(os, "open", refuse)
        self.assertEqual(self.read().error, "Read-only file system")

    def test_disk_that_fails(self) -> None:
        """The error of the write is told."""

        def fail(_: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        self.patch(os, "fsync", fail)
        self.assertEqual(self.read().error, "Input/output error")


class OpenSSLTests(SynchronousTestCase):
    def test_this_library(self) -> None:
        """It is as livefeed wants it."""
        found = probes.read_openssl()
        self.assertRegex(found.version, r"^OpenSSL \d")
        self.assertEqual((found.is_direct, found.shares_tickets, found.has_callbacks), (True, "", True))

    def test_memory_that_may_not_be_executed(self) -> None:
        """TLS cannot call back."""

        def refuse(_: str) -> None:
            raise ConfigurationError("TLS needs memory")

        self.patch(probes, "require_callbacks", refuse)
        self.assertFalse(probes.read_openssl().has_callbacks)

    def test_unknown_functions(self) -> None:
        """The reason is told."""

        def refuse() -> TicketKeyCalls:
            raise UnknownFunctionError("it has no name")

        self.patch(probes, "ticket_key_calls", refuse)
        self.assertEqual(probes.read_openssl().shares_tickets, "it has no name")

    def test_keys_that_are_refused(self) -> None:
        """OpenSSL may be built without tickets."""
        self.patch(probes, "ticket_key_calls", lambda: TicketKeyCalls(lambda _context, _keys: False, lambda _: False))
        self.assertEqual(probes.read_openssl().shares_tickets, "it refuses the key")

    def test_library_that_has_changed(self) -> None:
        """Whatever it raises, the public methods are left."""

        def fail() -> None:
            raise SSL.Error

        self.patch(probes, "direct_calls", fail)
        self.assertFalse(probes.read_openssl().is_direct)
