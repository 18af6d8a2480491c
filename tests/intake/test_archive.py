"""The earlier versions that can be shown again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.clocks import Moment
from livefeed.document.snapshot import Sequence, version_of
from livefeed.document.stored_version import StoredVersion
from livefeed.exceptions import CommandError
from livefeed.feed.feed import Feed
from livefeed.intake.archive import Archive, Found
from livefeed.testing import publish

if TYPE_CHECKING:
    from collections.abc import Sequence as Several


class ArchiveTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.feed = Feed("results", clock=self.clock)
        self.archive = Archive(self.feed, lambda: Moment(self.clock.seconds(), self.clock.seconds()))

    def show(self, *documents: bytes) -> None:
        for each in documents:
            publish(self.feed, each)
            assert self.feed.snapshot is not None
            self.archive.note(self.feed.snapshot)

    def find(self, name: str) -> Found:
        return self.successResultOf(Deferred.fromCoroutine(self.archive.find(name)))

    def refused(self, name: str) -> str:
        return str(self.failureResultOf(Deferred.fromCoroutine(self.archive.find(name)), CommandError).value)

    def test_recent(self) -> None:
        """Each version is there once, the newest first; repetitions are one."""
        self.show(b"1", b"2", b"2", b"1", b"3")
        self.assertEqual(
            [each.version for each in self.archive.recent()], [version_of(each) for each in (b"3", b"1", b"2")]
        )

    def test_before(self) -> None:
        """It is the one that was shown before, also of a version that was shown twice."""
        self.show(b"1", b"2", b"3", b"2")
        self.assertEqual(self.archive.before(version_of(b"2")).data, b"3")
        self.assertEqual(self.archive.before(version_of(b"3")).data, b"2")
        # One that was chosen from elsewhere.
        self.assertEqual(self.archive.before("f" * 32).data, b"2")
        with self.assertRaises(CommandError):
            self.archive.before(version_of(b"1"))

    def test_gone_back(self) -> None:
        """To go back never leads to a version from which somebody has gone back, unless that was taken back."""
        self.show(b"1", b"2", b"0")
        self.archive.choose(version_of(b"2"))
        self.show(b"3", b"3")
        found = self.archive.before(version_of(b"3"))
        self.assertEqual((found.data, found.passed), (b"2", 1))
        self.archive.choose(version_of(b"2"))
        self.assertEqual(self.archive.before(version_of(b"2")).data, b"1")
        # All can be chosen by name.
        self.assertEqual(len(self.archive.recent()), 4)
        # The choice is taken back.
        self.show(b"3")
        self.assertEqual(self.archive.before(version_of(b"3")).data, b"0")
        # One from elsewhere.
        self.archive.choose("f" * 32)
        self.assertEqual(self.archive.before("f" * 32).data, b"3")

    def test_gone_back_before_a_restart(self) -> None:
        """The zeros are passed over, also after a restart: the good version is in the file twice."""
        versions = [
            StoredVersion(data, Sequence(1, place), 900.0) for place, data in enumerate((b"1", b"2", b"0", b"2"))
        ]
        self.feed.restore(versions)
        self.archive.recall(versions)
        self.assertEqual(self.archive.before(version_of(b"2")).data, b"1")

    def test_before_a_version_that_is_not_kept(self) -> None:
        """It is passed over: its document has gone."""
        self.archive.recall([StoredVersion(b"0", Sequence(1, 1), 900.0)])
        self.show(b"1")
        self.assertEqual(self.archive.recent()[0].version, version_of(b"1"))
        with self.assertRaisesRegex(CommandError, "no earlier version"):
            self.archive.before(version_of(b"1"))

    def test_earlier_process(self) -> None:
        """Its versions come first, with their times."""
        versions = [StoredVersion(b"%d" % number, Sequence(1, number), 900.0 + number) for number in (1, 2)]
        self.feed.restore(versions)
        self.archive.recall(versions)
        self.show(b"3")
        self.assertEqual([each.sequence for each in self.archive.recent()][1:], ["1.2", "1.1"])
        self.assertEqual(self.archive.before(version_of(b"2")).at, Moment(901.0, 901.0, by_wall=True))

    def test_find(self) -> None:
        """A version, its beginning and its sequence name it."""
        self.show(b"1", b"2")
        (second, first) = self.archive.recent()
        for name in (first.version, first.version[:6], first.sequence):
            self.assertEqual(self.find(name).data, b"1")
        self.assertEqual(self.find(second.version).data, b"2")
        self.assertIn("give 6", self.refused("12345"))
        self.assertIn("there is no version 1234567", self.refused("1234567"))
        self.assertIn("a version is missing: `livefeed ctl pin results VERSION`", self.refused("results"))

    def test_elsewhere(self) -> None:
        """Other places are asked; a name that fits several versions is refused."""
        now = Moment(1.0, 1.0)
        versions = [Found("abcdef" + "0" * 26, b"1", now), Found("abcdef" + "1" * 26, b"2", now)]

        class Place:
            async def find(self, name: str) -> Several[Found]:
                return [each for each in versions if each.version.startswith(name)]

        self.archive.others = (Place(), Place())
        self.assertEqual(self.find("abcdef1").data, b"2")
        self.assertIn("2 versions begin", self.refused("abcdef"))
