"""The versions that are remembered, and the patches from them."""

from __future__ import annotations

import errno
import json
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from livefeed import history
from livefeed.history import ALL_AT_ONCE_S, AT_ONCE_BYTES, AT_ONCE_S, MAX_PATCHES, VERSIONS, History
from livefeed.patching import apply_patch
from livefeed.snapshot import Sequence, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable


def snapshot(number: int, size: int = 0) -> Snapshot:
    """Gives a version that differs from those with other numbers."""
    return Snapshot.of(b'{"number":%d.50,"rest":"%s"}' % (number, b"x" * size), Sequence(1, number))


LARGE = AT_ONCE_BYTES


class HistoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.history = History()
        self.snapshots = [snapshot(number) for number in range(VERSIONS + 5)]

    def add(self, *snapshots: Snapshot) -> None:
        for each in snapshots:
            self.history.add(each)

    def test_patch_makes_the_newest_version(self) -> None:
        """From each of the versions before."""
        self.add(*self.snapshots[:3])
        for old in self.snapshots[:2]:
            patch = self.history.patch(old.version)
            assert patch is not None
            self.assertEqual(apply_patch(old.data, patch), self.snapshots[2].data)

    def test_what_is_not_remembered_has_no_patch(self) -> None:
        """Nor have nonsense, nothing, and the newest version itself."""
        self.assertIsNone(self.history.patch("x"))
        self.add(*self.snapshots[:2])
        for version in (None, "", "x", self.snapshots[5].version, self.snapshots[1].version):
            self.assertIsNone(self.history.patch(version))

    def test_latest_of_some_versions(self) -> None:
        """Of those that are remembered; never the newest, which nobody needs a patch from."""
        self.add(*self.snapshots[:4])
        versions = [each.version for each in self.snapshots[:5]]
        self.assertEqual(self.history.latest(["x", *versions]), versions[2])
        self.assertEqual(self.history.latest(versions[1::-1]), versions[1])
        self.assertIsNone(self.history.latest(["x", *versions[3:]]))

    def test_patch_is_made_once(self) -> None:
        """Whoever asks; and again for the next version."""
        self.add(*self.snapshots[:2])
        first = self.history.patch(self.snapshots[0].version)
        self.assertIs(self.history.patch(self.snapshots[0].version), first)
        self.assertEqual(self.history.made, 1)
        self.add(self.snapshots[2])
        self.assertNotEqual(self.history.patch(self.snapshots[0].version), first)
        self.assertEqual(self.history.made, 2)

    def test_patches_are_limited(self) -> None:
        """Clients that name one old version after the other do not keep the server busy."""
        self.add(*self.snapshots[: MAX_PATCHES + 3])
        patches = [self.history.patch(each.version) for each in self.snapshots[: MAX_PATCHES + 2]]
        self.assertEqual([patch is not None for patch in patches], [True] * MAX_PATCHES + [False] * 2)
        self.assertEqual(self.history.made, MAX_PATCHES)
        self.assertIsNotNone(self.history.patch(self.snapshots[0].version))

    def test_bytes_that_are_read_for_patches_are_limited(self) -> None:
        """Large documents have fewer of them."""
        self.patch(history, "MAX_READ_BYTES", 2500)
        self.add(*(snapshot(number, 1000) for number in range(6)))
        patches = [self.history.patch(snapshot(number, 1000).version) for number in range(5)]
        self.assertEqual([patch is not None for patch in patches], [True] * 3 + [False] * 2)

    def test_old_versions_are_forgotten(self) -> None:
        """The newest and so many before it are remembered."""
        self.add(*self.snapshots)
        before = self.snapshots[:-1]
        remembered = [each.version in self.history._versions for each in before]
        self.assertEqual(remembered, [False] * 4 + [True] * VERSIONS)

    def test_large_versions_are_forgotten_sooner(self) -> None:
        """Their bytes are limited, too."""
        self.patch(history, "MAX_BYTES", 5000)
        self.add(*(snapshot(number, 1000) for number in range(10)))
        self.assertEqual(len(self.history._versions), 4)
        self.assertLessEqual(self.history._bytes, 5000)

    def test_version_that_comes_back(self) -> None:
        """A document may become what it was before; it is the newest then, and not its own past."""
        one, other = self.snapshots[:2]
        again = Snapshot.of(one.data, Sequence(1, 3))
        self.add(one, other, again)
        self.assertIsNone(self.history.patch(again.version))
        patch = self.history.patch(other.version)
        assert patch is not None
        self.assertEqual(apply_patch(other.data, patch), one.data)
        self.assertEqual(self.history._bytes, len(other.data))


