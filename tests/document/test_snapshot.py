"""Snapshots: the same bytes are the same version everywhere."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import re
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.codings import CODINGS, SMALL_BYTES, is_large
from livefeed.document.snapshot import Sequence, Snapshot, make_large, version_of


class SequenceTests(SynchronousTestCase):
    """Sequence."""

    def test_next_counts_within_the_epoch(self) -> None:
        """The next version has the next number, and the same epoch."""
        self.assertEqual(Sequence(5, 0).next(), Sequence(5, 1))

    def test_text_form(self) -> None:
        """It is written as epoch, dot, number."""
        self.assertEqual(str(Sequence(1700000000000, 42)), "1700000000000.42")

    @settings(deadline=None)
    @given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
    def test_order(self, epoch: int, number: int, other_epoch: int, other_number: int) -> None:
        """A later epoch is larger for any number; within one epoch the number decides."""
        expected = epoch < other_epoch or (epoch == other_epoch and number < other_number)
        self.assertEqual(Sequence(epoch, number) < Sequence(other_epoch, other_number), expected)


class SnapshotTests(SynchronousTestCase):
    """Snapshot and version_of."""

    def test_version_is_the_start_of_the_digest(self) -> None:
        """Other programs can compute a version: 32 hexadecimal digits of SHA-256."""
        self.assertEqual(version_of(b'{"a": 1.50}'), hashlib.sha256(b'{"a": 1.50}').hexdigest()[:32])
        self.assertTrue(re.fullmatch("[0-9a-f]{32}", version_of(b"")))

    @settings(deadline=None)
    @given(st.binary(), st.binary())
    def test_versions_differ_as_documents_do(self, one: bytes, other: bytes) -> None:
        """Two documents have one version only if they are the same bytes."""
        self.assertEqual(version_of(one) == version_of(other), one == other)

    def test_version_does_not_depend_on_the_sequence(self) -> None:
        """Workers that count differently still agree on the version."""
        one, other = Snapshot.of(b"{}", Sequence(1, 1)), Snapshot.of(b"{}", Sequence(2, 9))
        self.assertEqual(one.version, other.version)
        self.assertNotEqual(one.sequence, other.sequence)

    def test_everything_is_computed_from_the_same_bytes(self) -> None:
        """The document and its codings all carry the pulled bytes, unchanged."""
        data = b'{"price": 1.50}' * 20
        snapshot = Snapshot.of(data, Sequence(1, 1))
        self.assertEqual(snapshot.data, data)
        self.assertEqual(snapshot.version, version_of(data))
        self.assertEqual(gzip.decompress(snapshot.representations["gzip"].data), data)
        assert snapshot.deflated is not None
        self.assertEqual(zlib.decompressobj(-15).decompress(snapshot.deflated + b"\x00\x00\xff\xff"), data)

    def test_codings_that_are_left_out(self) -> None:
        """They are named, and the message goes with gzip. Those that are not smaller are named as well."""
        for data in (b"[" + b"1, " * 99 + b"1]", b"[" + b"1, " * SMALL_BYTES + b"1]"):
            for make in (lambda *given: Snapshot.of(given[0], given[1], None, given[2]), make_large):
                for codings in ((), ("gzip",), ("br", "zstd")):
                    snapshot = make(data, Sequence(1, 1), codings)
                    there = {coding for coding in codings if coding == "gzip" or not is_large(data)}
                    self.assertEqual({*snapshot.representations}, {"identity", *there})
                    self.assertEqual(snapshot.work.left_out, {*CODINGS} - {*codings})
                    self.assertEqual(snapshot.is_bare(), "gzip" not in codings)
                    self.assertEqual((snapshot.work.codings, snapshot.work.vain), (len(there), set()))
        self.assertEqual(Snapshot.of(b"1", Sequence(1, 1), codings=("br", "gzip")).work.vain, {"br", "gzip"})

    def test_snapshot_of_another_process(self) -> None:
        """It is the same, without any work."""
        for codings in ((), CODINGS):
            made = Snapshot.of(b"[" + b"1, " * 99 + b"1]", Sequence(1, 1), codings=codings)
            received = Snapshot.received(made.version, made.sequence, made.representations.values(), made.deflated)
            self.assertEqual(received, made)
            self.assertEqual([*received.representations], [*made.representations])
            self.assertEqual((received.work.codings, received.work.left_out), (0, set()))

    def test_form_is_computed_once(self) -> None:
        """For each function, and for each snapshot by itself, also for one that only has another sequence."""
        calls: list[Snapshot] = []

        def length(snapshot: Snapshot) -> bytes:
            calls.append(snapshot)
            return b"%d" % len(snapshot.data)

        first = Snapshot.of(b"{}", Sequence(1, 1))
        second = dataclasses.replace(first, sequence=Sequence(1, 2))
        for snapshot in (first, first, second):
            self.assertEqual(snapshot.form(length), b"2")
        self.assertEqual(len(calls), 2)
        self.assertEqual(first, Snapshot.of(b"{}", Sequence(1, 1)))

    def test_form_that_fails_is_tried_again(self) -> None:
        """Nothing is kept of the failure."""
        snapshot = Snapshot.of(b"{}", Sequence(1, 1))
        for _ in range(2):
            with self.assertRaises(ZeroDivisionError):
                snapshot.form(lambda _: b"%d" % (1 // 0))
        self.assertEqual(snapshot.forms, {})

    def test_snapshot_cannot_be_changed(self) -> None:
        """All subscribers get the same object, so it cannot be changed."""
        snapshot = Snapshot.of(b"{}", Sequence(1, 1))
        with self.assertRaises(dataclasses.FrozenInstanceError):
            snapshot.data = b"[]"  # type: ignore[misc]
