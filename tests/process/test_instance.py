"""The instance: it claims the runtime directory, ends the start if that was chosen, and otherwise warns."""

from __future__ import annotations

import grp
import os
import tempfile
from pathlib import Path

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError, StartError
from livefeed.process.instance import Instance, group_number


class InstanceTests(SynchronousTestCase):
    """Claims by services."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "default"

    def start(self, place: str = "") -> tuple[Instance, list[str]]:
        """Starts an instance, and gives it with what is logged."""
        instance = Instance(self.path, place)
        with capturedLogs() as events:
            instance.privilegedStartService()
            instance.startService()
        self.addCleanup(instance.stopService)
        return instance, [str(formatEvent(event)) for event in events]

    def test_claimed_once(self) -> None:
        """From the first start to the stop, and again after that."""
        instance = Instance(self.path)
        self.assertFalse(instance.directory.is_ours)
        for _ in range(2):
            instance.privilegedStartService()
            lock = instance.directory.lock
            instance.startService()
            self.assertEqual((instance.directory.is_ours, instance.directory.lock), (True, lock))
            instance.stopService()
            self.assertFalse(instance.directory.is_ours)

    def test_default_that_another_has(self) -> None:
        """It is served without the directory, and one warning says which livefeed the tool reaches."""
        _, logged = self.start()
        self.assertEqual(logged, [])
        instance, logged = self.start()
        self.assertFalse(instance.directory.is_ours)
        (line,) = set(logged)
        self.assertIn("another livefeed uses", line)
        self.assertIn("livefeed ctl reaches that one; set --instance NAME", line)
        self.assertEqual(len(logged), 1)

    def test_chosen_that_another_has(self) -> None:
        """The start ends, with the place of the setting."""
        self.start()
        instance = Instance(self.path, "--runtime-dir")
        error = self.assertRaises(StartError, instance.privilegedStartService)
        self.assertTrue(str(error).startswith("livefeed: --runtime-dir: another livefeed uses"))

    def test_default_that_cannot_be(self) -> None:
        """A folder that cannot be used is no reason not to serve."""
        self.path.touch()
        instance, (line,) = self.start()
        self.assertFalse(instance.directory.is_ours)
        self.assertIn("there is a file where the runtime directory should be", line)
        self.assertNotIn("--instance", line)


class GroupTests(SynchronousTestCase):
    """The group of the operator's socket."""

    def test_number_and_name(self) -> None:
        """Both name a group."""
        gid = os.getegid()
        self.assertEqual((group_number(str(gid)), group_number(grp.getgrgid(gid).gr_name)), (gid, gid))

    def test_unknown(self) -> None:
        """The message has the name of the setting."""
        for name in ("no-such-group", "9" * 30):
            error = self.assertRaises(ConfigurationError, group_number, name)
            self.assertTrue(str(error).startswith(f"--admin-group: there is no group '{name}'"))
