"""Frames, against an implementation of others."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.frames import Opcode as TheirOpcode

from livefeed.load.answers import AnswerError
from livefeed.load.frames import FrameReader, Inflater, Message, Opcode, client_frame


def frame(content: bytes, opcode: TheirOpcode = TheirOpcode.TEXT, *, fin: bool = True) -> bytes:
    """Gives a frame of a server."""
    return Frame(opcode, content, fin).serialize(mask=False)


class FrameTests(SynchronousTestCase):
    @given(st.lists(st.binary(max_size=300)), st.integers(1, 50))
    def test_messages(self, contents: list[bytes], size: int) -> None:
        """Messages are the same wherever the bytes are cut."""
        reader = FrameReader(1000)
        data = b"".join(map(frame, contents))
        found = [message for at in range(0, len(data), size) for message in reader.take(data[at : at + size])]
        self.assertEqual(found, [Message(Opcode.TEXT, content) for content in contents])

    def test_large(self) -> None:
        """A length of eight bytes is read."""
        content = b"x" * 70_000
        self.assertEqual(FrameReader(70_000).take(frame(content)), [Message(Opcode.TEXT, content)])

    def test_fragments(self) -> None:
        """A message in pieces is one, with control frames in between."""
        data = (
            frame(b"ab", fin=False)
            + frame(b"p", TheirOpcode.PING)
            + frame(b"c", TheirOpcode.CONT, fin=False)
            + frame(b"d", TheirOpcode.CONT)
            + frame(b"e")
        )
        self.assertEqual(
            FrameReader(10).take(data),
            [Message(Opcode.PING, b"p"), Message(Opcode.TEXT, b"abcd"), Message(Opcode.TEXT, b"e")],
        )

    def test_refused(self) -> None:
        """Frames that break the protocol, or are too large, also in pieces."""
        for data in (
            Frame(TheirOpcode.TEXT, b"a").serialize(mask=True),
            bytes([0x81 | 0x40, 0]),
            bytes([0x81 | 0x10, 0]),
            frame(b"x" * 11),
            frame(b"x" * 6, fin=False) + frame(b"x" * 6, TheirOpcode.CONT),
            bytes([0x09, 0]),
            bytes([0x89, 126, 0, 126]),
            frame(b"a", TheirOpcode.CONT),
            frame(b"a", fin=False) + frame(b"b"),
        ):
            with self.subTest(data):
                self.assertRaises(AnswerError, FrameReader(10).take, data)

    def test_compressed(self) -> None:
        """Messages are decompressed, with a context that goes from one to the next, and without."""
        for is_stateless in (True, False):
            theirs = PerMessageDeflate(
                remote_no_context_takeover=True, local_no_context_takeover=is_stateless,
                remote_max_window_bits=15, local_max_window_bits=15,
            )  # fmt: skip
            reader, inflater = FrameReader(1000, is_deflated=True), Inflater(1000, is_stateless)
            for content in (b"abc" * 100, b"abc" * 100):
                (message,) = reader.take(Frame(TheirOpcode.TEXT, content).serialize(mask=False, extensions=[theirs]))
                self.assertTrue(message.is_compressed)
                self.assertEqual(inflater.inflate(message.content), content)

    def test_compressed_once(self) -> None:
        """A message that another watcher was sent is not decompressed again."""
        theirs = PerMessageDeflate(True, True, 15, 15)
        (message,) = FrameReader(1000, is_deflated=True).take(
            Frame(TheirOpcode.TEXT, b"abc").serialize(mask=False, extensions=[theirs])
        )
        inflater = Inflater(1000, is_stateless=True)
        self.assertIs(inflater.inflate(message.content), inflater.inflate(bytes(bytearray(message.content))))

    def test_compressed_fragments(self) -> None:
        """The first frame says that the message is compressed."""
        first = bytes([0x01 | 0x40, 1]) + b"a"
        (message,) = FrameReader(10, is_deflated=True).take(first + frame(b"b", TheirOpcode.CONT))
        self.assertEqual(message, Message(Opcode.TEXT, b"ab", is_compressed=True))

    def test_bombs(self) -> None:
        """A small message that becomes a large one is refused, and so is one that is not compressed."""
        stream = zlib.compressobj(wbits=-15)
        bomb = (stream.compress(b"x" * 100_000) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
        for content in (bomb, b"\xff\xff\xff"):
            self.assertRaises(AnswerError, Inflater(1000, is_stateless=True).inflate, content)

    def test_frames_of_a_client(self) -> None:
        """They are masked, and a server reads them."""
        self.assertEqual(client_frame(Opcode.PONG, b"abc"), bytes([0x8A, 0x83, 0, 0, 0, 0]) + b"abc")
        self.assertEqual(client_frame(Opcode.CLOSE), bytes([0x88, 0x80, 0, 0, 0, 0]))
