"""WebSocket frames, events and chunks."""

from __future__ import annotations

import json
import re
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from livefeed.delivery.framing import (
    chunked_document_event,
    compressed_document_frame,
    deflated_text,
    document_event,
    document_frame,
    document_text,
    http_chunk,
    server_sent_event,
    websocket_text_frame,
)
from livefeed.document.codings import compress
from livefeed.document.snapshot import Sequence, Snapshot


def decode_frame(data: bytes) -> Frame:
    """Reads one unmasked frame with another implementation, and finds that nothing is left over."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    parsing = Frame.parse(reader.read_exact, mask=False, max_size=None)
    try:
        next(parsing)
    except StopIteration as stop:
        frame = stop.value
    else:
        raise AssertionError("the frame is cut short")
    assert isinstance(frame, Frame)
    assert not reader.buffer
    return frame


class FrameTests(SynchronousTestCase):
    """websocket_text_frame."""

    @settings(deadline=None)
    @given(st.text(max_size=400))
    def test_frame_round_trip(self, text: str) -> None:
        """Another implementation reads one whole text frame with the payload unchanged."""
        frame = decode_frame(websocket_text_frame(text.encode()))
        self.assertEqual(frame.opcode, Opcode.TEXT)
        self.assertEqual(bytes(frame.data), text.encode())
        self.assertTrue(frame.fin)
        self.assertFalse(frame.rsv1 or frame.rsv2 or frame.rsv3)

    @settings(deadline=None)
    @given(st.binary(max_size=4096))
    def test_compressed_frame(self, data: bytes) -> None:
        """One whole text frame with RSV1 alone, whose payload is the message (RFC 7692, 6.1)."""
        message = compress(data).message
        frame = websocket_text_frame(message, compressed=True)
        self.assertEqual(frame[0], 0b1100_0001)
        self.assertEqual(bytes(decode_frame(b"\x81" + frame[1:]).data), message)

    def test_length_forms(self) -> None:
        """The length is in the shortest of its three forms, at both sides of each limit (RFC 6455, 5.2)."""
        for length, header in (
            (0, b"\x81\x00"),
            (125, b"\x81\x7d"),
            (126, b"\x81\x7e\x00\x7e"),
            (65535, b"\x81\x7e\xff\xff"),
            (65536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        ):
            payload = b"x" * length
            frame = websocket_text_frame(payload)
            self.assertTrue(re.match(re.escape(header) + b"(x|$)", frame), length)
            self.assertEqual(bytes(decode_frame(frame).data), payload)


class SnapshotTests(SynchronousTestCase):
    """The forms of a whole snapshot."""

    DATA = b'{"price": 1.50}' * 20

    def setUp(self) -> None:
        self.snapshot = Snapshot.of(self.DATA, Sequence(1, 1))

    def test_frame_has_the_documents_bytes(self) -> None:
        """Unchanged, behind a header of four bytes."""
        self.assertEqual(document_frame(self.snapshot), b"\x81\x7e" + len(self.DATA).to_bytes(2, "big") + self.DATA)

    def test_compressed_frame_has_them_too(self) -> None:
        """Behind a header with RSV1 (RFC 7692, 6)."""
        frame = compressed_document_frame(self.snapshot)
        payload = bytes(decode_frame(b"\x81" + frame[1:]).data)
        self.assertEqual(frame[0], 0xC1)
        self.assertEqual(zlib.decompressobj(-zlib.MAX_WBITS).decompress(payload + b"\x00\x00\xff\xff"), self.DATA)

    def test_document_that_was_never_compressed(self) -> None:
        """Has one frame for all clients, and one copy of it."""
        bare = Snapshot.bare(self.DATA, Sequence(1, 1))
        self.assertFalse(bare.work.wants_message)
        self.assertIs(bare.form(compressed_document_frame), bare.form(document_frame))
        self.assertTrue(bare.work.wants_message)

    def test_text(self) -> None:
        """It is the document as a JSON string, which is compressed like a message."""
        self.assertEqual(json.loads(document_text(self.snapshot)), self.DATA.decode())
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated_text(self.snapshot) + b"\x00\x00\xff\xff")
        self.assertEqual(inflated, document_text(self.snapshot))

    def test_events(self) -> None:
        """Events are framed with chunks and without."""
        event = server_sent_event(self.DATA, self.snapshot.version)
        self.assertEqual(document_event(self.snapshot), event)
        self.assertEqual(chunked_document_event(self.snapshot), b"%x\r\n%s\r\n" % (len(event), event))
        self.assertEqual(http_chunk(event), chunked_document_event(self.snapshot))
