"""Versions are read back complete or not at all, for any damage to the file."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed import __version__
from livefeed.document.history import VERSIONS
from livefeed.document.snapshot import Sequence
from livefeed.document.stored_version import MAX_HEAD_BYTES, NewerFormatError, StoredVersion, check_format
from livefeed.exceptions import JournalError
from livefeed.storage.journal import Journal, check_folder
from livefeed.storage.recording import Recording
from tests.helpers.earlier_records import earlier_record

MAX_BYTES = 1000


def version(number: int, size: int = 20) -> StoredVersion:
    """Gives a version with line feeds in it."""
    return StoredVersion(b'{\n"number": %d}' % number + b"\n" * size, Sequence(1700, number), 1_700_000_000.25 + number)


class JournalTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "state" / "feed.versions"

    def journal(self, max_version_bytes: int = MAX_BYTES) -> Journal:
        journal = Journal(self.path, max_version_bytes)
        self.addCleanup(journal.close)
        return journal

    def keep(self, *kept: StoredVersion) -> None:
        journal = self.journal()
        journal.open()
        for each in kept:
            journal.append(each)
        journal.close()

    def found(self) -> list[StoredVersion]:
        journal = self.journal()
        kept = journal.open()
        journal.close()
        return kept


class KeepingTests(JournalTestCase):
    def test_empty(self) -> None:
        """The folder is made, with access only for its owner."""
        self.assertEqual(self.found(), [])
        self.assertEqual(self.path.parent.stat().st_mode & 0o777, 0o700)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)

    def test_versions_come_back(self) -> None:
        """They are the same bytes, with their order and time, over any number of processes."""
        versions = [version(number) for number in range(1, 6)]
        self.keep(*versions[:3])
        self.keep(*versions[3:])
        self.assertEqual(self.found(), versions)

    def test_boot_comes_back(self) -> None:
        """The longest line is read."""
        kept = replace(version(1), sequence=Sequence(1_700_000_000_000, 10**10), at=1_700_000_000.1234567)
        kept = replace(kept, boot="0a1b2c3d-" * 4, since_boot_s=12_345_678.123456789)
        self.keep(kept)
        self.assertEqual(self.found(), [kept])

    def test_files_of_release_0_2_0(self) -> None:
        """Their bytes have no number of a format. The versions are read once, and written as a recording."""
        self.path.parent.mkdir()
        self.path.write_bytes(
            b'{"version":"f9d86028c6e0d64e225186f96acb6933","epoch":1700000000000,"number":3,"at":1700000000.25,'
            b'"bytes":8,"boot":"0a1b2c3d-0a1b-2c3d-4e5f-60718293a4b5","since_boot_s":5.5}\n{"a": 1}\n'
        )
        self.path.with_suffix(".confirmed").write_bytes(
            b'cd011616285ab693eb2a1a13fab82c83 {"version":"f9d86028c6e0d64e225186f96acb6933","epoch":1700000000000,'
            b'"number":3,"at":1700000060.25,"bytes":8,"boot":"0a1b2c3d-0a1b-2c3d-4e5f-60718293a4b5",'
            b'"since_boot_s":65.5}\n'
        )
        boot = "0a1b2c3d-0a1b-2c3d-4e5f-60718293a4b5"
        kept = StoredVersion(b'{"a": 1}', Sequence(1_700_000_000_000, 3), 1_700_000_060.25, boot, 65.5)
        self.journal().inspect()
        self.assertEqual(self.found(), [kept])
        self.assertEqual(self.found(), [kept])
        with Recording(self.path) as recording:
            self.assertEqual([entry.head.kind for entry in recording.entries()], ["beginning", "whole"])

    def test_files_of_the_release_before(self) -> None:
        """They have the format 1. A damaged one is kept aside, with the versions before the damage."""
        self.path.parent.mkdir()
        versions = [version(1), version(2)]
        earlier = b"".join(map(earlier_record, versions))
        self.path.write_bytes(earlier)
        self.assertEqual(self.found(), versions)
        self.keep(version(3))
        self.assertEqual(self.found(), [*versions, version(3)])
        self.path.write_bytes(earlier[:-30] + b"x" * 30)
        journal = self.journal()
        self.assertEqual(journal.open(), versions[:1])
        self.assertEqual(journal.damaged, self.path.with_name("feed.versions.damaged"))

    def test_a_release_before_refuses_the_file(self) -> None:
        """It reads the number of the format where it has always been, and leaves the file as it is."""
        self.keep(version(1))
        with self.path.open("rb") as file:
            error = self.assertRaises(NewerFormatError, check_format, file.readline(MAX_HEAD_BYTES))
        self.assertEqual(error.format, 2)

    def confirm(self, kept: StoredVersion) -> None:
        """Has a process confirm a version."""
        journal = self.journal()
        journal.open()
        journal.confirm(kept)
        journal.close()

    def test_confirmation_comes_back(self) -> None:
        """The newest version has its latest confirmation; the versions before keep their times."""
        versions = [version(1), version(2)]
        self.keep(*versions)
        # Longer and shorter lines are written over each other.
        for since_boot_s in (5.0, 12_345_678.123456789, 7.5):
            confirmed = replace(versions[1], at=1_700_003_600.25, boot="0a1b2c3d-" * 4, since_boot_s=since_boot_s)
            self.confirm(confirmed)
            self.assertEqual(self.found(), [versions[0], confirmed])
        self.assertEqual(self.path.with_suffix(".confirmed").stat().st_mode & 0o777, 0o600)

    def test_confirmation_of_another_version(self) -> None:
        """It is ignored, even if the bytes or the sequence are those of the newest version."""
        newest = version(3)
        self.keep(version(1), newest)
        later = replace(newest, at=1_700_009_000.0)
        for other in (
            replace(later, sequence=Sequence(1700, 1)),
            replace(later, sequence=Sequence(1699, 3)),
            replace(later, data=b"{}"),
        ):
            self.confirm(other)
            self.assertEqual(self.found()[-1], newest)
        self.confirm(later)
        self.assertEqual(self.found()[-1], later)
        self.keep(version(4))
        self.assertEqual(self.found()[1:], [later, version(4)])

    def test_confirmation_is_there_at_once(self) -> None:
        """A process that is killed has no time to close anything."""
        journal = self.journal()
        journal.open()
        journal.append(version(1))
        journal.confirm(replace(version(1), at=1_700_003_600.0))
        with self.path.with_suffix(".confirmed").open("rb") as file:
            self.assertIn(b"1700003600.0", file.readline())

    def test_damaged_confirmation(self) -> None:
        """If any byte differs, or the line is cut anywhere, the confirmation is ignored and reported."""
        self.keep(version(1))
        self.confirm(replace(version(1), at=1_700_003_600.0))
        path = self.path.with_suffix(".confirmed")
        whole = path.read_bytes()
        damaged = [whole[:end] for end in range(1, len(whole) - 1)]
        damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole) - 1)]
        for contents in (*damaged, b"\xff" * 10_000, b"\0", b"\n"):
            path.write_bytes(contents)
            journal = self.journal()
            self.assertEqual(journal.open(), [version(1)])
            self.assertEqual(journal.unconfirmed, path)
            journal.close()
        path.write_bytes(b"")
        journal = self.journal()
        self.assertEqual((journal.open(), journal.unconfirmed), ([version(1)], None))

    def test_confirmation_cannot_be_written(self) -> None:
        """It raises an OSError; a journal that is not open writes nothing."""
        journal = self.journal()
        journal.confirm(version(1))
        self.assertFalse(self.path.parent.exists())
        journal.open()
        journal.append(version(1))
        self.path.with_suffix(".confirmed").mkdir()
        self.assertRaises(OSError, journal.confirm, version(1))

    def test_they_are_there_at_once(self) -> None:
        """A process that is killed has no time to close anything."""
        journal = self.journal()
        journal.open()
        journal.append(version(1))
        copy = self.folder / "copy.versions"
        shutil.copy(self.path, copy)
        self.path = copy
        self.assertEqual(self.found(), [version(1)])

    def test_no_more_than_the_last(self) -> None:
        """The newest version is read back, and as many before it as patches are made from."""
        versions = [version(number) for number in range(1, VERSIONS + 20)]
        self.keep(*versions)
        self.assertEqual(self.found(), versions[-VERSIONS - 1 :])

    def test_large_versions_are_passed_over(self) -> None:
        """The limit may have been lowered meanwhile."""
        self.keep(version(1), version(2, 900), version(3))
        self.assertEqual([kept.sequence.number for kept in self.journal(500).open()], [1, 3])


class DamageTests(JournalTestCase):
    def test_damage_is_kept_aside(self) -> None:
        """Any damaged file is kept; an incomplete record of a killed process is no damage."""
        self.keep(version(1), version(2))
        whole = self.path.read_bytes()
        second = whole.rindex(b'{"version"') - 33
        aside = self.path.with_name("feed.versions.damaged")
        for data in (
            *(b"garbage", b"garbage\n", b"x" * 1000, b"\xff\n"),
            *(whole.replace(b'"number": 2', b'"number": 3'), whole[:-1] + b"x", b"\n" + whole),
        ):
            self.path.write_bytes(data)
            journal = self.journal()
            journal.open()
            journal.close()
            self.assertEqual((journal.damaged, aside.read_bytes()), (aside, data))
            aside.unlink()
            self.found()
            self.assertFalse(aside.exists())
        for length in (0, 1, second - 1, *range(second, len(whole) + 1)):
            self.path.write_bytes(whole[:length])
            journal = self.journal()
            journal.open()
            journal.close()
            self.assertEqual((journal.damaged, aside.exists()), (None, False), length)

    @settings(deadline=None, max_examples=60)
    @given(st.data())
    def test_cut_anywhere(self, data: st.DataObject) -> None:
        """Complete records are read back, and later ones are written after them."""
        shutil.rmtree(self.path.parent, ignore_errors=True)
        versions = [version(number) for number in range(1, 5)]
        self.keep(*versions)
        whole = self.path.read_bytes()
        end = data.draw(st.integers(0, len(whole)))
        self.path.write_bytes(whole[:end])
        found = self.found()
        ends = [at for at in range(len(whole) + 1) if whole[:at].endswith(b"\n" * 21)]
        self.assertEqual(found, versions[: sum(at <= end for at in ends)])
        self.keep(version(9))
        self.assertEqual(self.found(), [*found, version(9)])

    @settings(deadline=None, max_examples=60)
    @given(st.data())
    def test_any_byte_changed(self, data: st.DataObject) -> None:
        """No other versions are read back, nor other times."""
        shutil.rmtree(self.path.parent, ignore_errors=True)
        versions = [version(number) for number in range(1, 5)]
        self.keep(*versions)
        whole = bytearray(self.path.read_bytes())
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        self.path.write_bytes(whole)
        try:
            found = self.found()
        except JournalError:
            # The byte was the number of a format. Nothing is lost then.
            self.assertEqual(self.path.read_bytes(), whole)
            return
        self.assertEqual(found, versions[: len(found)])

    def test_another_file(self) -> None:
        """A file that is no journal is read as empty."""
        self.path.parent.mkdir()
        for content in (b"\0" * 5000, b"{}\n", b"x" * 5000, b'{"version":"","epoch":1,"number":1,"at":0,"bytes":-5}\n'):
            self.path.write_bytes(content)
            self.assertEqual(self.found(), [])


class NewerTests(JournalTestCase):
    """Files that a newer livefeed has written."""

    def assert_refused(self, path: Path, data: bytes, found: int = 3, known: int = 2) -> None:
        """Asserts that a file with some bytes is refused, and that no file changes."""
        path.write_bytes(data)
        before = {each: each.read_bytes() for each in self.path.parent.iterdir()}
        for attempt in (self.journal().open, self.journal().inspect):
            error = self.assertRaises(JournalError, attempt)
            text = f"{path}: has format {found}, of a newer livefeed, and livefeed {__version__} reads formats up to "
            self.assertTrue(str(error).startswith(f"{text}{known}; the "), error)
            self.assertIn("move the file away", str(error))
            self.assertEqual({each: each.read_bytes() for each in self.path.parent.iterdir()}, before)

    def test_newer_format(self) -> None:
        """The newer livefeed has all its versions when it is started again."""
        self.keep(version(1), version(2))
        whole = self.path.read_bytes()
        first = whole.index(b'"format":2')
        newer = whole[:first] + b'"format":3' + whole[first + 10 :]
        for data in (newer, newer[: first + 11], whole[:first] + b'"format":3,"more":"' + b"x" * 10_000):
            self.assert_refused(self.path, data)
        self.assert_refused(self.path, b'{"version":"","format":3}\n')
        self.path.write_bytes(whole)
        self.assertEqual(self.found(), [version(1), version(2)])

    def test_newer_confirmation(self) -> None:
        """It is left as it is, too."""
        self.keep(version(1))
        line = version(1).confirmation().replace(b'"format":1', b'"format":2')
        self.assert_refused(self.path.with_suffix(".confirmed"), line, 2, 1)

    def test_lock_is_free_after_a_refusal(self) -> None:
        """The newer livefeed can be started while this process still runs."""
        self.keep(version(1))
        whole = self.path.read_bytes()
        self.assert_refused(self.path, whole.replace(b'"format":2', b'"format":3'))
        self.path.write_bytes(whole)
        self.assertEqual(self.found(), [version(1)])

    def test_inspection(self) -> None:
        """It makes and changes nothing, and damage is no reason against a start."""
        self.journal().inspect()
        self.assertFalse(self.path.parent.exists())
        self.keep(version(1))
        self.path.write_bytes(self.path.read_bytes() + b"garbage\n")
        before = self.path.read_bytes()
        self.journal().inspect()
        self.assertEqual(self.path.read_bytes(), before)
        self.path.unlink()
        self.path.mkdir()
        self.assertRaises(JournalError, self.journal().inspect)


class TroubleTests(JournalTestCase):
    def test_two_processes(self) -> None:
        """The second one is refused, and changes nothing."""
        self.keep(version(1))
        first = self.journal()
        first.open()
        error = self.assertRaises(JournalError, self.journal().open)
        self.assertIn("another process", str(error))
        first.append(version(2))
        first.close()
        self.assertEqual(self.found(), [version(1), version(2)])

    def test_no_folder_can_be_made(self) -> None:
        """The message names the path."""
        (self.folder / "state").write_bytes(b"")
        error = self.assertRaises(JournalError, self.journal().open)
        self.assertEqual(str(error), f"{self.path.parent}: there is a file where a folder should be")

    def test_folders_are_checked_before_anything_is_made(self) -> None:
        """One that is there or may be made is accepted; a file or a broken link in its place or above it is not."""
        (self.folder / "file").write_bytes(b"")
        (self.folder / "link").symlink_to("nowhere")
        for name in ("", "missing", "missing/below"):
            check_folder(self.folder / name)
        for name in ("file", "file/below", "file/below/below", "link", "link/below"):
            error = self.assertRaises(JournalError, check_folder, self.folder / name)
            self.assertEqual(str(error), f"{self.folder / name}: there is a file where a folder should be")
        self.assertEqual({each.name for each in self.folder.iterdir()}, {"file", "link"})
