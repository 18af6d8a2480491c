"""The file of decisions: everything comes back, no damage is taken for "no decision", and no crash leaves one."""

from __future__ import annotations

from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.overlay import Edit
from livefeed.document.snapshot import Sequence, version_of
from livefeed.document.stored_version import StoredVersion
from livefeed.exceptions import DeskError
from livefeed.storage import desk_file
from livefeed.storage.desk_file import Decision, DeskFile, DeskRecord
from tests.helpers.crashing_files import Disk, RecordingFiles, RefusingFiles
from tests.helpers.folders import new_folder

DECISION = Decision("pin", 'the "old" é one', "ana", 1000.5, "f" * 32)
SHOWN = StoredVersion(b'{"a":\n 1}\n', Sequence(5, 7), 999.25, "boot", 12.5)
OVERLAY = (
    Edit("/{name=Nörth}/votes", "set", "1.50", "15", "ana", 999.5, 'as "phoned" in'),
    Edit("/a", "remove", None, None, "bob", 999.0),
)
RECORD = DeskRecord(DECISION, {"votes": 2000.0}, SHOWN, OVERLAY, ("/3/votes",))


class DeskFileTests(SynchronousTestCase):
    """A file that is written and read."""

    def setUp(self) -> None:
        self.path = new_folder(self) / "state" / "results.desk"
        self.file = DeskFile(self.path)

    def test_nothing(self) -> None:
        """A feed without a file has no decisions."""
        self.assertEqual(self.file.read(), DeskRecord())

    def test_written_and_read(self) -> None:
        """Each record replaces the one before. Other users cannot read it."""
        for record in (RECORD, DeskRecord(DECISION), DeskRecord(None, {}, SHOWN), DeskRecord(overlay=OVERLAY), RECORD):
            self.file.write(record)
            self.assertEqual(DeskFile(self.path).read(), record)
        self.assertEqual([each.name for each in self.path.parent.iterdir()], ["results.desk"])
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_damage(self) -> None:
        """A file that is cut anywhere, or has any byte changed, is damaged."""
        self.file.write(RECORD)
        data = self.path.read_bytes()
        damaged = [data[:size] for size in range(len(data))]
        damaged += [data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :] for place in range(len(data))]
        damaged.append(data + b"x")
        for each in damaged:
            self.path.write_bytes(each)
            with self.assertRaises(DeskError) as caught:
                self.file.read()
            # One bit more makes another format of the digit in the number of the format.
            if b'"format":0' not in each:
                self.assertTrue(caught.exception.is_damaged, each)

    def test_no_object(self) -> None:
        """A line whose hash is right was written by something else."""
        for line in (b"[]", b'{"livefeed":"desk","format":1,"decision":{"kind":"other"}}', b'{"livefeed":"journal"}'):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(b"%b %b\n" % (version_of(line).encode(), line))
            with self.assertRaises(DeskError) as caught:
                self.file.read()
            self.assertTrue(caught.exception.is_damaged)

    def test_later_members(self) -> None:
        """A later release may add some."""
        line = b'{"livefeed":"desk","format":1,"decision":null,"released":{},"shown":null,"more":[1]}'
        self.path.parent.mkdir(parents=True)
        self.path.write_bytes(b"%b %b\n" % (version_of(line).encode(), line))
        self.assertEqual(self.file.read(), DeskRecord())

    def test_newer_format(self) -> None:
        """It is refused with the way out, and left as it is."""
        line = b'{"livefeed":"desk","format":2,"all":"new"}'
        data = b"%b %b\n" % (version_of(line).encode(), line)
        self.path.parent.mkdir(parents=True)
        self.path.write_bytes(data)
        with self.assertRaises(DeskError) as caught:
            self.file.read()
        self.assertFalse(caught.exception.is_damaged)
        self.assertIn("has format 2", str(caught.exception))
        self.assertEqual(self.path.read_bytes(), data)

    def test_unreadable(self) -> None:
        """The message names the file and the reason."""
        self.path.mkdir(parents=True)
        with self.assertRaises(DeskError) as caught:
            self.file.read()
        self.assertEqual(str(caught.exception), f"{self.path}: Is a directory")
        self.assertFalse(caught.exception.is_damaged)

    def test_size(self) -> None:
        """No more is read than there can be."""
        self.file.write(RECORD)
        self.patch(desk_file, "MAX_FILE_BYTES", 10)
        with self.assertRaises(DeskError):
            self.file.read()

    def test_full_disk(self) -> None:
        """The record before stays, unless only the folder was not written: the caller puts it back then."""
        self.file.write(DeskRecord(DECISION))
        for call in ("open", "truncate", "write", "sync", "rename", "sync_folder"):
            self.file.files = RefusingFiles({call: 28}, written=5)
            with self.assertRaises(OSError):
                self.file.write(RECORD)
            expected = RECORD if call == "sync_folder" else DeskRecord(DECISION)
            self.assertEqual(self.file.read(), expected, call)

    def test_loss_of_power(self) -> None:
        """At any time, the disk has one of the two records; the new one from the end of the write on."""
        files = RecordingFiles()
        self.file.files = files
        records = [DeskRecord(), RECORD, DeskRecord(DECISION), DeskRecord(None, {}, SHOWN)]
        disk, done = Disk(), 0
        for before, after in pairwise(records):
            self.file.write(after)
            while done < len(files.calls):
                for image in disk.images():
                    self.assertIn(self.read(image), (before, after))
                disk.do(files.calls[done])
                done += 1
            for image in disk.images():
                self.assertEqual(self.read(image), after)

    def read(self, image: dict[str, bytes]) -> DeskRecord:
        """Gives the record in the files that the disk has."""
        path = new_folder(self)
        if "results.desk" in image:
            path.write_bytes(image["results.desk"])
        return DeskFile(path).read()
