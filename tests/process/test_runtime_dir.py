"""The runtime directory: where it is, when it is refused, and that one process has it at a time."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import RuntimeDirError
from livefeed.process.runtime_dir import (
    LONGEST_NAME_BYTES,
    MAX_SOCKET_PATH_BYTES,
    base_dirs,
    claim,
    default_runtime_dir,
    inspect,
)


class PlaceTests(SynchronousTestCase):
    """The default directory, by environment and user."""

    def test_first_that_applies(self) -> None:
        """The service manager's, root's, the login's, and otherwise one of the user's own in /tmp."""
        login = {"XDG_RUNTIME_DIR": "/run/user/1000"}
        for environment, uid, path in (
            ({"RUNTIME_DIRECTORY": "/run/livefeed", **login}, 1000, "/run/livefeed/a"),
            ({"RUNTIME_DIRECTORY": "/run/x:/run/y"}, 0, "/run/x/a"),
            (login, 0, "/run/livefeed/a"),
            (login, 1000, "/run/user/1000/livefeed/a"),
            ({}, 1000, "/tmp/livefeed-1000/a"),
            ({"RUNTIME_DIRECTORY": "relative", "XDG_RUNTIME_DIR": ""}, 1000, "/tmp/livefeed-1000/a"),
        ):
            self.assertEqual(default_runtime_dir(environment, uid, "a"), Path(path))

    def test_all_places(self) -> None:
        """A tool looks into each place where an instance of the user may be."""
        found = base_dirs({"XDG_RUNTIME_DIR": "/run/user/0"}, 0)
        self.assertEqual(found, [Path("/run/livefeed"), Path("/run/user/0/livefeed"), Path("/tmp/livefeed-0")])


class ClaimTests(SynchronousTestCase):
    """Claiming a directory."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.base = Path(directory.name) / "livefeed"
        self.path = self.base / "default"

    def refusal(self, path: Path | None = None) -> str:
        """Gives the message of a refusal, which names the path first."""
        return str(self.assertRaises(RuntimeDirError, claim, path or self.path))

    def test_made_for_its_owner(self) -> None:
        """The folder and its parent are made; nobody else can reach sockets in it."""
        claimed = claim(self.path)
        self.addCleanup(claimed.release)
        self.assertTrue(claimed.is_ours)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o700)
        self.assertEqual((self.path / "lock").read_text(), f"{os.getpid()}\nformat 1\n")
        self.assertFalse(os.get_inheritable(claimed.lock))

    def test_group_may_pass(self) -> None:
        """The members of a group reach the sockets, and cannot list or change the folder."""
        self.base.mkdir()
        self.path.mkdir(0o700)
        claimed = claim(self.path, os.getegid())
        self.addCleanup(claimed.release)
        found = self.path.stat()
        self.assertEqual((stat.S_IMODE(found.st_mode), found.st_gid), (0o710, os.getegid()))

    def test_one_at_a_time(self) -> None:
        """A second claim is told the process that holds the lock, and succeeds after its release."""
        first = claim(self.path)
        second = claim(self.path)
        self.assertEqual((second.is_ours, second.is_taken, second.lock), (False, True, -1))
        self.assertIn(f"(process {os.getpid()})", second.why_not)
        second.release()
        first.release()
        third = claim(self.path)
        self.addCleanup(third.release)
        self.assertTrue(third.is_ours)

    def test_locks_of_other_releases(self) -> None:
        """A lock that is held is refused and stays, whatever its text; the text of a free one does not count."""
        claim(self.path).release()
        lock = self.path / "lock"
        for text, named in (("123\n", "(process 123)"), ("123\nformat 9\nx\n", "(process 123)"), ("{}", "")):
            with lock.open("w") as held:
                held.write(text)
                held.flush()
                fcntl.flock(held, fcntl.LOCK_EX)
                second = claim(self.path)
                self.assertTrue(second.is_taken)
                self.assertTrue(second.why_not.endswith(f"another livefeed uses {self.path} {named}".strip()))
                self.assertEqual(lock.read_text(), text)
            third = claim(self.path)
            self.assertTrue(third.is_ours)
            third.release()

    def test_link(self) -> None:
        """A symbolic link could have been made by somebody else."""
        self.base.mkdir()
        self.path.symlink_to(self.base)
        self.assertIn("is a symbolic link", self.refusal())

    def test_file(self) -> None:
        """A file is no folder, in the place of the parent neither."""
        self.base.mkdir()
        self.path.touch()
        self.assertEqual(self.refusal(), f"{self.path}: there is a file where the runtime directory should be")
        self.assertIn("Not a directory", self.refusal(self.path / "below"))

    def test_another_owner(self) -> None:
        """A folder or a parent of another user is refused; one of root would be fine as a parent."""
        self.base.mkdir()
        self.path.mkdir(0o700)
        mine = os.geteuid()
        self.patch(os, "geteuid", lambda: mine + 1)
        self.assertIn(f"belongs to the user {mine}", self.refusal())

    def test_writable_by_others(self) -> None:
        """Others could replace the socket."""
        self.base.mkdir()
        self.path.mkdir()
        self.path.chmod(0o770)
        self.assertIn("other users may write to it; `chmod go-w", self.refusal())

    def test_parent_writable_by_others(self) -> None:
        """Others could put a folder of their own in its place, unless the parent is as /tmp."""
        self.base.mkdir()
        for mode, allowed in ((0o777, False), (0o1777, True), (0o775, True), (0o755, True)):
            self.base.chmod(mode)
            if allowed:
                claim(self.path).release()
            else:
                self.assertIn("other users may rename what is in it; `chmod go-w", self.refusal())
                error = str(self.assertRaises(RuntimeDirError, inspect, self.path))
                self.assertIn("other users may rename", error)
        self.base.chmod(0o775)
        if os.geteuid() == 0:
            os.chown(self.base, -1, os.getegid() + 1)
        else:
            mine = os.getegid()
            self.patch(os, "getegid", lambda: mine + 1)
        self.assertIn("other users may rename", self.refusal())

    def test_lock_that_cannot_be_opened(self) -> None:
        """A link in the place of the lock is refused, and named."""
        self.base.mkdir()
        self.path.mkdir(0o700)
        (self.path / "lock").symlink_to("/dev/null")
        self.assertTrue(self.refusal().startswith(f"{self.path / 'lock'}: "))

    def test_too_long(self) -> None:
        """The paths of sockets are limited; the message says what to do."""
        room = MAX_SOCKET_PATH_BYTES - LONGEST_NAME_BYTES
        path = self.base / ("a" * (room - len(os.fsencode(self.base))))
        self.assertIn("set a shorter --runtime-dir", self.refusal(path))
        shorter = claim(path.with_name(path.name[1:]))
        self.addCleanup(shorter.release)
        self.assertTrue(shorter.is_ours)

    def test_inspected(self) -> None:
        """What would be refused is refused, and nothing is made."""
        inspect(self.path)
        self.assertFalse(self.base.exists())
        for missing in (self.base / "a" / "b" / "c", Path("/proc/none/of/this")):
            self.assertIn("cannot be made", str(self.assertRaises(RuntimeDirError, inspect, missing)))
        self.base.mkdir()
        inspect(self.path)
        self.path.touch()
        error = str(self.assertRaises(RuntimeDirError, inspect, self.path))
        self.assertEqual(error, f"{self.path}: there is a file where the runtime directory should be")
        long = self.base / ("x" * MAX_SOCKET_PATH_BYTES)
        self.assertIn("the path has", str(self.assertRaises(RuntimeDirError, inspect, long)))
