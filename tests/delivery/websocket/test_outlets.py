"""Frames that subscribers are sent, one by one and as a group."""

from __future__ import annotations

import zlib
from itertools import product
from typing import Any
from unittest import mock

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol

from livefeed.delivery.framing import deflated_text, document_frame, document_text
from livefeed.delivery.item_messages import TextMessage
from livefeed.delivery.messages import Messages, SnapshotMessage
from livefeed.delivery.websocket.handshake import DELTA
from livefeed.delivery.websocket.outlets import (
    FrameOutlet,
    compressed_item_frame,
    compressed_message_frame,
    message_frame,
)
from livefeed.document.codings import is_large
from livefeed.document.snapshot import Sequence, Snapshot, version_of
from livefeed.testing import publish
from livefeed.transport.groups import ConnectionGroup
from tests.helpers.transports import Grouped, Transport, Wrapping
from tests.helpers.websocket_client import (
    FIRST,
    LONG,
    SECOND,
    THIRD,
    Client,
    DeflatingClient,
    Raw,
    WebSocketTestCase,
    WindowClient,
    text,
)


class PushTests(WebSocketTestCase):
    def test_subscriber_whose_message_breaks_is_disconnected(self) -> None:
        """The subscriber is disconnected in every case: plain or delta, alone or in a group, at the start or later."""
        for subprotocols, transport, newcomer in product(
            ([], [Subprotocol(DELTA)]), (Transport, Grouped), (False, True)
        ):
            self.serve()
            for version in (FIRST, SECOND):
                publish(self.feed, version)
            clients = [] if newcomer else [Client(self.site, transport=transport(), subprotocols=subprotocols)]
            publish(self.feed, SECOND)
            error = MemoryError()
            with (
                mock.patch.object(Messages, "_make", side_effect=error),
                mock.patch.object(FrameOutlet, "send", side_effect=error),
            ):
                clients = clients or [Client(self.site, transport=transport(), subprotocols=subprotocols)]
                publish(self.feed, THIRD)
            self.assertEqual([client.transport.disconnected for client in clients], [True])
            self.assertEqual(self.feed.subscriptions, {})
            self.assertTrue(self.flushLoggedErrors(MemoryError))

    def test_transports_that_can_be_grouped_are_written_to_together(self) -> None:
        """A group of subscribers costs one write to its transports, whether they follow by delta or not."""
        for subprotocols in ([], [Subprotocol(DELTA)]):
            self.serve()
            clients = [Client(self.site, transport=Grouped(), subprotocols=subprotocols) for _ in range(3)]
            # Each subscriber joins the group with the first version that it takes.
            for version in (FIRST, SECOND):
                publish(self.feed, version)
            with mock.patch.object(ConnectionGroup, "write", autospec=True, side_effect=ConnectionGroup.write) as write:
                publish(self.feed, THIRD)
            self.assertEqual(write.call_count, 1)
            self.assertEqual(len(write.call_args.args[0]._singly), len(clients))

    def test_one_that_leaves_a_group_is_not_written_to_with_it(self) -> None:
        """A full one is written nothing, and one that has gone is out of the transport's group."""
        for subprotocols in ([], [Subprotocol(DELTA)]):
            self.serve()
            full, gone, other = (Client(self.site, transport=Grouped(), subprotocols=subprotocols) for _ in range(3))
            for version in (FIRST, SECOND):
                publish(self.feed, version)
            for client in (full, gone, other):
                client.receive()
            full.pause()
            gone.transport.protocol.connectionLost(Failure(ConnectionDone()))
            publish(self.feed, THIRD)
            self.assertEqual([client.transport.value() for client in (full, gone)], [b"", b""])
            self.assertEqual(len(other.receive()), 1)

    def test_message_to_a_group_that_breaks_once(self) -> None:
        """All members of the group stay connected and get the version, as a patch of their own version."""
        clients = [Client(self.site, transport=Grouped(), subprotocols=[Subprotocol(DELTA)]) for _ in range(3)]
        for version in (LONG, LONG + b" "):
            publish(self.feed, version)
        for client in clients:
            client.messages()
        make = Messages._make
        calls = iter([MemoryError()])

        def break_once(messages: Messages, *arguments: Any) -> bytes:
            for error in calls:
                raise error
            return make(messages, *arguments)

        self.patch(Messages, "_make", break_once)
        for version in (LONG, LONG + b"\n"):
            publish(self.feed, version)
            for client in clients:
                [message] = client.messages()
                self.assertEqual((message["type"], message["version"]), ("patch", version_of(version)))
                self.assertFalse(client.transport.disconnected)
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)

    def test_what_wraps_a_transport_is_not_passed_by(self) -> None:
        """Such as Twisted's TLS, on a connection that can be written to with others: each is written to by itself."""
        for subprotocols in ([], [Subprotocol(DELTA)]):
            self.serve()
            client = Client(self.site, transport=Wrapping(), subprotocols=subprotocols)
            client.receive()
            for document in (FIRST, SECOND):
                publish(self.feed, document)
                self.assertEqual([opcode for opcode, _ in client.receive()], [Opcode.TEXT])

    def test_newest_document_is_sent_at_once(self) -> None:
        """On either path, byte for byte, as one text message."""
        publish(self.feed, FIRST)
        for path in ("/feed.ws", "/feed", "/feed.json", "/feed.ws?x=y"):
            self.assertEqual(Client(self.site, path=path).receive(), [text(FIRST)])

    def test_subscriber_of_an_empty_feed_waits(self) -> None:
        """The handshake is accepted before there is a document."""
        client = Client(self.site)
        self.assertEqual(client.receive(), [])
        publish(self.feed, FIRST)
        self.assertEqual(client.receive(), [text(FIRST)])

    def test_each_good_pull_is_pushed(self) -> None:
        """Unchanged documents are pushed, too: the push is the heartbeat."""
        client = Client(self.site)
        for document in (FIRST, FIRST, SECOND):
            publish(self.feed, document)
        self.assertEqual(client.receive(), [text(FIRST), text(FIRST), text(SECOND)])

    def test_changes_alone_are_pushed_where_asked_for(self) -> None:
        """--push=change."""
        self.serve(push="change")
        client = Client(self.site)
        for document in (FIRST, FIRST, SECOND):
            publish(self.feed, document)
        self.assertEqual(client.receive(), [text(FIRST), text(SECOND)])

    def test_all_subscribers_are_sent_the_same_bytes(self) -> None:
        """The frame is made once for a snapshot."""
        clients = [Client(self.site) for _ in range(3)]
        for client in clients:
            client.receive()
        publish(self.feed, FIRST)
        assert self.feed.snapshot is not None
        for client in clients:
            self.assertEqual(client.transport.value(), self.feed.snapshot.form(document_frame))

    def test_full_subscriber_skips_versions(self) -> None:
        """Nothing is written while it is full, and then the newest version alone."""
        slow, fast = Client(self.site), Client(self.site)
        slow.receive()
        fast.receive()
        slow.pause()
        for document in (FIRST, SECOND, THIRD):
            publish(self.feed, document)
        self.assertEqual(slow.transport.value(), b"")
        self.assertEqual(fast.receive(), [text(FIRST), text(SECOND), text(THIRD)])
        slow.resume()
        self.assertEqual(slow.receive(), [text(THIRD)])
        publish(self.feed, FIRST)
        self.assertEqual(slow.receive(), [text(FIRST)])

    def test_subscriber_that_is_full_from_the_start_is_owed_the_newest(self) -> None:
        """The first document alone may be more than the transport takes."""

        class Small(Transport):
            """Says that it is full as soon as there is something in it."""

            def write(self, data: bytes) -> None:
                super().write(data)
                if self.producer is not None:
                    self.producer.pauseProducing()

        publish(self.feed, FIRST)
        client = Client(self.site, transport=Small())
        self.assertEqual(client.receive(), [text(FIRST)])
        for document in (SECOND, THIRD):
            publish(self.feed, document)
        self.assertEqual(client.receive(), [])
        client.resume()
        self.assertEqual(client.receive(), [text(THIRD)])

    def test_frames_behind_the_handshake_are_read(self) -> None:
        """A client need not wait for the 101 to arrive before it sends."""
        ping = Frame(Opcode.PING, b"early").serialize(mask=True, extensions=[])
        self.assertEqual(Client(self.site, extra=ping).receive(), [(Opcode.PONG, b"early")])


