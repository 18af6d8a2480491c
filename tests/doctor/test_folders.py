"""The folder of the last versions, and notifications about files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.doctor.folders import (
    Folder,
    Notifications,
    check_notifications,
    check_runtime_folder,
    check_state_folder,
)

FOLDER = Folder(Path("/var/lib/my feed"), filesystem="ext4", free=3 << 30, sync_s=0.004)


class StateFolderTests(SynchronousTestCase):
    def test_good_folder(self) -> None:
        """Its facts are shown, as far as they are known."""
        found = check_state_folder(FOLDER)
        self.assertEqual((found.level, found.text), ("ok", "/var/lib/my feed: ext4, 3.0 GB free, 4.0 ms to the disk"))
        self.assertEqual(check_state_folder(Folder(Path("/s"))).text, "/s: there")

    def test_none(self) -> None:
        """Livefeed works without one; and it makes one that is missing."""
        self.assertEqual(check_state_folder(None).level, "note")
        self.assertEqual(check_state_folder(Folder(Path("/s"), exists=False)).text, "/s: is made at the start")

    def test_disk_that_refuses(self) -> None:
        """Its reason is shown, and the path is quoted for the shell."""
        found = check_state_folder(replace(FOLDER, error="Read-only file system"))
        self.assertEqual(found.level, "problem")
        self.assertIn("cannot be written to: Read-only file system", found.text)
        self.assertIn("'/var/lib/my feed'", found.mend)

    def test_disks_that_are_not_right(self) -> None:
        """Each has its reason."""
        for change, why in (
            ({"filesystem": "nfs4"}, "is on another machine (nfs4)"),
            ({"filesystem": "tmpfs"}, "is in memory (tmpfs)"),
            ({"free": 10 << 20}, "only 10 MB are free"),
            ({"sync_s": 0.25}, "250.0 ms to the disk"),
        ):
            found = check_state_folder(replace(FOLDER, **change))
            self.assertEqual(found.level, "warning")
            self.assertIn(why, found.text)
            self.assertTrue(found.mend)


class RuntimeFolderTests(SynchronousTestCase):
    def test_livefeed_that_is_looked_at(self) -> None:
        """One that runs comes before the unit."""
        for process, unit, shown in (
            (7, "a.service", "/run/x: process 7 runs, and its limits are shown"),
            (None, "a.service", "/run/x: no livefeed runs, and the limits of a.service are shown"),
            (None, None, "/run/x: no livefeed runs"),
        ):
            found = check_runtime_folder(Path("/run/x"), process, unit)
            self.assertEqual((found.level, found.text), ("ok", shown))


class NotificationTests(SynchronousTestCase):
    def test_no_files(self) -> None:
        """Nothing is needed then, whatever there is."""
        self.assertEqual(check_notifications(Notifications(has_room=False), 0).level, "ok")

    def test_room(self) -> None:
        """There is room for another instance, and for the folders."""
        self.assertEqual(
            check_notifications(Notifications(128, 1000, has_room=True), 2).text, "2 of 1,000 folders watched"
        )
        self.assertEqual(check_notifications(Notifications(), 2).text, "works")

    def test_no_room(self) -> None:
        """Each limit has its command."""
        found = check_notifications(Notifications(128, 1000, has_room=False), 2)
        self.assertEqual((found.level, found.mend), ("warning", "sysctl -w fs.inotify.max_user_instances=1024"))
        self.assertIn("all 128 instances", found.text)
        self.assertIn("all instances", check_notifications(Notifications(has_room=False), 2).text)
        found = check_notifications(Notifications(128, 1, has_room=True), 2)
        self.assertEqual((found.level, found.mend), ("warning", "sysctl -w fs.inotify.max_user_watches=65536"))
