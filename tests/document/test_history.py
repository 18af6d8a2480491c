"""The versions that are kept, and the patches from them."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document import history
from livefeed.document.exact_json import parse
from livefeed.document.history import ALL_AT_ONCE_S, AT_ONCE_BYTES, AT_ONCE_S, MAX_DELTAS, VERSIONS, DeltaForm, History
from livefeed.document.patch import apply_patch
from livefeed.document.snapshot import Sequence, Snapshot
from livefeed.document.splices import apply_splices
from tests.helpers.threads import Threads, no_thread


def snapshot(number: int, size: int = 0) -> Snapshot:
    """Gives a version that differs from versions with other numbers."""
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
        """There is a patch from each of the versions before."""
        self.add(*self.snapshots[:3])
        for old in self.snapshots[:2]:
            patch = self.history.delta(DeltaForm.PATCH, old.version)
            assert patch is not None
            self.assertEqual(apply_patch(old.data, patch), self.snapshots[2].data)

    def test_what_is_not_remembered_has_no_patch(self) -> None:
        """Nor have malformed versions, no version, and the newest version."""
        self.assertIsNone(self.history.delta(DeltaForm.PATCH, "x"))
        self.add(*self.snapshots[:2])
        for version in (None, "", "x", self.snapshots[5].version, self.snapshots[1].version):
            self.assertIsNone(self.history.delta(DeltaForm.PATCH, version))

    def test_latest_of_some_versions(self) -> None:
        """It is one of the versions that are kept, and never the newest, which needs no patch."""
        self.add(*self.snapshots[:4])
        versions = [each.version for each in self.snapshots[:5]]
        self.assertEqual(self.history.latest(["x", *versions]), versions[2])
        self.assertEqual(self.history.latest(versions[1::-1]), versions[1])
        self.assertIsNone(self.history.latest(["x", *versions[3:]]))

    def test_patch_is_made_once(self) -> None:
        """It is made once for all clients, and again for the next version."""
        self.add(*self.snapshots[:2])
        first = self.history.delta(DeltaForm.PATCH, self.snapshots[0].version)
        self.assertIs(self.history.delta(DeltaForm.PATCH, self.snapshots[0].version), first)
        self.assertEqual(self.history.made, 1)
        self.add(self.snapshots[2])
        self.assertNotEqual(self.history.delta(DeltaForm.PATCH, self.snapshots[0].version), first)
        self.assertEqual(self.history.made, 2)

    def test_patches_are_limited(self) -> None:
        """Clients that name one old version after another do not keep the server busy."""
        self.add(*self.snapshots[: MAX_DELTAS + 3])
        patches = [self.history.delta(DeltaForm.PATCH, each.version) for each in self.snapshots[: MAX_DELTAS + 2]]
        self.assertEqual([patch is not None for patch in patches], [True] * MAX_DELTAS + [False] * 2)
        self.assertEqual(self.history.made, MAX_DELTAS)
        self.assertIsNotNone(self.history.delta(DeltaForm.PATCH, self.snapshots[0].version))

    def test_bytes_that_are_read_for_patches_are_limited(self) -> None:
        """Large documents have fewer of them."""
        self.patch(history, "MAX_READ_BYTES", 2500)
        self.add(*(snapshot(number, 1000) for number in range(6)))
        patches = [self.history.delta(DeltaForm.PATCH, snapshot(number, 1000).version) for number in range(5)]
        self.assertEqual([patch is not None for patch in patches], [True] * 3 + [False] * 2)

    def test_old_versions_are_forgotten(self) -> None:
        """The newest version and a number before it are kept."""
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

    def test_versions_may_fill_their_bytes(self) -> None:
        """The limit is exact, and forgotten versions make room."""
        size = len(snapshot(0, 1000).data)
        self.patch(history, "MAX_BYTES", 3 * size)
        for count in range(1, 7):
            self.add(snapshot(count, 1000))
            self.assertEqual(len(self.history._versions), min(count - 1, 3))
            self.assertEqual(self.history._bytes, min(count - 1, 3) * size)

    def test_versions_from_before_a_restart(self) -> None:
        """Each is kept once, at its last place, and there are patches from it."""
        one, other, newest = (snapshot(number, 100) for number in range(3))
        for each in (one, other, one):
            self.history.recall(each.data)
        self.assertEqual(self.history._bytes, len(one.data) + len(other.data))
        self.add(newest)
        self.assertEqual(self.history.latest([one.version, other.version]), one.version)
        for each in (one, other):
            patch = self.history.delta(DeltaForm.PATCH, each.version)
            assert patch is not None
            self.assertEqual(apply_patch(each.data, patch), newest.data)

    def test_versions_that_others_have_kept(self) -> None:
        """They come before all that are kept; the newest one and those that are kept have their place already."""
        self.add(*self.snapshots[2:5])
        self.history.recall_before([each.data for each in (*self.snapshots[:3], self.snapshots[4])])
        versions = [each.version for each in self.snapshots]
        self.assertEqual(self.history.versions(), versions[:4])
        self.assertEqual(self.history.document(versions[0]), self.snapshots[0].data)
        self.assertIsNone(self.history.document(versions[4]))

    def test_versions_that_others_have_kept_before_there_is_one(self) -> None:
        """Of a feed that has pulled nothing yet."""
        self.history.recall_before([b"1", b"2", b"1"])
        self.assertEqual([self.history.document(each) for each in self.history.versions()], [b"2", b"1"])

    def test_nothing_is_prepared_before_there_is_a_version(self) -> None:
        """Nor for the newest version itself, nor before a patch to it was requested."""
        one, other = self.snapshots[:2]
        self.assertIsNone(self.history.preparation(one.data))
        self.history.prepare(one, {DeltaForm.PATCH: b"[]"})
        self.add(one)
        self.assertIsNone(self.history.preparation(other.data))
        self.add(other)
        self.assertIsNone(self.history.delta(DeltaForm.PATCH, "x"))
        self.assertIsNone(self.history.preparation(one.data))
        self.assertIsNotNone(self.history.delta(DeltaForm.PATCH, one.version))
        self.assertIsNone(self.history.preparation(other.data))
        self.assertIsNotNone(self.history.preparation(one.data))

    def test_a_version_is_parsed_once(self) -> None:
        """It is parsed once for all patches to it and for the patch to the next version, and then released."""
        parsed: list[bytes] = []

        def parse_and_count(data: bytes) -> Any:
            parsed.append(data)
            return parse(data)

        self.patch(history, "parse", parse_and_count)
        first, second, third, fourth = (snapshot(number, 100) for number in range(4))
        self.add(first, second, third)
        for each in (first, second):
            self.history.delta(DeltaForm.PATCH, each.version)
        self.assertEqual(parsed, [third.data, first.data, second.data])
        self.add(fourth)
        self.history.delta(DeltaForm.PATCH, third.version)
        self.assertEqual(parsed[3:], [fourth.data])
        self.history.delta(DeltaForm.PATCH, second.version)
        self.assertEqual(parsed[4:], [second.data])

    def test_from_older_versions_there_are_no_patches_once_one_was_worth_nothing(self) -> None:
        """There are none until the next version: they would be even larger, and each takes time to make."""
        other = [Snapshot.of(b'["%s",%d]' % (b"y" * 100, number), Sequence(1, number)) for number in range(4)]
        first, second, third = (snapshot(number, 100) for number in range(3))
        self.add(first, second, *other[:2], third)
        # Everything has changed since both other versions.
        self.assertIsNotNone(self.history.delta(DeltaForm.PATCH, other[0].version))
        self.assertIsNone(self.history.delta(DeltaForm.PATCH, second.version))
        self.assertIsNone(self.history.delta(DeltaForm.PATCH, first.version))
        self.assertIsNotNone(self.history.delta(DeltaForm.PATCH, other[1].version))
        self.assertEqual(self.history.made, 2)
        self.add(snapshot(3, 100))
        self.assertIsNotNone(self.history.delta(DeltaForm.PATCH, first.version))

    def test_patch_that_is_worth_it(self) -> None:
        """A patch of exactly the limit is sent, and there are patches from the versions before."""
        first, second, third = self.snapshots[:3]
        self.add(first, second, third)
        patch = self.history.delta(DeltaForm.PATCH, second.version)
        assert patch is not None
        for share, wanted in ((len(patch), True), (len(patch) - 1, False)):
            self.patch(history, "WORTH_IT", share / len(third.data))
            self.history = History()
            self.add(first, second, third)
            self.assertIsNotNone(self.history.delta(DeltaForm.PATCH, second.version))
            self.assertEqual(self.history.delta(DeltaForm.PATCH, first.version) is not None, wanted)

    def test_a_part_shares_what_may_be_read(self) -> None:
        """A new version of the whole renews it, and a new version of a part does not."""
        self.patch(history, "MAX_READ_BYTES", 100)
        part = History(self.history)
        documents = [snapshot(number, 100) for number in range(5)]
        for each in (self.history, part):
            each.add(documents[0])
            each.add(documents[1])
        self.assertIsNotNone(self.history.delta(DeltaForm.PATCH, documents[0].version))
        self.assertIsNone(part.delta(DeltaForm.PATCH, documents[0].version))
        part.add(documents[2])
        self.assertIsNone(part.delta(DeltaForm.PATCH, documents[1].version))
        self.history.add(documents[2])
        self.assertIsNotNone(part.delta(DeltaForm.PATCH, documents[1].version))

    def test_patch_in_a_coding(self) -> None:
        """It is compressed once, and sent without a coding if that is no smaller; and again for another version."""
        compressed: list[tuple[str, bytes]] = []
        by = 1

        def compress(coding: str, data: bytes) -> bytes:
            compressed.append((coding, data))
            return bytes(len(data) - by)

        self.patch(history, "compress_in", compress)
        self.add(*self.snapshots[:2])
        version = self.snapshots[0].version
        patch = self.history.delta(DeltaForm.PATCH, version)
        assert patch is not None
        self.assertEqual(self.history.coded(DeltaForm.PATCH, version, "identity"), ("identity", patch))
        self.assertEqual(compressed, [])
        for _ in range(2):
            coded = self.history.coded(DeltaForm.PATCH, version, "gzip")
            self.assertEqual(coded, ("gzip", bytes(len(patch) - 1)))
        self.assertEqual(compressed, [("gzip", patch)])
        by = 0
        self.assertEqual(self.history.coded(DeltaForm.PATCH, version, "br"), ("identity", patch))
        self.add(self.snapshots[2])
        self.assertEqual(
            self.history.coded(DeltaForm.PATCH, version, "gzip"),
            ("identity", self.history.delta(DeltaForm.PATCH, version)),
        )
        self.assertEqual(len(compressed), 3)

    def test_version_that_comes_back(self) -> None:
        """A document may change back to an earlier version, which is then only the newest one."""
        one, other = self.snapshots[:2]
        again = Snapshot.of(one.data, Sequence(1, 3))
        self.add(one, other, again)
        self.assertIsNone(self.history.delta(DeltaForm.PATCH, again.version))
        patch = self.history.delta(DeltaForm.PATCH, other.version)
        assert patch is not None
        self.assertEqual(apply_patch(other.data, patch), one.data)
        self.assertEqual(self.history._bytes, len(other.data))


class SplicesTests(SynchronousTestCase):
    """Splices share the limits of patches, and are kept beside them."""

    def setUp(self) -> None:
        self.threads = Threads()
        self.history = History()

    def applied(self, old: Snapshot) -> bytes:
        splices = self.history.delta(DeltaForm.SPLICES, old.version)
        assert splices is not None
        return apply_splices(old.data, json.loads(splices), 10**6)

    def test_both_forms_are_made(self) -> None:
        """Each is made once, and gives its own bytes: splices restore even the white space."""
        one = Snapshot.of(b'{ "number" : 1.50, "rest": "%s" }' % (b"x" * 80), Sequence(1, 1))
        other = Snapshot.of(b'{ "rest": "%s" , "number":2.50}' % (b"x" * 80), Sequence(1, 2))
        self.history.add(one)
        self.history.add(other)
        for _ in range(2):
            self.assertEqual(self.applied(one), other.data)
            self.assertIsNotNone(self.history.delta(DeltaForm.PATCH, one.version))
        self.assertEqual(self.history.made, 2)
        for coding in ("identity", "gzip"):
            forms = {self.history.coded(form, one.version, coding)[1] for form in DeltaForm}
            self.assertEqual(len(forms), 2)

    def test_each_form_has_its_number_of_deltas(self) -> None:
        """Clients that use up the deltas of one form leave those of the other."""
        snapshots = [snapshot(number, 100) for number in range(MAX_DELTAS + 3)]
        for each in snapshots:
            self.history.add(each)
        for form in DeltaForm:
            made = [self.history.delta(form, each.version) is not None for each in snapshots[:-1]]
            self.assertEqual(made, [True] * MAX_DELTAS + [False] * 2)

    def test_each_form_is_worth_nothing_by_itself(self) -> None:
        """A document that was written anew has an empty patch, and large splices."""
        value = {str(number): [number] * 3 for number in range(40)}
        documents = [json.dumps(value, indent=indent).encode() for indent in (None, 1, 2, 3)]
        versions = [Snapshot.of(data, Sequence(1, number)) for number, data in enumerate(documents)]
        for each in versions:
            self.history.add(each)
        for form, older in ((DeltaForm.SPLICES, False), (DeltaForm.PATCH, True)):
            self.patch(history, "WORTH_IT", 0.01)
            self.assertIsNotNone(self.history.delta(form, versions[2].version))
            self.assertEqual(self.history.delta(form, versions[0].version) is not None, older)

    def test_forms_that_are_used_are_prepared_together(self) -> None:
        """The thread of a pull makes each form that a client uses, and no other."""
        self.history = History(in_thread=self.threads.call)
        documents = [snapshot(number, LARGE) for number in range(4)]
        self.history.add(documents[0])
        for number, forms in enumerate(([DeltaForm.SPLICES], [DeltaForm.PATCH, DeltaForm.SPLICES]), 1):
            for form in forms:
                self.history.want(form)
            preparation = self.history.preparation(documents[number].data)
            assert preparation is not None
            deltas = preparation()
            self.assertEqual([*deltas], forms)
            self.history.prepare(documents[number], deltas)
            self.history.add(documents[number])
            self.assertEqual(self.applied(documents[number - 1]), documents[number].data)
        self.assertEqual((self.history.made, self.threads.work), (3, []))

    def test_large_documents(self) -> None:
        """Their splices are made in a thread, on demand, and one delta of any form at a time."""
        self.history = History(in_thread=self.threads.call)
        one, other = (snapshot(number, LARGE) for number in range(2))
        self.history.add(one)
        self.history.add(other)
        for form in (DeltaForm.SPLICES, DeltaForm.PATCH):
            self.assertIsNone(self.history.delta(form, one.version))
        self.threads.finish()
        self.assertEqual(self.applied(one), other.data)
        self.assertEqual(self.history.made, 1)

    def test_splices_that_take_long(self) -> None:
        """They are left to the thread once their time is over, like patches."""
        now_s = 0.0

        def count() -> float:
            nonlocal now_s
            now_s += 2 * AT_ONCE_S
            return now_s

        self.history = History(in_thread=self.threads.call, timer=count)
        one, other = (
            Snapshot.of(json.dumps([n + k * 1000 for n in range(99)]).encode(), Sequence(1, k)) for k in (1, 2)
        )
        self.history.add(one)
        self.history.add(other)
        self.assertIsNone(self.history.delta(DeltaForm.SPLICES, one.version))
        self.threads.finish()
        self.assertEqual(self.applied(one), other.data)


class ThreadTests(SynchronousTestCase):
    """Patches between documents that take too long to compare in the reactor's thread."""

    def setUp(self) -> None:
        self.threads = Threads()
        self.history = History(in_thread=self.threads.call)
        self.snapshots = [snapshot(number, LARGE) for number in range(5)]
        self.now_s, self.took_s = 0.0, 0.0

    def applied(self, old: Snapshot) -> bytes:
        patch = self.history.delta(DeltaForm.PATCH, old.version)
        assert patch is not None
        return apply_patch(old.data, patch)

    def test_clients_can_wait_for_a_patch(self) -> None:
        """Until the thread has ended, whatever it gives."""
        ready: list[bool] = []
        self.history.ready = lambda: ready.append(True)
        for each in self.snapshots[:2]:
            self.history.add(each)
        old = self.snapshots[0].version
        self.assertFalse(self.history.is_awaited(old))
        self.history.delta(DeltaForm.PATCH, old)
        self.assertEqual((self.history.is_awaited(old), self.history.is_awaited("x")), (True, False))
        self.threads.finish()
        self.assertEqual((self.history.is_awaited(old), ready), (False, [True]))

    def test_patch_on_demand(self) -> None:
        """It is there for the next request; one patch at a time is made."""
        for each in self.snapshots[:3]:
            self.history.add(each)
        for each in self.snapshots[:2]:
            self.assertIsNone(self.history.delta(DeltaForm.PATCH, each.version))
        self.threads.finish()
        self.assertEqual(self.applied(self.snapshots[0]), self.snapshots[2].data)
        self.assertIsNone(self.history.delta(DeltaForm.PATCH, self.snapshots[1].version))
        self.threads.finish()
        self.assertEqual(self.applied(self.snapshots[1]), self.snapshots[2].data)
        self.assertEqual(self.history.made, 2)

    def test_small_documents_that_take_long(self) -> None:
        """A patch is left to the thread once its time is over, and all patches once the time of the version is."""
        self.history = History(in_thread=self.threads.call, timer=self.count)
        small = [
            Snapshot.of(b"[%s]" % b",".join(b"[%d]" % (n * k) for n in range(30)), Sequence(1, k)) for k in (1, 2, 3, 4)
        ]
        for each in small[:3]:
            self.history.add(each)
        self.took_s = AT_ONCE_S / 10
        self.assertIsNone(self.history.delta(DeltaForm.PATCH, small[0].version))
        # Each call takes a tenth of the time, so there were about as many calls.
        self.assertLess(self.now_s, AT_ONCE_S * 2)
        self.threads.finish()
        self.assertEqual(self.applied(small[0]), small[2].data)
        # This patch takes no time, and the version has some time left.
        self.took_s = 0.0
        self.assertEqual(self.applied(small[1]), small[2].data)
        self.history.add(small[3])
        self.took_s = AT_ONCE_S / 10
        while self.history.allowance.left_s > 0:
            self.history._deltas.clear()
            self.assertIsNone(self.history.delta(DeltaForm.PATCH, small[0].version))
            self.threads.work.clear()
            self.history._is_making = False
        self.assertLess(self.now_s, 2 * ALL_AT_ONCE_S)
        self.took_s = 0.0
        self.assertIsNone(self.history.delta(DeltaForm.PATCH, small[2].version))
        self.threads.finish()
        self.assertEqual(self.applied(small[2]), small[3].data)
        # The next version has the full time again.
        self.history.add(small[0])
        self.assertEqual(self.applied(small[3]), small[0].data)
        self.assertEqual(self.threads.work, [])

    def count(self) -> float:
        self.now_s += self.took_s
        return self.now_s

    def test_patch_that_comes_too_late(self) -> None:
        """A patch to a version that is outdated is discarded."""
        self.history.add(self.snapshots[0])
        self.history.add(self.snapshots[1])
        self.assertIsNone(self.history.delta(DeltaForm.PATCH, self.snapshots[0].version))
        self.history.add(self.snapshots[2])
        self.threads.finish()
        self.assertIsNone(self.history.delta(DeltaForm.PATCH, self.snapshots[0].version))
        self.threads.finish()
        self.assertEqual(self.applied(self.snapshots[0]), self.snapshots[2].data)

    def test_patch_that_fails(self) -> None:
        """The document is sent, the error is logged, and the next request tries again."""
        self.history.add(self.snapshots[0])
        self.history.add(self.snapshots[1])
        self.assertIsNone(self.history.delta(DeltaForm.PATCH, self.snapshots[0].version))
        self.threads.work.pop()[1].errback(MemoryError())
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)
        self.assertIsNone(self.history.delta(DeltaForm.PATCH, self.snapshots[0].version))
        self.assertEqual(self.history.made, 0)
        self.threads.finish()
        self.assertEqual(self.applied(self.snapshots[0]), self.snapshots[1].data)

    def test_limit_of_what_is_done_at_once(self) -> None:
        """The larger of the two documents counts, and a document of exactly the limit is small."""
        documents = [
            Snapshot.of(b'"%s"' % (bytes([letter]) * (size - 2)), Sequence(1, 1))
            for letter, size in ((65, AT_ONCE_BYTES), (66, AT_ONCE_BYTES), (67, AT_ONCE_BYTES + 1), (68, 10))
        ]
        ordered = []
        for old, new in pairwise(documents):
            self.history = History(in_thread=self.threads.call)
            self.history.add(old)
            self.history.add(new)
            self.history.delta(DeltaForm.PATCH, old.version)
            ordered.append(len(self.threads.work))
            self.threads.work.clear()
        self.assertEqual(ordered, [0, 1, 1])

    def test_patch_that_is_made_before(self) -> None:
        """This begins with the first request for a patch, and ends when there are no more."""
        one, other, third, fourth, fifth = self.snapshots
        self.history.add(one)
        self.history.add(other)
        self.assertIsNone(self.history.preparation(third.data))
        self.assertIsNone(self.history.delta(DeltaForm.PATCH, one.version))
        self.threads.work.clear()
        preparation = self.history.preparation(third.data)
        assert preparation is not None
        self.history.prepare(third, preparation())
        self.history.add(third)
        self.assertEqual(self.history.made, 1)
        self.assertEqual(self.applied(other), third.data)
        self.assertIsNotNone(self.history.preparation(fourth.data))
        self.history.add(fourth)
        self.assertIsNone(self.history.preparation(fifth.data))

    def test_patch_to_another_version(self) -> None:
        """A patch for a version that was not published is discarded."""
        one, other, third, *_ = self.snapshots
        self.history.add(one)
        self.history.prepare(other, {DeltaForm.PATCH: b"[]"})
        self.history.add(third)
        self.assertIsNone(self.history.delta(DeltaForm.PATCH, one.version))

    def test_no_thread(self) -> None:
        """The document is sent, and the next request tries again."""
        self.history.in_thread = no_thread
        self.history.add(self.snapshots[0])
        self.history.add(self.snapshots[1])
        self.assertIsNone(self.history.delta(DeltaForm.PATCH, self.snapshots[0].version))
        self.history.in_thread = self.threads.call
        self.assertIsNone(self.history.delta(DeltaForm.PATCH, self.snapshots[0].version))
        self.threads.finish()
        self.assertEqual(self.applied(self.snapshots[0]), self.snapshots[1].data)

    def test_limit_of_documents(self) -> None:
        """Larger documents and their parts have none; the default limit is 1 MiB."""
        for limit, wanted in ((len(self.snapshots[0].data), True), (len(self.snapshots[0].data) - 1, False)):
            whole = History(max_document_bytes=limit)
            for each in (whole, History(whole)):
                each.add(self.snapshots[0])
                each.add(self.snapshots[1])
                self.assertEqual(each.delta(DeltaForm.PATCH, self.snapshots[0].version) is not None, wanted)
                self.assertEqual(each.preparation(self.snapshots[2].data) is not None, wanted)
        self.assertEqual(History().max_document_bytes, 1024 * 1024)

    def test_time_is_limited(self) -> None:
        """A comparison that takes longer replaces the whole."""
        self.patch(history, "MAX_DIFF_S", -1)
        self.history.add(self.snapshots[0])
        self.history.add(self.snapshots[1])
        self.history.delta(DeltaForm.PATCH, self.snapshots[0].version)
        self.threads.finish()
        patch = self.history.delta(DeltaForm.PATCH, self.snapshots[0].version)
        assert patch is not None
        self.assertEqual([each["path"] for each in json.loads(patch)], [""])
