"""The records of a recording: what is read is what was written, or an error."""

from __future__ import annotations

import json
from dataclasses import replace

import msgspec
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document import recording
from livefeed.document.recording import (
    FORMAT,
    MAX_AFTER_S,
    MAX_LINE_BYTES,
    MAX_TEXT,
    WHOLE_EVERY,
    Facts,
    Head,
    Place,
    TooLargeError,
    encode_beginning,
    encode_end,
    encode_state,
    encode_version,
    may_begin,
    pass_over,
    read_document,
    read_line,
)
from livefeed.document.snapshot import Sequence, version_of
from livefeed.document.stored_version import DamagedRecordError, NewerFormatError

AT = 1_700_000_000.25


def rows(changed: int) -> bytes:
    """Gives a document of some size, of which one number changes."""
    return json.dumps([{"row": n, "votes": 1000 + n + changed * (n == 5)} for n in range(40)]).encode()


def split(record: bytes) -> tuple[bytes, bytes]:
    """Gives the line and the payload of a record."""
    line, feed, rest = record.partition(b"\n")
    return line + feed, rest[:-1]


def crafted(head: Head, payload: bytes = b"", place: Place | None = None) -> bytes:
    """Gives a record whose hashes are right, as another program may write it."""
    text = msgspec.json.encode(head)
    chain = b"" if place is None else place.chain
    return b"%b %b\n%b\n" % (version_of(chain + text).encode(), text, payload)


