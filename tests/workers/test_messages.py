"""The messages of the link as bytes: every message survives, in any pieces, and bytes that are none are refused."""

from __future__ import annotations

import os
import socket

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import LinkError
from livefeed.workers import messages
from livefeed.workers.messages import (
    MAX_FDS,
    MAX_HEAD_BYTES,
    MAX_PAYLOADS,
    Decoder,
    Held,
    Hello,
    Message,
    encode,
    message_of,
)

facts = st.dictionaries(
    st.text(min_size=1, max_size=8).filter(lambda name: name not in ("type", "sizes", "fds")),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20), st.lists, max_leaves=5
    ),
    max_size=4,
)
some_messages = st.lists(
    st.builds(
        Message, st.text(min_size=1, max_size=10), facts, st.lists(st.binary(max_size=200), max_size=3).map(tuple)
    ),
    max_size=5,
)


class MessageTests(SynchronousTestCase):
    @given(some_messages, st.lists(st.integers(0, 2000), max_size=6))
    @settings(max_examples=100, deadline=None)
    def test_every_message_survives(self, sent: list[Message], cuts: list[int]) -> None:
        """It does not matter into which pieces the socket cuts the bytes."""
        data = b"".join(map(encode, sent))
        decoder, received, start = Decoder(), [], 0
        for cut in [*sorted(cuts), len(data)]:
            received += decoder.feed(data[start:cut])
            start = max(start, cut)
        self.assertEqual(received, sent)

    def test_facts_are_read_as_their_type(self) -> None:
        """A message that lacks a fact, or has one of another type, is refused, with its type."""
        hello = Hello("livefeed.link.v1", "1", 7, 0, {"feed": Held("aa", (1, 2), ["gzip"])})
        (received,) = Decoder().feed(encode(message_of("hello", hello)))
        self.assertEqual(received.read(Hello), hello)
        with self.assertRaisesRegex(LinkError, r"a message hello cannot be read: .*pid"):
            Message("hello", {**received.facts, "pid": "x"}).read(Hello)

    def test_payloads_that_are_not_there(self) -> None:
        """An index is checked: a negative one would give the last payload."""
        message = Message("feed", {}, (b"a",))
        self.assertEqual(message.payload(0), b"a")
        for index in (-1, 1):
            with self.assertRaisesRegex(LinkError, "a message feed has 1 payloads"):
                message.payload(index)

    def test_bytes_that_are_no_messages(self) -> None:
        """Each kind of nonsense is refused, before anything of its size is kept."""
        for line in (
            b"x",
            b"[]",
            b"{}",
            b'{"type":1}',
            b'{"type":"a","sizes":1}',
            b'{"type":"a","sizes":[-1]}',
            b'{"type":"a","sizes":[1.5]}',
            b'{"type":"a","fds":-1}',
            b'{"type":"a","fds":%d}' % (MAX_FDS + 1),
            b'{"type":"a","sizes":%s}' % msgspec.json.encode([0] * (MAX_PAYLOADS + 1)),
            b'{"type":"a","sizes":[60,41]}',
            b'{"type":"\xff"}',
        ):
            with self.subTest(line[:40]), self.assertRaises(LinkError):
                Decoder(100).feed(line + b"\n")

    def test_a_head_without_an_end(self) -> None:
        """The buffer does not grow beyond the limit."""
        decoder = Decoder()
        with self.assertRaisesRegex(LinkError, "a head is larger than 1048576 bytes"):
            for _ in range(MAX_HEAD_BYTES // 65536 + 2):
                decoder.feed(b" " * 65536)

    def test_impossible_messages_are_not_sent(self) -> None:
        """A message that the other end would refuse is an error where it is made."""
        for message in (
            Message("a", {"fds": 1}),
            Message("a", {"x": "x" * MAX_HEAD_BYTES}),
            Message("a", {}, (b"",) * (MAX_PAYLOADS + 1)),
            Message("a", {}, (), (0,) * (MAX_FDS + 1)),
        ):
            with self.assertRaises(LinkError):
                encode(message)

    def test_descriptors_belong_to_their_messages(self) -> None:
        """They are counted out in order, and the message has a byte for each."""
        sent = [Message("a", fds=(10, 11)), Message("b"), Message("c", fds=tuple(range(12, 100)))]
        decoder = Decoder()
        for fd in range(10, 100):
            decoder.take(fd)
        self.assertEqual(decoder.feed(b"".join(map(encode, sent))), sent)
        self.assertGreaterEqual(len(encode(Message("c", fds=tuple(range(900))))), 900)
        decoder.close()

    def test_descriptors_are_taken_once(self) -> None:
        """The receiver takes those that it keeps, and the others are closed."""
        read, write = os.pipe()
        message = Message("a", fds=(read, write))
        self.assertEqual(message.take_fds(), [read, write])
        message.close_fds()
        self.assertEqual((message.take_fds(), message.fds), ([], (read, write)))
        Message("a", fds=(read, write)).close_fds()
        for fd in (read, write):
            self.assertRaises(OSError, os.fstat, fd)

    def test_descriptors_that_are_no_sockets(self) -> None:
        """Sockets are taken together, or none is left open."""
        one, other = socket.socketpair()
        taken = Message("a", fds=(one.detach(), other.detach())).take_sockets()
        taken[0].send(b"x")
        self.assertEqual(taken[1].recv(1), b"x")
        fds = taken[0].detach(), os.open("/dev/null", os.O_RDONLY), taken[1].detach()
        with self.assertRaisesRegex(LinkError, "a message a has a descriptor that is no socket"):
            Message("a", fds=fds).take_sockets()
        for fd in fds:
            self.assertRaises(OSError, os.fstat, fd)

    def test_missing_descriptors(self) -> None:
        """A message never takes the descriptors of a later one."""
        with self.assertRaisesRegex(LinkError, "without its descriptors"):
            Decoder().feed(encode(Message("a", fds=(10,))))

    def test_descriptors_without_messages(self) -> None:
        """They are bounded, and closed with the link."""
        closed: list[int] = []
        self.patch(os, "close", closed.append)
        decoder = Decoder()
        for fd in range(MAX_FDS):
            decoder.take(fd)
        with self.assertRaisesRegex(LinkError, "without their message"):
            decoder.take(5000)
        self.assertEqual(closed, [5000])
        decoder.close()
        self.assertEqual(closed[1:], list(range(MAX_FDS)))
        messages.Message("a", fds=(1, 2)).close_fds()
        self.assertEqual(closed[-2:], [1, 2])
