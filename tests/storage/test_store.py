"""The file of the embedded store: every answered write survives a loss of power at any moment."""

from __future__ import annotations

import errno
import os
import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.snapshot import version_of
from livefeed.exceptions import StoreError
from livefeed.storage import store as module
from livefeed.storage.files import SystemFiles
from livefeed.storage.store import MAX_WRITES, UNCHANGED, Marked, Outcome, Store, Unchanged, View
from tests.helpers.crashing_files import Disk, RecordingFiles, RefusingFiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.storage.files import Files


def put(data: bytes | None) -> Callable[[View], bytes | None]:
    """Gives the edit that stores a document."""
    return lambda _: data


class StoreTestCase(SynchronousTestCase):
    """A store in a folder of its own."""

    def setUp(self) -> None:
        self.folder = self.new_folder()
        self.path = self.folder / "feed.store"
        self.times = count(1_700_000_000)

    def new_folder(self) -> Path:
        """Gives a folder that does not exist, and is removed at the end."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        return Path(directory.name) / "state"

    def make(self, files: Files | None = None, path: Path | None = None) -> Store:
        """Makes a store that is open."""
        store = Store(path or self.path, lambda: float(next(self.times)), files or RecordingFiles())
        store.open()
        self.addCleanup(store.close)
        return store

    def documents(self, store: Store) -> list[bytes]:
        """Gives the kept documents; an empty one for a deletion."""
        found: list[bytes] = []

        def look(view: View) -> Unchanged:
            found.extend(view.read(each) if each.version else b"" for each in store.kept)
            return UNCHANGED

        self.assertIsInstance(store.commit([look])[0], Outcome)
        return found


class CommitTests(StoreTestCase):
    """Writes and their order."""

    def test_stored_documents_are_there_after_a_restart(self) -> None:
        """The newest one counts, and those before it are kept with their times and numbers."""
        store = self.make()
        self.assertIsNone(store.newest)
        first, _, third = store.commit([put(b"1"), put(b"2"), put(b"3")])
        assert isinstance(first, Outcome)
        assert isinstance(third, Outcome)
        self.assertIsNone(first.before)
        self.assertEqual(third.after, store.newest)
        store.commit([put(b'{"a":\n 4}')])
        store.close()
        again = self.make()
        self.assertEqual(again.newest, store.newest)
        self.assertEqual(self.documents(again), [b"1", b"2", b"3", b'{"a":\n 4}'])
        self.assertEqual([each.number for each in again.kept], [1, 2, 3, 4])
        self.assertEqual(again.kept[0].version, version_of(b"1"))
        self.assertEqual(again.kept[0].at, 1_700_000_000)

    def test_each_edit_sees_those_before_it(self) -> None:
        """So a condition holds for the document that is replaced, also within one commit."""
        store = self.make()

        def more(view: View) -> bytes:
            return (view.document or b"") + b"1"

        def refuse(_: View) -> None:
            raise KeyError("no")

        outcomes = store.commit([more, refuse, more, lambda _: UNCHANGED])
        self.assertIsInstance(outcomes[1], KeyError)
        assert isinstance(outcomes[3], Outcome)
        self.assertIs(outcomes[3].before, outcomes[3].after)
        self.assertEqual(self.documents(store), [b"1", b"11"])

    def test_marks(self) -> None:
        """The writer of a marked write finds it again, also after a restart; the others have no mark."""
        store = self.make()
        store.commit([lambda _: Marked(b"1", "0a1b"), put(b"2"), lambda _: Marked(b"3", "2c3d")])
        for _ in range(2):
            self.assertEqual([each.mark for each in store.kept], ["0a1b", "", "2c3d"])
            assert store.newest is not None
            self.assertEqual((store.newest.mark, self.documents(store)), ("2c3d", [b"1", b"2", b"3"]))
            store = self.reopened(store)

    def test_deletion(self) -> None:
        """The newest write is then without a document, also after a restart; those before it are kept."""
        store = self.make()
        store.commit([put(b"1"), put(None)])
        for _ in range(2):
            assert store.newest is not None
            self.assertIsNone(store.newest.data)
            self.assertEqual(self.documents(store), [b"1", b""])
            store = self.reopened(store)

    def reopened(self, store: Store) -> Store:
        store.close()
        return self.make()

    def test_bounded_number(self) -> None:
        """The oldest writes are forgotten, and the file does not grow with each write."""
        self.patch(module, "SLACK_BYTES", 100)
        store = self.make()
        for number in range(3 * MAX_WRITES):
            store.commit([put(b"%d" % number)])
        self.assertEqual(len(store.kept), MAX_WRITES)
        record_bytes = store.kept[-1].size
        self.assertLess(self.path.stat().st_size, 3 * MAX_WRITES * record_bytes)
        again = self.reopened(store)
        self.assertEqual(self.documents(again), [b"%d" % number for number in range(2 * MAX_WRITES, 3 * MAX_WRITES)])
        self.assertEqual([*self.folder.glob("*.new")], [])

    def test_bounded_bytes(self) -> None:
        """Large documents are kept for as long as there is room. The newest one is always kept."""
        self.patch(module, "MAX_KEPT_BYTES", 1000)
        store = self.make()
        for number in range(10):
            store.commit([put(b"%d" % number * 300)])
        self.assertEqual(len(store.kept), 3)
        store.commit([put(b"7" * 5000)])
        self.assertEqual(store.kept[-1].bytes, 5000)
        self.assertEqual(self.reopened(store).newest, store.newest)

    def test_lock(self) -> None:
        """Two processes never write to one store."""
        store = self.make()
        with self.assertRaisesRegex(StoreError, "feed.store: another process uses this store"):
            self.make()
        store.close()
        self.assertTrue(self.make().is_open)

    def test_private(self) -> None:
        """Other users may read neither the file nor its folder."""
        self.make(SystemFiles()).commit([put(b"1")])
        self.assertEqual((self.path.stat().st_mode & 0o777, self.folder.stat().st_mode & 0o777), (0o600, 0o700))


class CrashTests(StoreTestCase):
    """A loss of power after each call of the system."""

    def losses(self, files: RecordingFiles) -> list[str]:
        """Runs a store with all kinds of writes, and gives the answered writes that some crash has lost."""
        self.patch(module, "GROWTH", 0)
        store = self.make(files)
        answered: dict[int, list[tuple[int, bytes | None]]] = {}  # by the number of calls when they were answered
        attempted: set[tuple[int, bytes | None]] = set()
        number = 0
        for batch in ((b"1",), (b"2", b'{"a": [2, 3]}', b"4"), (None,), (b"5" * 300,), (b"6",), (b"7", b"8"), (b"9",)):
            written = [(number + index, each) for index, each in enumerate(batch, 1)]
            number += len(batch)
            attempted.update(written)
            self.patch(module, "SLACK_BYTES", 0 if number in (5, 8) else 10_000)  # whether a new file is made
            outcomes = store.commit([put(each) for each in batch])
            self.assertTrue(all(isinstance(each, Outcome) for each in outcomes))
            answered[len(files.calls)] = written
        self.assertIn("rename", {call[0] for call in files.calls})
        store.close()
        disk, certain, lost = Disk(), set[tuple[int, bytes | None]](), list[str]()
        known: dict[frozenset[tuple[str, bytes]], set[tuple[int, bytes | None]]] = {}
        for position, call in enumerate(files.calls, 1):
            disk.do(call)
            certain.update(answered.get(position, ()))
            for image in disk.images():
                key = frozenset(image.items())
                found = known[key] if key in known else self.found_in(image)
                known[key] = found
                if found - attempted or certain - found:
                    lost.append(f"after {position} {call[0]}: {certain - found} lost, {found - attempted} invented")
        return lost

    def found_in(self, image: dict[str, bytes]) -> set[tuple[int, bytes | None]]:
        """Starts with what a crash has left, and gives the writes that are there."""
        folder = self.new_folder()
        folder.mkdir()
        for name, data in image.items():
            (folder / name).write_bytes(data)
        store = self.make(RecordingFiles(), folder / "feed.store")
        found = {
            (each.number, document or None) for each, document in zip(store.kept, self.documents(store), strict=True)
        }
        self.assertEqual(store.damaged, None)
        # It goes on, and nothing of that is lost either.
        self.assertIsInstance(store.commit([put(b"new")])[0], Outcome)
        store.close()
        again = self.make(RecordingFiles(), folder / "feed.store")
        assert again.newest is not None
        self.assertEqual((again.newest.data, len(again.kept)), (b"new", len(found) + 1))
        again.close()
        return found

    def test_no_crash_loses_an_answered_write(self) -> None:
        """After each call, with what was not synced dropped, torn, reordered or zero. Others are whole or gone."""
        self.assertEqual(self.losses(RecordingFiles()), [])

    def test_a_missing_sync_is_found(self) -> None:
        """The model itself is worth something: without either kind of sync, it loses answered writes."""

        class Forgetful(RecordingFiles):
            def sync(self, fd: int) -> None:
                del fd

        class Nameless(RecordingFiles):
            def sync_folder(self, path: Path) -> None:
                del path

        for files in (Forgetful(), Nameless()):
            self.folder = self.new_folder()
            self.path = self.folder / "feed.store"
            self.assertNotEqual(self.losses(files), [])


class DamageTests(StoreTestCase):
    """Files that are not as they were written."""

    def test_flipped_bit(self) -> None:
        """The record is left out, those behind it count, and a copy of the file is kept for the operator."""
        store = self.make()
        store.commit([put(b"1"), put(b'"second"'), put(b"3")])
        store.close()
        whole = self.path.read_bytes()
        self.path.write_bytes(whole.replace(b"second", b"Second"))
        again = self.make()
        self.assertEqual(self.documents(again), [b"1", b"3"])
        damaged = self.folder / "feed.store.damaged"
        self.assertEqual((again.damaged, damaged.read_bytes()), (damaged, whole.replace(b"second", b"Second")))
        again.commit([put(b"4")])
        again.close()
        last = self.make()
        self.assertEqual((last.damaged, self.documents(last)), (None, [b"1", b"3", b"4"]))

    def test_every_byte(self) -> None:
        """No byte can be changed, and no end cut off, so that another document is read."""
        store = self.make()
        store.commit([put(b"[1, 2]"), put(b"[3]")])
        store.close()
        whole = self.path.read_bytes()
        for position in range(len(whole)):
            for data in (whole[:position], whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]):
                self.path.write_bytes(data)
                again = self.make()
                self.assertLessEqual({*self.documents(again)}, {b"[1, 2]", b"[3]"}, position)
                again.close()
                if len(data) < len(whole):
                    self.assertIsNone(again.damaged, position)

    def test_damaged_last_record(self) -> None:
        """It is not taken for what a crash leaves: a copy of the file is kept."""
        store = self.make()
        store.commit([put(b"1"), put(b'"last"')])
        store.close()
        self.path.write_bytes(self.path.read_bytes().replace(b"last", b"lost"))
        again = self.make()
        self.assertEqual(self.documents(again), [b"1"])
        self.assertIsNotNone(again.damaged)

    def test_newer_format(self) -> None:
        """The file of a newer livefeed is neither read nor changed, at a start and at a check."""
        store = self.make()
        store.commit([put(b"1")])
        store.close()
        newer = self.path.read_bytes().replace(b'"format":1', b'"format":2')
        self.path.write_bytes(newer)
        for use in (self.make, Store(self.path, lambda: 0.0).inspect):
            with self.assertRaisesRegex(StoreError, "has format 2, of a newer livefeed"):
                use()
        self.assertEqual(self.path.read_bytes(), newer)


class RefusalTests(StoreTestCase):
    """Disks that refuse to be written to."""

    def setUp(self) -> None:
        super().setUp()
        self.files = RefusingFiles()
        self.store = self.make(self.files)
        self.store.commit([put(b"1")])

    def refused(self, *edits: Callable[[View], bytes | Unchanged | None]) -> StoreError:
        """Gives the error of the last edit."""
        outcome = self.store.commit([*edits, put(b"2")])[-1]
        assert isinstance(outcome, StoreError)
        return outcome

    def check_that_nothing_is_lost(self) -> None:
        """The document before is there, further writes work, and a restart finds just these."""
        assert self.store.newest is not None
        self.assertEqual(self.store.newest.data, b"1")
        self.files.refusals.clear()
        self.assertIsInstance(self.store.commit([put(b"3")])[0], Outcome)
        self.store.close()
        self.assertEqual(self.documents(self.make()), [b"1", b"3"])

    def test_full_disk(self) -> None:
        """The error says so, and the part of the record that had room is removed."""
        self.files.refusals["write"] = errno.ENOSPC
        self.files.written = 40
        error = self.refused()
        self.assertTrue(error.is_full)
        self.assertRegex(str(error), r"feed\.store: No space left on device")
        self.check_that_nothing_is_lost()

    def test_sync_that_fails(self) -> None:
        """The file is not trusted any more, and the next write makes another one."""
        self.files.refusals["sync"] = errno.EIO
        self.assertFalse(self.refused().is_full)
        before = self.path.stat().st_ino
        self.check_that_nothing_is_lost()
        self.assertNotEqual(self.path.stat().st_ino, before)

    def test_truncation_that_fails(self) -> None:
        """Half a record stays at the end, and the next write makes another file."""
        self.files.refusals = {"write": errno.ENOSPC, "truncate": errno.EIO}
        self.files.written = 40
        self.refused()
        self.check_that_nothing_is_lost()

    def test_new_file_that_fails(self) -> None:
        """The old file stays, at whichever step."""
        self.patch(module, "SLACK_BYTES", 0)
        self.patch(module, "GROWTH", 0)
        for step in ("open", "truncate", "write", "sync", "rename", "sync_folder"):
            self.files.refusals = {step: errno.EROFS}
            self.assertRegex(str(self.refused()), "Read-only file system", step)
        self.check_that_nothing_is_lost()

    def test_edits_that_write_nothing(self) -> None:
        """Edits that saw the document as it was are not affected."""
        self.files.refusals["write"] = errno.ENOSPC
        unchanged, written, saw_it = self.store.commit([lambda _: UNCHANGED, put(b"2"), lambda _: UNCHANGED])
        self.assertIsInstance(unchanged, Outcome)
        self.assertIsInstance(written, StoreError)
        self.assertIsInstance(saw_it, StoreError)
        self.check_that_nothing_is_lost()

    def test_places_that_cannot_be_used(self) -> None:
        """The error names the file or folder, at a start and at a check."""
        file = self.folder / "file"
        file.write_bytes(b"")
        with self.assertRaisesRegex(StoreError, "there is a file where a folder should be"):
            self.make(path=file / "feed.store")
        (self.folder / "b.store").mkdir()
        for use in (lambda: self.make(path=self.folder / "b.store"), Store(self.folder / "b.store", float).inspect):
            with self.assertRaisesRegex(StoreError, r"b\.store: Is a directory"):
                use()
        with self.assertRaisesRegex(StoreError, "Read-only file system"):
            self.make(RefusingFiles({"open": errno.EROFS}), self.folder / "c.store")
        Store(self.folder / "missing.store", float).inspect()

    def test_owner(self) -> None:
        """If another user owns the file, the error names both."""
        self.patch(os, "geteuid", lambda: 1)
        with self.assertRaisesRegex(StoreError, "it belongs to .+, and livefeed runs as .+"):
            self.make(RefusingFiles({"open": errno.EACCES}), self.path)
