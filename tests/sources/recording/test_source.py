"""A recording is played in its order, with no version left out."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import CommandError, ConfigurationError, EndedError, SourceError
from livefeed.sources import make_source, split_url
from livefeed.sources.recording import RecordingSource
from livefeed.storage.recorder import Recorder

AT = 1_700_000_000.0


def document(number: int) -> bytes:
    return b'{"text": "a document with some text in it, so that splices are shorter", "votes": %d}' % number


class SourceTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.path = folder / "night #1.recording"
        recorder = Recorder(self.path)
        recorder.begin(AT)
        for number in range(1, 101):
            recorder.append(document(number), 2.0)
        recorder.end(3.0)
        self.clock = Clock()
        self.changes: list[float] = []
        self.in_thread: Any = maybeDeferred

    def make(self, query: str = "", max_bytes: int = 1000) -> RecordingSource:
        url = f"recording:{quote(str(self.path))}{query}"
        source = RecordingSource.from_url(split_url(url), reactor=self.clock, max_bytes=max_bytes)
        source.in_thread = self.call_thread
        source.watch(lambda: self.changes.append(self.clock.seconds()))
        self.addCleanup(source.close)
        return source

    def call_thread(self, *call: Any) -> Any:
        return self.in_thread(*call)

    def fetch(self, source: RecordingSource) -> bytes | None:
        """Gives the result of a pull that does not wait."""
        return self.successResultOf(Deferred.fromCoroutine(source.fetch()))

    def assert_fails(self, source: RecordingSource, kind: type[Exception], why: str) -> None:
        failure = self.failureResultOf(Deferred.fromCoroutine(source.fetch()), kind)
        self.assertRegex(str(failure.value), why)


class PlayingTests(SourceTestCase):
    def test_versions_at_their_times(self) -> None:
        """The first one at once, and each other one when it is due: the source asks for a pull then."""
        source = self.make("?speed=4")
        self.assertEqual(self.fetch(source), document(1))
        self.assertIsNone(self.fetch(source))
        self.clock.advance(0.25)
        self.assertIsNone(self.fetch(source))
        self.assertEqual(self.changes, [])
        self.clock.advance(0.25)
        self.assertEqual(self.changes, [0.5])
        self.assertEqual(self.fetch(source), document(2))
        self.assertEqual(str(source), f"recording:{self.path}")

    def test_none_is_left_out(self) -> None:
        """If several are due, each pull gives one, and the next pull is asked for at once."""
        source = self.make("?speed=1000")
        found = [self.fetch(source)]
        while len(found) < 100:
            self.clock.advance(0.02)
            self.assertEqual(len(self.changes), len(found))
            found.append(self.fetch(source))
        self.assertEqual(found, [document(number) for number in range(1, 101)])
        self.clock.advance(0.02)
        self.assert_fails(source, EndedError, "the recording has ended")

    def test_end(self) -> None:
        """The last version stays until the recording ends; then no more pulls are asked for."""
        source = self.make("?at=199s")
        self.assertEqual(self.fetch(source), document(99))
        self.clock.advance(1)
        self.assertEqual(self.fetch(source), document(100))
        self.assertIsNone(self.fetch(source))
        self.clock.advance(3)
        self.assertEqual(self.changes, [1.0, 4.0])
        for _ in range(2):
            self.assert_fails(source, EndedError, "the recording has ended")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(source.report()["playing"], "ended")
        self.assertEqual(source.report()["position_s"], 203)
        self.successResultOf(Deferred.fromCoroutine(source.seek("20s")))
        self.assertEqual(self.changes, [1.0, 4.0, 4.0])
        self.assertEqual(self.fetch(source), document(10))

    def test_again(self) -> None:
        """With loop=true there is no end."""
        source = self.make("?at=199s&loop=true")
        found = []
        for _ in range(5):
            found.append(self.fetch(source))
            self.clock.advance(4)
        self.assertEqual(
            [each for each in found if each], [document(99), document(100), document(99), document(100), document(99)]
        )
        self.assertEqual(source.report()["position_s"], 198)

    def test_refused_files(self) -> None:
        """The pull fails with the reason, and works as soon as the file does."""
        whole = self.path.read_bytes()
        self.path.unlink()
        source = self.make()
        self.assertEqual(source.report()["playing"], "not yet")
        self.assert_fails(source, SourceError, "^No such file")
        self.path.write_bytes(whole[:-40] + b"x" + whole[-39:])
        self.assert_fails(source, SourceError, "^is damaged in the record at byte")
        self.failureResultOf(Deferred.fromCoroutine(source.seek("1s")), CommandError)
        self.path.write_bytes(whole)
        self.assertEqual(self.fetch(source), document(1))
        self.assert_fails(self.make(max_bytes=20), SourceError, "^version 1 has 84 bytes")
        recorder = Recorder(self.path.with_name("empty"))
        recorder.begin(AT)
        recorder.end(5.0)
        self.path = recorder.path
        self.assert_fails(self.make(), SourceError, "has no versions")

    def test_no_threads(self) -> None:
        """The pull fails, or reading ahead is left to the next pull."""

        def refuse(*_: object) -> None:
            raise OSError(11, "can't start new thread")

        source = self.make()
        self.in_thread = refuse
        self.assert_fails(source, SourceError, "can't start new thread")
        self.in_thread = maybeDeferred
        self.assertEqual(self.fetch(source), document(1))
        self.in_thread = refuse
        for number in range(2, 65):
            self.clock.advance(2)
            self.assertEqual(self.fetch(source), document(number))
        self.clock.advance(2)
        self.assert_fails(source, SourceError, "can't start new thread")
        self.in_thread = maybeDeferred
        self.assertEqual(self.fetch(source), document(65))

    def test_close(self) -> None:
        """Nothing is scheduled any more."""
        source = self.make()
        self.fetch(source)
        source.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        source._note_due()
        self.assertEqual(self.changes, [])


class CommandTests(SourceTestCase):
    def test_pause(self) -> None:
        """Nothing is due until it goes on."""
        source = self.make()
        self.fetch(source)
        self.clock.advance(1.5)
        source.pause()
        self.clock.advance(100)
        self.assertEqual((self.fetch(source), self.changes), (None, []))
        self.assertEqual((source.report()["playing"], source.report()["position_s"]), ("paused", 3.5))
        source.resume()
        self.clock.advance(0.5)
        self.assertEqual((self.fetch(source), len(self.changes)), (document(2), 1))
        self.assertEqual(source.report()["playing"], "playing")

    def test_speed(self) -> None:
        """It changes while the recording is played."""
        source = self.make()
        self.fetch(source)
        source.change_speed("2")
        self.clock.advance(1)
        self.assertEqual(self.fetch(source), document(2))
        for text in ("0", "-1", "nan", "inf", "fast", "1001"):
            with self.assertRaisesRegex(CommandError, r"a number from 0.01 to 1000"):
                source.change_speed(text)

    def test_seek(self) -> None:
        """Forwards and backwards, also during a pause; the version is shown at once."""
        source = self.make()
        self.fetch(source)
        source.pause()
        for text, number in (("151s", 75), ("4s", 2), ("end", 100), ("start", 1)):
            self.changes.clear()
            self.successResultOf(Deferred.fromCoroutine(source.seek(text)))
            self.assertEqual(len(self.changes), 1)
            if text == "start":
                # The recording begins with 2 s without a version.
                self.assertIsNone(self.fetch(source))
                source.resume()
                self.clock.advance(2)
            self.assertEqual(self.fetch(source), document(number))
            self.assertEqual(source.report()["number"], number)
        self.failureResultOf(Deferred.fromCoroutine(source.seek("soon")), CommandError)

    def test_seek_in_a_file_that_is_damaged_now(self) -> None:
        """The command fails."""
        source = self.make()
        self.fetch(source)
        data = bytearray(self.path.read_bytes())
        data[len(data) // 2 :] = b"x" * (len(data) - len(data) // 2)
        self.path.write_bytes(data)
        failure = self.failureResultOf(Deferred.fromCoroutine(source.seek("150s")), CommandError)
        self.assertIn("is damaged", str(failure.value))


class UrlTests(SourceTestCase):
    def test_wrong_urls(self) -> None:
        """Each is refused before a file is opened."""
        for url, why in (
            ("recording:", "takes a path"),
            ("recording:/a%00b", "takes a path"),
            ("recording://host/a", "takes a path"),
            ("recording:/a#b", "write # as %23"),
            ("recording:/a?speed=0", "a speed is a number"),
            ("recording:/a?at=soon", "is no time"),
            ("recording:/a?loop=yes", "loop is true or false"),
            ("recording:/a?sped=1", "there is no parameter 'sped'"),
        ):
            with self.assertRaisesRegex(ConfigurationError, why):
                make_source(url, reactor=self.clock, max_bytes=1000)

    def test_registered(self) -> None:
        """The path may be relative, and have any characters."""
        source: Any = make_source("recording:a%23b?at=21:00", reactor=self.clock, max_bytes=1000)
        self.assertEqual((source.reading.path, source.reading.at), (Path.cwd() / "a#b", "21:00"))