class WindowTests(WebSocketTestCase):
    def test_frames_are_compressed_for_clients_that_name_the_whole_window(self) -> None:
        """An independent implementation agrees, and reads the same frame as all others."""
        client, other = WindowClient(self.site), DeflatingClient(self.site)
        for each in (client, other):
            each.receive()
        publish(self.feed, LONG)
        self.assertEqual(client.transport.value(), other.transport.value())
        self.assertLess(len(client.transport.value()), len(LONG) / 2)
        self.assertEqual(client.receive(), [text(LONG)])


class CompressedFrameTests(SynchronousTestCase):
    """Compressed frames of messages, which reuse the compressed form of the document in them."""

    documents = (b'{"a": 1}', b'"%s"' % bytes(65 + number % 26 for number in range(100_000)))

    @staticmethod
    def inflated(frame: bytes) -> bytes:
        """Gives the message of a compressed frame."""
        (read,) = Raw.read(frame)
        assert read.first == 0xC1, read.first
        return zlib.decompressobj(wbits=-15).decompress(read.payload + b"\x00\x00\xff\xff")

    def test_messages_with_a_document(self) -> None:
        """They are the same messages, with and without a compressed form to reuse, and with other data around it."""
        for data in self.documents:
            for make in (Snapshot.of, Snapshot.bare):
                message = SnapshotMessage(b'{"data":' + data + b',"x":1}')
                message.snapshot, message.start = make(data, Sequence(1, 1)), 8
                self.assertEqual(self.inflated(compressed_message_frame(message, None)), message)

    def test_documents_that_were_not_compressed(self) -> None:
        """The whole message is compressed, and the next version is to be compressed before."""
        for data in self.documents:
            snapshot = Snapshot.bare(data, Sequence(1, 1))
            message = SnapshotMessage(b'{"document":' + data + b"}")
            message.snapshot, message.start = snapshot, 12
            self.assertEqual(self.inflated(compressed_message_frame(message, None)), message)
            self.assertEqual(snapshot.work.wants_message, is_large(message))

    def test_messages_without_a_document(self) -> None:
        """They are compressed by themselves."""
        for make in (compressed_message_frame, compressed_item_frame):
            self.assertEqual(self.inflated(make(b'{"type":"heartbeat"}', None)), b'{"type":"heartbeat"}')

    def test_messages_with_the_text_of_a_document(self) -> None:
        """A text that is still being compressed goes out in a plain frame."""
        for data in self.documents:
            snapshot = Snapshot.of(data, Sequence(1, 1))
            quoted = snapshot.form(document_text)
            message = TextMessage(b'{"text":' + quoted + b"}")
            message.start, message.size, message.deflated = 8, len(quoted), snapshot.form(deflated_text)
            self.assertEqual(self.inflated(compressed_item_frame(message, None)), message)
            message.deflated = None
            self.assertEqual(compressed_item_frame(message, None), message_frame(message, None))