class RecordTests(SynchronousTestCase):
    """Records in a row."""

    def setUp(self) -> None:
        self.beginning, self.begun = encode_beginning(AT, feed="results", source="demo:", by="livefeed 1")

    def read(self, place: Place, record: bytes, max_bytes: int = 10_000_000) -> tuple[Head, bytes | None, Place]:
        """Reads a record."""
        line, payload = split(record)
        read = read_line(place, line)
        if not read.head.has_document:
            return read.head, None, pass_over(place, read)
        data, after = read_document(place, read, payload, max_bytes)
        return read.head, data, after

    def test_beginning(self) -> None:
        """It says what was recorded, and when that began."""
        head, _, place = self.read(Place(), self.beginning)
        self.assertEqual((head.feed, head.source, head.by, head.at), ("results", "demo:", "livefeed 1", AT))
        self.assertEqual(place, self.begun)
        self.assertEqual(place.at, AT)

    def test_versions(self) -> None:
        """Each is the document that was written; most of them take few bytes. Facts and times come with it."""
        place = read = self.begun
        sizes = []
        for number in range(2 * WHOLE_EVERY + 2):
            facts = Facts(Sequence(1700, number + 1), AT + number, "boot", 5.5 + number, "live")
            record, place = encode_version(place, rows(number), 1.5, facts)
            head, data, read = self.read(read, record)
            self.assertEqual(data, rows(number))
            self.assertEqual(read, place)
            self.assertEqual((head.sequence, head.at, head.boot), (Sequence(1700, number + 1), AT + number, "boot"))
            self.assertEqual((head.since_boot_s, head.state), (5.5 + number, "live"))
            sizes.append((head.kind, len(split(record)[1])))
        whole = [number for number, (kind, _) in enumerate(sizes) if kind == "whole"]
        self.assertEqual(whole, [0, WHOLE_EVERY, 2 * WHOLE_EVERY])
        self.assertLess(max(size for kind, size in sizes if kind == "splices"), 30)
        self.assertEqual((place.versions, place.elapsed_s, place.at), (122, 183.0, AT + 183.0))

    def test_whole_versions(self) -> None:
        """Without splices and compression, the payload is the document, and costs one hash."""
        record, place = encode_version(self.begun, rows(1), 0.0, is_compact=False)
        record, _ = encode_version(place, rows(2), 0.0, is_compact=False)
        self.assertTrue(record.endswith(b"\n" + rows(2) + b"\n"))
        self.assertEqual(self.read(place, record)[1], rows(2))

    def test_another_document(self) -> None:
        """A version that has little in common with the one before is written whole, compressed if that helps."""
        _, place = encode_version(self.begun, rows(1), 0.0)
        for data, coding in ((b'{"other": "%b"}' % (b"x" * 500), "zstd"), (b"[1]", ""), (b"\xff", "")):
            record, after = encode_version(place, data, 0.0)
            head, read, _ = self.read(place, record)
            self.assertEqual((head.kind, head.coding, read), ("whole", coding, data))
            self.assertEqual(after.spliced, 0)

    def test_states(self) -> None:
        """They stand between versions, and splices go on over them."""
        _, place = encode_version(self.begun, rows(1), 0.0)
        state, between = encode_state(place, "stale", 2.0, "redis: gone")
        head, _, read = self.read(place, state)
        self.assertEqual((head.state, head.why, read.elapsed_s), ("stale", "redis: gone", 2.0))
        record, _ = encode_version(between, rows(2), 1.0)
        head, data, _ = self.read(read, record)
        self.assertEqual((head.kind, data), ("splices", rows(2)))

    def test_end(self) -> None:
        """It has the number of versions, and nothing follows it."""
        _, place = encode_version(self.begun, rows(1), 0.0)
        record, ended = encode_end(place, 3.0)
        head, _, read = self.read(place, record)
        self.assertEqual((head.versions, read.is_ended, read.elapsed_s), (1, True, 3.0))
        more, _ = encode_state(replace(ended, is_ended=False), "live", 0.0)
        self.assertRaises(DamagedRecordError, read_line, read, split(more)[0])

    def test_passed_over(self) -> None:
        """The line behind a document that was not read is still checked; splices need the document."""
        first, place = encode_version(self.begun, rows(1), 0.0)
        second, after = encode_version(place, rows(2), 0.0)
        passed = pass_over(self.begun, read_line(self.begun, split(first)[0]))
        line = read_line(passed, split(second)[0])
        self.assertEqual(pass_over(passed, line).chain, after.chain)
        self.assertRaises(DamagedRecordError, read_document, passed, line, split(second)[1])

    def test_order(self) -> None:
        """A record that is left out, moved or written twice is found, and so is one of another file."""
        first, place = encode_version(self.begun, rows(1), 0.0)
        second, after = encode_version(place, rows(2), 0.0)
        other, _ = encode_version(encode_beginning(AT + 1)[1], rows(1), 0.0)
        for at, record in (
            (self.begun, second),
            (place, first),
            (after, second),
            (self.begun, other),
            (self.begun, self.beginning),
            (Place(), first),
        ):
            self.assertRaises(DamagedRecordError, read_line, at, split(record)[0])

    def test_changed(self) -> None:
        """If any byte of any record is another one, it is not read."""
        records = [self.beginning]
        place, places = self.begun, [Place()]
        for make in (
            lambda at: encode_version(at, rows(1), 1.0),
            lambda at: encode_version(at, rows(2), 1.0),
            lambda at: encode_version(at, b"[1, 2, 3]", 1.0),
            lambda at: encode_state(at, "stale", 1.0),
            lambda at: encode_end(at, 1.0),
        ):
            places.append(place)
            record, place = make(place)
            records.append(record)
        for at, record in zip(places, records, strict=True):
            for position in range(len(record) - 1):
                for bit in (1, 0x10, 0x80):
                    changed = record[:position] + bytes([record[position] ^ bit]) + record[position + 1 :]
                    if position + 1 == len(split(record)[0]):
                        self.assertRaises(DamagedRecordError, read_line, at, changed[: position + 1])
                        continue
                    with self.assertRaises((DamagedRecordError, NewerFormatError), msg=(record, position)):
                        self.read(at, changed)

    def test_impossible_heads(self) -> None:
        """Heads that no livefeed writes are refused, although their hashes are right."""
        place = encode_version(self.begun, b"[1]", 0.0)[1]
        version = Head(version=version_of(b"[1]"), format=FORMAT, kind="whole", bytes=3)
        self.assertEqual(read_line(place, split(crafted(version, b"[1]", place))[0]).head, version)
        for head in (
            msgspec.structs.replace(version, bytes=-1),
            msgspec.structs.replace(version, bytes=0),
            msgspec.structs.replace(version, bytes=2**40),
            msgspec.structs.replace(version, size=-1),
            msgspec.structs.replace(version, plain=3),
            msgspec.structs.replace(version, coding="zstd"),
            msgspec.structs.replace(version, coding="zstd", plain=2**40),
            # A reader of small documents would decompress 256 MiB, or parse 16 MiB of splices.
            msgspec.structs.replace(version, coding="zstd", plain=2**28, size=3),
            msgspec.structs.replace(version, kind="splices", coding="zstd", plain=2**24, size=3),
            msgspec.structs.replace(version, bytes=5000, size=3),
            msgspec.structs.replace(version, kind="splices", bytes=17_000_000),
            msgspec.structs.replace(version, after_s=-1.0),
            msgspec.structs.replace(version, after_s=MAX_AFTER_S * 2),
            msgspec.structs.replace(version, at=-1.0),
            msgspec.structs.replace(version, at=1e300),
            msgspec.structs.replace(version, format=1),
            msgspec.structs.replace(version, kind="beginning", bytes=0),
            msgspec.structs.replace(version, kind="state"),
            msgspec.structs.replace(version, kind="end", bytes=0, versions=7),
            msgspec.structs.replace(version, kind="song"),
        ):
            with self.assertRaises(DamagedRecordError, msg=head):
                read_line(place, split(crafted(head, b"", place))[0])

    def test_crafted_payloads(self) -> None:
        """Payloads that no livefeed writes are refused, and none takes more memory than its head says."""
        place = encode_version(self.begun, b"[1]", 0.0)[1]
        zeros = b"0" * 1_000_000
        bomb = zstandard.ZstdCompressor().compress(zeros)
        unsized = zstandard.ZstdCompressor(write_content_size=False).compress(zeros)
        nested = b"[" * 5000 + b"]" * 5000
        for kind, size, plain, payload in (
            ("whole", 3, 3, bomb),
            ("whole", 1_000_000, 1_000_000, unsized),
            ("whole", 1_000_000, 1_000_000, bomb + bomb),
            ("whole", 1_000_000, 1_000_000, bomb[:-4]),
            ("whole", 1_000_000, 1_000_000, b"no frame"),
            ("splices", 3, 0, nested),
            ("splices", 3, 0, b'{"a": 1}'),
            ("splices", 3, 0, b"[4]"),
            ("splices", 3, 0, b"[true]"),
            ("splices", 3, 0, b"\xff"),
            ("splices", 4, 0, b"[3]"),
            ("splices", 30, 0, b"[3,-3,3,-3,3,-3,3,-3,3,-3,3,-3,3,-3,3,-3,3,-3,3,-3,3,-3,3]"),
        ):
            head = Head(
                version=version_of(zeros if kind == "whole" else b"[1]"),
                format=FORMAT,
                kind="whole" if kind == "whole" else "splices",
                bytes=len(payload),
                hash=version_of(payload),
                coding="zstd" if plain else "",
                plain=plain,
                size=size,
            )
            with self.assertRaises(DamagedRecordError, msg=payload[:40]):
                read_document(place, read_line(place, split(crafted(head, payload, place))[0]), payload)

    def test_too_large(self) -> None:
        """A document that is larger than the reader takes is not read, compressed or not."""
        for data in (rows(1), b'"%b"' % (b"x" * 5000)):
            record, _ = encode_version(self.begun, data, 0.0)
            with self.assertRaises(TooLargeError) as raised:
                self.read(self.begun, record, len(data) - 1)
            self.assertEqual(raised.exception.size, len(data))
            self.assertEqual(self.read(self.begun, record, len(data))[1], data)

    def test_formats(self) -> None:
        """A greater number of the format is told from damage at the beginning; unknown members are passed over."""
        with self.assertRaises(NewerFormatError) as raised:
            read_line(Place(), split(self.beginning.replace(b'"format":2', b'"format":31'))[0])
        self.assertEqual(raised.exception.format, 31)
        text = b'{"version":"","format":2,"kind":"beginning","more":{"a":[1]},"at":5}'
        line = read_line(Place(), b"%b %b\n" % (version_of(text).encode(), text))
        self.assertEqual(line.head.at, 5)
        record, place = encode_version(pass_over(Place(), line), b"[1]", 0.0)
        self.assertEqual(
            self.read(pass_over(Place(), line), record),
            (*self.read(replace(place, chain=line.chain, versions=0), record)[:2], place),
        )

    def test_bounds_of_lines(self) -> None:
        """Whatever the texts are, a line has no more bytes than a reader looks for."""
        text = "\x01" * 10_000
        record, _ = encode_version(
            self.begun,
            b"[1]",
            1e300,
            Facts(Sequence(2**62, 2**62), 1e9 / 7, text, 1e9 / 7, text, text, text, text),
        )
        self.assertLess(len(split(record)[0]), MAX_LINE_BYTES)
        head, _, _ = self.read(self.begun, record)
        self.assertEqual((len(head.why), head.after_s), (MAX_TEXT, MAX_AFTER_S))
        record, place = encode_beginning(AT, feed=text, source="\udcff", by=text)
        self.assertEqual(self.read(Place(), record)[2], place)

    def test_beginnings_of_lines(self) -> None:
        """A line of which the end is missing is told from other bytes."""
        line = split(self.beginning)[0]
        for size in range(len(line)):
            self.assertTrue(may_begin(line[:size]))
        self.assertFalse(may_begin(b"{"))
        self.assertFalse(may_begin(line[:33] + b"["))

    @given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=8), st.booleans())
    @settings(max_examples=100, deadline=None)
    def test_any_bytes(self, documents: list[bytes], is_compact: bool) -> None:
        """Any bytes come back, whether they are JSON or not."""
        place = read = encode_beginning(AT)[1]
        for data in documents:
            record, place = encode_version(place, data, 0.0, is_compact=is_compact)
            _, found, read = self.read(read, record)
            self.assertEqual((found, read), (data, place))

    def test_wrong_splices(self) -> None:
        """Splices that would not make the document are not written."""
        _, place = encode_version(self.begun, rows(1), 0.0)
        self.patch(recording, "make_verified_splices", lambda _old, _new: b"[]" * 10_000)
        record, _ = encode_version(place, rows(2), 0.0)
        self.assertEqual(self.read(place, record)[:2], (read_line(place, split(record)[0]).head, rows(2)))