class ThreadTests(SynchronousTestCase):
    """Patches of documents that take too long to be compared in the reactor's thread."""

    def setUp(self) -> None:
        self.work: list[tuple[Callable[[], object], Deferred[Any]]] = []
        self.history = History(in_thread=self.in_thread)
        self.snapshots = [snapshot(number, LARGE) for number in range(5)]
        self.now_s, self.took_s = 0.0, 0.0

    def in_thread(self, work: Callable[..., object], *arguments: Any) -> Deferred[Any]:
        self.work.append((partial(work, *arguments), Deferred()))
        return self.work[-1][1]

    def finish(self) -> None:
        ((work, outcome),) = self.work
        self.work.clear()
        outcome.callback(work())

    def applied(self, old: Snapshot) -> bytes:
        patch = self.history.patch(old.version)
        assert patch is not None
        return apply_patch(old.data, patch)

    def test_patch_on_demand(self) -> None:
        """It is there for the next who asks; one at a time is made."""
        for each in self.snapshots[:3]:
            self.history.add(each)
        for each in self.snapshots[:2]:
            self.assertIsNone(self.history.patch(each.version))
        self.finish()
        self.assertEqual(self.applied(self.snapshots[0]), self.snapshots[2].data)
        self.assertIsNone(self.history.patch(self.snapshots[1].version))
        self.finish()
        self.assertEqual(self.applied(self.snapshots[1]), self.snapshots[2].data)
        self.assertEqual(self.history.made, 2)

    def test_small_documents_that_take_long(self) -> None:
        """They are left to the thread once the time of one is over, and all when that of the version is."""
        self.history = History(in_thread=self.in_thread, timer=self.count)
        small = [
            Snapshot.of(b"[%s]" % b",".join(b"[%d]" % (n * k) for n in range(30)), Sequence(1, k)) for k in (1, 2, 3, 4)
        ]
        for each in small[:3]:
            self.history.add(each)
        self.took_s = AT_ONCE_S / 10
        self.assertIsNone(self.history.patch(small[0].version))
        # A tenth of it a call, so that it was asked for about so often.
        self.assertLess(self.now_s, AT_ONCE_S * 2)
        self.finish()
        self.assertEqual(self.applied(small[0]), small[2].data)
        # This one takes no time, and the version has some left.
        self.took_s = 0.0
        self.assertEqual(self.applied(small[1]), small[2].data)
        self.history.add(small[3])
        self.took_s = AT_ONCE_S / 10
        while self.history.allowance.left_s > 0:
            self.history._patches.clear()
            self.assertIsNone(self.history.patch(small[0].version))
            self.work.clear()
            self.history._is_making = False
        self.assertLess(self.now_s, 2 * ALL_AT_ONCE_S)
        self.took_s = 0.0
        self.assertIsNone(self.history.patch(small[2].version))
        self.finish()
        self.assertEqual(self.applied(small[2]), small[3].data)
        # The next version has as much again.
        self.history.add(small[0])
        self.assertEqual(self.applied(small[3]), small[0].data)
        self.assertEqual(self.work, [])

    def count(self) -> float:
        self.now_s += self.took_s
        return self.now_s

    def test_patch_that_comes_too_late(self) -> None:
        """It makes no version that is the newest any more."""
        self.history.add(self.snapshots[0])
        self.history.add(self.snapshots[1])
        self.assertIsNone(self.history.patch(self.snapshots[0].version))
        self.history.add(self.snapshots[2])
        self.finish()
        self.assertIsNone(self.history.patch(self.snapshots[0].version))
        self.finish()
        self.assertEqual(self.applied(self.snapshots[0]), self.snapshots[2].data)

    def test_patch_that_is_made_before(self) -> None:
        """Only once somebody has asked for one, and for as long as somebody does."""
        one, other, third, fourth, fifth = self.snapshots
        self.history.add(one)
        self.history.add(other)
        self.assertIsNone(self.history.preparation(third.data))
        self.assertIsNone(self.history.patch(one.version))
        self.work.clear()
        preparation = self.history.preparation(third.data)
        assert preparation is not None
        self.history.prepare(third, preparation())
        self.history.add(third)
        self.assertEqual(self.applied(other), third.data)
        self.assertIsNotNone(self.history.preparation(fourth.data))
        self.history.add(fourth)
        self.assertIsNone(self.history.preparation(fifth.data))

    def test_patch_to_another_version(self) -> None:
        """What was prepared for a version that was not published is thrown away."""
        one, other, third, *_ = self.snapshots
        self.history.add(one)
        self.history.prepare(other, b"[]")
        self.history.add(third)
        self.assertIsNone(self.history.patch(one.version))

    def test_no_thread(self) -> None:
        """The document is sent, and the next who asks tries again."""
        self.history.in_thread = self.no_thread
        self.history.add(self.snapshots[0])
        self.history.add(self.snapshots[1])
        self.assertIsNone(self.history.patch(self.snapshots[0].version))
        self.history.in_thread = self.in_thread
        self.assertIsNone(self.history.patch(self.snapshots[0].version))
        self.finish()
        self.assertEqual(self.applied(self.snapshots[0]), self.snapshots[1].data)

    @staticmethod
    def no_thread(work: Callable[..., object], *arguments: Any) -> Deferred[Any]:
        raise OSError(errno.EAGAIN, "can't start new thread")

    def test_limit_of_documents(self) -> None:
        """Of larger ones there are none, nor of their parts; a default limit takes 1 MB."""
        for limit, wanted in ((len(self.snapshots[0].data), True), (len(self.snapshots[0].data) - 1, False)):
            whole = History(max_document_bytes=limit)
            for each in (whole, History(whole)):
                each.add(self.snapshots[0])
                each.add(self.snapshots[1])
                self.assertEqual(each.patch(self.snapshots[0].version) is not None, wanted)
                self.assertEqual(each.preparation(self.snapshots[2].data) is not None, wanted)
        self.assertEqual(History().max_document_bytes, 1024 * 1024)

    def test_time_is_limited(self) -> None:
        """What takes longer is no patch but the whole."""
        self.patch(history, "MAX_DIFF_S", -1)
        self.history.add(self.snapshots[0])
        self.history.add(self.snapshots[1])
        self.history.patch(self.snapshots[0].version)
        self.finish()
        patch = self.history.patch(self.snapshots[0].version)
        assert patch is not None
        self.assertEqual([each["path"] for each in json.loads(patch)], [""])
