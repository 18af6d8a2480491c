"""Each version and each change of state becomes a record, once."""

from __future__ import annotations

import errno
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.record_session import Session, sequence_of, time_of
from livefeed.client.update import Line, Shown, State
from livefeed.document.snapshot import Sequence
from livefeed.storage.recorder import Recorder
from livefeed.storage.recording import Recording

AT = 1_700_000_000.0
LIVE = Shown(b"[1]", "ab" * 16, "7.1", State.LIVE, Line.OPEN, "2023-11-14T22:13:20.500Z", True)


class SessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.path = folder / "night.recording"
        self.clock, self.wall, self.told = Clock(), AT, list[str]()
        self.recorder = Recorder(self.path)
        self.addCleanup(self.recorder.close)
        self.recorder.begin(AT)
        self.session = self.begin()

    def begin(self) -> Session:
        return Session(self.recorder, self.recorder.begin, self.clock.seconds, lambda: self.wall, self.told.append)

    def take(self, content: bytes | None, *, after_s: float = 1.0, **more: Any) -> None:
        self.clock.advance(after_s)
        self.session.take(replace(LIVE, content=content, **more))

    def records(self) -> list[tuple[Any, ...]]:
        with Recording(self.path) as recording:
            return [
                (entry.elapsed_s, entry.data or entry.head.kind, entry.head.state, entry.head.why)
                for entry in recording.entries()
            ][1:]

    def test_versions_and_states(self) -> None:
        """Signs of life and changes of the line alone are no records."""
        self.session.take(Shown())
        self.take(b"[1]", sequence="7.1")
        self.take(b"[1]", line=Line.POLLING)
        self.take(b"[1]", state=State.STALE, problem="no answer")
        self.take(b"[2]", sequence="7.2")
        self.take(b"[1]", sequence="7.3")
        self.take(None, state=State.WITHDRAWN, reason="wrong")
        self.take(b"[1]", state=State.UNKNOWN, unknown_state="paused")
        self.clock.advance(0.5)
        self.assertTrue(self.session.end())
        self.assertEqual(
            self.records(),
            [
                (1.0, b"[1]", "live", ""),
                (3.0, "state", "stale", "no answer"),
                (4.0, b"[2]", "live", ""),
                (5.0, b"[1]", "live", ""),
                (6.0, "state", "withdrawn", "wrong"),
                (7.0, "state", "paused", ""),
                (7.5, "end", "", ""),
            ],
        )
        self.assertEqual((self.session.written, self.session.lost, self.session.state), (3, 0, "paused"))
        with Recording(self.path) as recording:
            head = [entry.head for entry in recording.entries()][1]
        self.assertEqual((head.sequence, head.at), (Sequence(7, 1), AT + 0.5))

    def test_first_version(self) -> None:
        """The file is made with the first version: without one there is none, and no time before it counts."""
        self.recorder.close()
        self.path.unlink()
        self.recorder = Recorder(self.path)
        self.addCleanup(self.recorder.close)
        self.session = self.begin()
        self.take(None, state=State.WITHDRAWN)
        self.assertTrue(self.session.sync() and self.session.end())
        self.assertFalse(self.session.is_heard or self.path.exists())
        self.take(b"[1]")
        self.take(b"[2]")
        self.assertTrue(self.session.is_heard)
        self.assertEqual(self.records(), [(0.0, b"[1]", "live", ""), (1.0, b"[2]", "live", "")])

    def test_file_that_cannot_be_made(self) -> None:
        """The reason is kept for the command, and nothing more is tried."""
        self.recorder.close()
        self.recorder = Recorder(self.path)
        self.session = self.begin()
        self.take(b"[1]")
        self.take(b"[2]")
        self.assertIn("there is a file already", str(self.session.refusal))
        self.assertFalse(self.session.end())
        self.assertEqual(self.session.written, 0)

    def test_going_on(self) -> None:
        """The time between two sessions is that of the wall clock, and the last version is not written again."""
        self.take(b"[1]")
        self.recorder.close()
        self.recorder = Recorder(self.path)
        self.recorder.resume("")
        self.addCleanup(self.recorder.close)
        self.clock, self.wall = Clock(), AT + 101
        self.session = self.begin()
        self.take(b"[1]", after_s=0.0)
        self.take(b"[2]", after_s=0.5)
        self.assertEqual(self.records()[1:], [(101.0, "state", "live", ""), (101.5, b"[2]", "live", "")])
        self.recorder.place = replace(self.recorder.place, elapsed_s=1e9)
        self.session = self.begin()
        self.take(b"[3]", after_s=0.0)
        self.assertEqual(self.recorder.place.elapsed_s, 1e9)

    def test_full_disk(self) -> None:
        """It is told once, and once when it works again. What is lost is counted."""
        self.take(b"[1]")
        files = self.recorder.files

        class Full:
            def __getattr__(self, name: str) -> Any:
                return getattr(files, name)

            def write(self, *_: object) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

            sync = write

        self.recorder.files = Full()  # type: ignore[assignment]
        self.take(b"[2]")
        self.take(b"[3]")
        self.take(b"[3]", state=State.STALE)
        self.assertFalse(self.session.sync())
        self.recorder.files = files
        self.assertTrue(self.session.sync())
        self.take(b"[4]")
        self.assertEqual((self.session.written, self.session.lost), (2, 3))
        first, second = self.told
        self.assertTrue(first.startswith("it cannot be written: No space left on device"))
        self.assertEqual(second, "it can be written again")
        self.assertEqual([record[:2] for record in self.records()], [(1.0, b"[1]"), (5.0, b"[4]")])

    def test_facts_of_servers(self) -> None:
        """A server may name anything."""
        for text in (None, "", "1", "a.b", "1.2.3", "-1.2", "٣.1", "1" * 19 + ".1"):
            self.assertEqual(sequence_of(text), Sequence(0, 0))
        self.assertEqual(sequence_of("1700.5"), Sequence(1700, 5))
        for text in (None, "", "soon", "0001-01-01T00:00:00+00:00"):
            self.assertEqual(time_of(text), 0.0)
        self.assertEqual(time_of("1970-01-01T00:00:05Z"), 5.0)
