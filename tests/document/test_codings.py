"""Content codings, and their negotiation."""

from __future__ import annotations

import gzip
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.codings import (
    CODINGS,
    GZIP_LEVEL,
    SMALL_BYTES,
    _window_bits,
    compress,
    compress_better,
    compress_well,
    deflate_around,
    deflate_message,
)


class CompressTests(SynchronousTestCase):
    """compress."""

    @settings(deadline=None)
    @given(st.binary(max_size=4096))
    def test_gzip_round_trip(self, data: bytes) -> None:
        """Any gzip reader gives back the document's bytes."""
        self.assertEqual(gzip.decompress(compress(data).gzip), data)

    @settings(deadline=None)
    @given(st.binary(max_size=4096))
    def test_message_round_trip(self, data: bytes) -> None:
        """A message is read without any before it, once the omitted bytes are put back (RFC 7692, 7.2.2)."""
        message = compress(data).message
        self.assertEqual(zlib.decompressobj(-15).decompress(message + b"\x00\x00\xff\xff"), data)

    def test_gzip_has_no_time_stamp(self) -> None:
        """Equal documents have equal encodings on every worker, so the header's MTIME is zero (RFC 1952, 2.3.1)."""
        self.assertEqual(compress(b"{}" * 100).gzip[4:8], bytes(4))

    def test_both_forms_are_small(self) -> None:
        """Repetitions are compressed, not only wrapped."""
        compressed = compress(b'{"votes": 0}' * 100)
        self.assertLess(len(compressed.gzip), 100)
        self.assertLess(len(compressed.message), 100)


class WindowTests(SynchronousTestCase):
    """The window in which zlib looks for matches."""

    @settings(deadline=None, max_examples=60)
    @given(st.binary(min_size=1, max_size=3000), st.integers(0, 70_000), st.sampled_from((1, 6)))
    def test_a_smaller_window_gives_the_same_bytes(self, block: bytes, size: int, level: int) -> None:
        """It reaches as far as the largest one, for data of any size."""
        data = (block * (size // len(block) + 1))[:size]
        largest = zlib.compressobj(level, zlib.DEFLATED, wbits=-zlib.MAX_WBITS)
        blocks = largest.compress(data) + largest.flush(zlib.Z_SYNC_FLUSH)
        self.assertEqual(compress(data, level).message, blocks.removesuffix(b"\x00\x00\xff\xff"))

    def test_some_codings(self) -> None:
        """Only those are made that are asked for; gzip is as small for a large document as for a small one."""
        data = b"[" + b"1.25, " * SMALL_BYTES + b"1]"
        self.assertEqual({*compress_well(data)}, {"zstd", "br"})
        self.assertEqual({*compress_well(data, ("gzip", "br"))}, {"br"})
        better = compress_better(data, CODINGS)
        self.assertEqual(better, {"gzip": compress(data, GZIP_LEVEL).gzip, **compress_well(data)})
        self.assertRaises(ValueError, compress_better, data, ("deflate",))

    def test_sizes(self) -> None:
        """It is small for small documents, and never larger than zlib's largest."""
        self.assertEqual(
            [_window_bits(size) for size in (0, 249, 250, 4195, 32_505, 32_506, 10**6)], [9, 9, 10, 13, 15, 15, 15]
        )


class DeflateTests(SynchronousTestCase):
    """Payloads of compressed WebSocket messages."""

    @settings(deadline=None)
    @given(st.binary(max_size=4096))
    def test_end_of_a_message_is_left_out(self, data: bytes) -> None:
        """The empty block at the end is omitted, and the reader puts it back (RFC 7692, 7.2.1)."""
        for message in (compress(data).message, deflate_message(data)):
            self.assertFalse(message.endswith(b"\x00\x00\xff\xff"))
            reader = zlib.decompressobj(-15)
            self.assertEqual(reader.decompress(message), data)
            self.assertEqual(reader.decompress(b"\x00\x00\xff\xff"), b"")

    @given(st.binary(max_size=300), st.binary(max_size=2000), st.binary(max_size=300))
    def test_inflated_it_is_the_three_one_after_the_other(self, start: bytes, middle: bytes, end: bytes) -> None:
        """This holds for any parts."""
        payload = deflate_around(start, compress(middle).message, end)
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(payload + b"\x00\x00\xff\xff")
        self.assertEqual(inflated, start + middle + end)
