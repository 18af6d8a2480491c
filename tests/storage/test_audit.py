"""The audit: one whole line for each command, whatever ended the process before."""

from __future__ import annotations

import json
import threading
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.storage import audit
from livefeed.storage.audit import AuditLog
from tests.helpers.crashing_files import Disk, RecordingFiles, RefusingFiles
from tests.helpers.folders import new_folder


class AuditTests(SynchronousTestCase):
    """A file that only grows."""

    def setUp(self) -> None:
        self.path = new_folder(self) / "state" / "audit.log"
        self.log = AuditLog(self.path)

    def lines(self) -> list[object]:
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]

    def test_lines(self) -> None:
        """Each entry is one, also if it has line ends; other users cannot read them."""
        entries: list[dict[str, Any]] = [{"command": "hold", "arguments": {"reason": "a\nb"}}, {"command": "release"}]
        for each in entries:
            self.log.append(each)
        self.assertEqual(self.lines(), entries)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_torn_line(self) -> None:
        """The next line begins on a line of its own."""
        self.log.append({"n": 1})
        with self.path.open("ab") as file:
            file.write(b'{"n": 2')
        self.log.append({"n": 3})
        self.assertEqual(self.path.read_bytes(), b'{"n":1}\n{"n": 2\n{"n":3}\n')

    def test_long_line(self) -> None:
        """The arguments are left out."""
        self.log.append({"command": "hold", "arguments": {"reason": "x" * audit.MAX_LINE_BYTES}})
        self.assertEqual(self.lines(), [{"command": "hold", "arguments": "too long to be kept"}])

    def test_new_file(self) -> None:
        """A large file is kept beside the next one."""
        self.patch(audit, "MAX_FILE_BYTES", 20)
        for number in range(7):
            self.log.append({"n": number})
        earlier = self.path.with_name("audit.log.1").read_bytes()
        self.assertEqual(earlier + self.path.read_bytes(), b'{"n":3}\n{"n":4}\n{"n":5}\n{"n":6}\n')

    def test_threads(self) -> None:
        """They do not mix their lines."""
        threads = [threading.Thread(target=self.log.append, args=({"n": number},)) for number in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        self.assertCountEqual(self.lines(), [{"n": number} for number in range(8)])

    def test_loss_of_power(self) -> None:
        """An entry that was appended is there."""
        files = RecordingFiles()
        self.log.files = files
        disk, done = Disk(), 0
        for number in range(3):
            self.log.append({"n": number})
            for call in files.calls[done:]:
                disk.do(call)
            done = len(files.calls)
            for image in disk.images():
                self.assertEqual(image["audit.log"].count(b"\n"), number + 1)

    def test_full_disk(self) -> None:
        """It is an error, and the lines before stay."""
        self.log.append({"n": 1})
        self.log.files = RefusingFiles({"sync": 28})
        with self.assertRaises(OSError):
            self.log.append({"n": 2})
        self.assertEqual(self.lines()[0], {"n": 1})
