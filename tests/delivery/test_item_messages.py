"""The messages of livefeed.delta.v2, in memory: exact bytes, ages that hold, and work that is done once."""

from __future__ import annotations

import json
import zlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.clocks import Moment
from livefeed.delivery.framing import document_text
from livefeed.delivery.item_messages import FRESH_S, ItemMessages
from livefeed.delivery.messages import MessageOutlet
from livefeed.delivery.websocket.outlets import compressed_item_frame, message_frame
from livefeed.document.history import AT_ONCE_BYTES, History
from livefeed.document.snapshot import Sequence, Snapshot, version_of
from livefeed.feed.feed import Feed
from livefeed.feed.notice import Notice
from livefeed.feed.state import State
from livefeed.testing import publish
from tests.helpers.item_client import ItemClient
from tests.helpers.signers import make_signer, of_member
from tests.helpers.threads import Threads, no_thread
from tests.helpers.websocket_client import Raw

NOW = 1_795_000_000.25


def document(number: int, size: int = 50) -> bytes:
    """Gives a version of a document of which little changes."""
    return json.dumps({"number": number, "rest": ['"unchanged"'] * size}).encode()


def plain(message: bytes, version: str | None) -> bytes:
    """Wraps a message in nothing."""
    return message


class Watcher:
    """Takes the messages of one connection."""

    def __init__(self, client: ItemClient) -> None:
        self.client = client

    def write(self, data: bytes) -> None:
        """ITransport API."""
        self.client.take(data)


class ItemMessagesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.feed = Feed("feed", clock=self.clock)
        self.messages = ItemMessages(self.feed)

    def test_held_back(self) -> None:
        """Messages say for how long a newer document has been held back, and why if that is public."""
        publish(self.feed, b"1")
        now_s = self.clock.seconds()
        self.feed.heed(Notice(State.HELD, "a recount", Moment(now_s - 61, now_s - 61), "hold"))
        facts = json.loads(self.messages.get(None, plain))
        self.assertEqual((facts["state"], facts["waiting"], facts.get("reason")), ("held", 61_000, None))
        self.feed.tell_reasons(are_public=True)
        self.assertEqual(json.loads(self.messages.get(None, plain))["reason"], "a recount")

    def test_heartbeat_is_told_where_changes_are_pushed(self) -> None:
        """Within this time another message about the feed comes, also for clients of its parts."""
        publish(self.feed, b"1")
        part = ItemMessages(Feed("feed/a", clock=self.clock, push="change", whole=self.feed, pointer="/a"))
        publish(part.feed, b"1")
        self.assertNotIn("heartbeat", self.read(None) | json.loads(part.get(None, plain)))
        self.feed.push = "change"
        self.clock.advance(1)
        publish(self.feed, b"1")
        messages = (self.messages.get(None, plain), self.messages.pulse(plain), part.get(None, plain))
        self.assertEqual([json.loads(each)["heartbeat"] for each in messages], [3000] * 3)
        part.feed.mark_missing()
        self.assertEqual(json.loads(part.get(None, plain))["heartbeat"], 3000)

    def test_overlay(self) -> None:
        """Messages list the pointers of an editor's values."""
        publish(self.feed, b"1")
        self.feed.heed(Notice(overlay=("/a",)))
        self.assertEqual(json.loads(self.messages.get(None, plain))["overlay"], ["/a"])
        self.assertEqual(json.loads(self.messages.pulse(plain))["overlay"], ["/a"])

    def follow(self, **had: bytes) -> ItemClient:
        client = ItemClient(had={f"/{name}": data for name, data in had.items()})
        have = version_of(had["feed"]) if had else None
        self.feed.subscribe(MessageOutlet(Watcher(client), self.messages, plain, have), with_state=True)
        return client

    def read(self, have: str | None) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.messages.get(have, plain))
        return message

    def test_members(self) -> None:
        """They are those of the fields of polling, with the age of the document and the time of the next tick."""
        self.feed.begin_tick()
        publish(self.feed, b'{ "a": 1.50 }\r\n')
        self.clock.advance(0.125)
        message = self.read(None)
        self.assertEqual(
            message,
            {
                "type": "document",
                "path": "/feed",
                "version": version_of(b'{ "a": 1.50 }\r\n'),
                "sequence": f"{int(NOW * 1000)}.1",
                "state": "live",
                "at": "2026-11-18T11:06:40.250Z",
                "age": 125,
                "next": 875,
                "text": '{ "a": 1.50 }\r\n',
            },
        )
        heartbeat = self.read(message["version"])
        self.assertEqual(heartbeat, {**{k: v for k, v in message.items() if k != "text"}, "type": "heartbeat"})

    def test_lifetime(self) -> None:
        """It is the time until the document expires by itself, less the time for which a message is used again."""
        self.feed.gone_after_s = 600
        publish(self.feed, document(1))
        part = Feed("feed/a", clock=self.clock, push="change", whole=self.feed, pointer="/a")
        publish(part, document(1))
        messages = ItemMessages(part)
        version = version_of(document(1))
        self.assertEqual((self.read(None)["lifetime"], self.read(version)["lifetime"]), (599_750, 599_750))
        self.clock.advance(100)
        self.feed.mark_stale()
        part.mark_stale()
        told = [json.loads(each) for each in (self.messages.pulse(plain), messages.get(None, plain))]
        self.assertEqual([each["lifetime"] for each in told], [499_750, 499_750])
        self.clock.advance(499.875)
        self.assertEqual((self.read(version)["state"], self.read(version)["lifetime"]), ("stale", 0))

    def test_no_lifetime(self) -> None:
        """There is none without a limit, for a final document, and where no document may be shown."""
        publish(self.feed, document(1))
        self.assertNotIn("lifetime", self.read(None))
        self.feed.gone_after_s = 10
        part = Feed("feed/a", clock=self.clock, push="change", whole=self.feed, pointer="/a")
        publish(part, document(1))
        part.mark_missing()
        missing = json.loads(ItemMessages(part).get(None, plain))
        self.assertEqual((missing["type"], "lifetime" in missing), ("missing", False))
        for decision, is_told in (
            (State.ENDED, False),
            (State.WITHDRAWN, False),
            (State.HELD, True),
            (None, True),
        ):
            self.feed.decide(decision)
            self.assertEqual((decision, "lifetime" in self.read(None)), (decision, is_told))
        self.clock.advance(10)
        self.feed.mark_stale()
        self.assertEqual((self.read(None)["state"], "lifetime" in self.read(None)), ("expired", False))

    def test_changes_restore_every_byte(self) -> None:
        """White space, escapes and the order of members are those of the document."""
        documents = [
            document(1),
            document(2),
            document(2).replace(b" ", b""),
            b"\xef\xbb\xbf" + document(3),
            document(3),
        ]
        publish(self.feed, documents[0])
        client = self.follow()
        for each in documents:
            publish(self.feed, each)
            self.assertEqual(client.items["/feed"].document, each)
        kinds = client.items["/feed"].kinds
        self.assertEqual(
            (kinds[:3], {*kinds}), (["document", "heartbeat", "splices"], {"document", "heartbeat", "splices"})
        )

    def test_a_client_that_comes_back(self) -> None:
        """It is brought from the version that it has, if that is remembered; the newest one is only confirmed."""
        for number in range(5):
            publish(self.feed, document(number))
        for number, kind in ((1, "splices"), (4, "heartbeat"), (9, "document")):
            client = self.follow(feed=document(number))
            self.assertEqual(client.items["/feed"].kinds, [kind])
            self.assertEqual(client.items["/feed"].document, document(4))

    def test_large_changes_are_not_worth_it(self) -> None:
        """The document is sent if the message with the changes is not smaller than 0.6 of that with it."""
        publish(self.feed, document(1))
        client = self.follow()
        publish(self.feed, json.dumps([*range(100)]).encode())
        self.assertEqual(client.items["/feed"].kinds, ["document", "document"])

    def test_expiry(self) -> None:
        """A heartbeat says it, and the client has nothing afterwards: the next is a document."""
        self.feed.gone_after_s = 10
        publish(self.feed, document(1))
        client = self.follow()
        self.feed.mark_stale()
        self.clock.advance(10)
        self.feed.mark_stale()
        item = client.items["/feed"]
        self.assertEqual((item.state, item.document), ("expired", None))
        publish(self.feed, document(1))
        self.assertEqual((item.state, item.document), ("live", document(1)))
        self.assertEqual(item.kinds[-1], "document")

    def test_decisions(self) -> None:
        """A state that follows from a decision is told in a heartbeat; a withdrawn document is forgotten."""
        publish(self.feed, document(1))
        client = self.follow()
        item = client.items["/feed"]
        for decision in (State.HELD, State.ENDED):
            self.feed.decide(decision)
            self.assertEqual((item.state, item.document), (decision.value, document(1)))
        self.feed.decide(State.WITHDRAWN)
        self.assertEqual((item.state, item.document), ("withdrawn", None))
        self.feed.decide(None)
        self.assertEqual((item.state, item.document), ("live", document(1)))
        self.assertEqual(item.kinds, ["document", *["heartbeat"] * 3, "document"])

    def test_a_part_that_vanishes(self) -> None:
        """It is missing at once, and at each change of state; then it comes whole, also if it is the same."""
        publish(self.feed, b'{"a":1}')
        part = Feed("feed/a", clock=self.clock, push="change", whole=self.feed, pointer="/a")
        publish(part, document(1))
        messages, client = ItemMessages(part), ItemClient()
        part.subscribe(MessageOutlet(Watcher(client), messages, plain), with_state=True)
        part.mark_missing()
        part.mark_missing()
        item = client.items["/feed/a"]
        self.assertEqual((item.kinds, item.document), (["document", "missing"], None))
        self.assertNotIn("version", json.loads(messages.get(version_of(document(1)), plain)))
        self.feed.mark_stale()
        part.mark_missing()
        self.assertEqual((item.kinds[2:], item.state), (["missing"], "stale"))
        late = ItemClient()
        outlet = MessageOutlet(Watcher(late), messages, plain, "f" * 32)
        part.subscribe(outlet, with_state=True)
        publish(part, document(1))
        for each in (client, late):
            self.assertEqual(each.items["/feed/a"].kinds[-1], "document")
            self.assertEqual(each.items["/feed/a"].document, document(1))

    def test_messages_are_made_once(self) -> None:
        """They are made once for all clients of a tick, and again when their age is not true any more."""
        publish(self.feed, document(1))
        first = self.messages.get(None, plain)
        self.clock.advance(FRESH_S)
        self.assertIs(self.messages.get(None, plain), first)
        self.clock.advance(0.125)
        self.assertEqual(self.read(None)["age"], 1000 * FRESH_S + 125)
        self.assertEqual(self.messages.made, 2)

    def test_pulse(self) -> None:
        """It is a heartbeat of the newest version, and does not ask for changes."""
        publish(self.feed, document(1))
        pulse = json.loads(self.messages.pulse(plain))
        self.assertIsNone(self.feed.history.preparation(document(9)))
        self.assertEqual(pulse, self.read(version_of(document(1))))
        self.assertIsNotNone(self.feed.history.preparation(document(9)))

    @given(st.text().map(str.encode), st.text().map(str.encode))
    @settings(max_examples=50)
    def test_any_text(self, one: bytes, other: bytes) -> None:
        """Each text arrives as it is."""
        snapshot = Snapshot.bare(one + other, Sequence(1, 1))
        text = snapshot.form(document_text)
        self.assertEqual(json.loads(text).encode(), one + other)
        self.assertFalse({*text} & {*range(0x20)})


class CompressionTests(SynchronousTestCase):
    """Frames for clients that use permessage-deflate."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.threads = Threads()
        self.feed = Feed("feed", clock=self.clock, history=History(in_thread=self.threads.call))
        self.messages = ItemMessages(self.feed)
        self.large = document(1, AT_ONCE_BYTES // 10)

    def frame(self) -> tuple[bool, dict[str, Any]]:
        """Gives the frame with the document: whether it is compressed, and its message."""
        (frame,) = Raw.read(self.messages.get(None, compressed_item_frame))
        payload = frame.payload
        is_compressed = frame.first == 0xC1
        if is_compressed:
            payload = zlib.decompress(payload + b"\x00\x00\xff\xff\x03\x00", wbits=-15)
        message: dict[str, Any] = json.loads(payload)
        return is_compressed, message

    def test_small_documents(self) -> None:
        """They are compressed at once, and once for each version."""
        publish(self.feed, document(1))
        for _ in range(2):
            is_compressed, message = self.frame()
            self.assertEqual((is_compressed, message["text"].encode()), (True, document(1)))
            self.clock.advance(1)
        self.assertEqual(self.threads.work, [])
        (frame,) = Raw.read(self.messages.get(version_of(document(1)), compressed_item_frame))
        self.assertEqual(frame.first, 0xC1)
        (frame,) = Raw.read(self.messages.get(None, message_frame))
        self.assertEqual((frame.first, json.loads(frame.payload)["text"].encode()), (0x81, document(1)))

    def test_large_documents(self) -> None:
        """A thread compresses them, and they are sent uncompressed meanwhile."""
        publish(self.feed, self.large)
        for _ in range(2):
            self.assertEqual(self.frame(), (False, self.frame()[1]))
            self.clock.advance(1)
        self.threads.finish()
        is_compressed, message = self.frame()
        self.assertEqual((is_compressed, message["text"].encode()), (True, self.large))

    def test_large_documents_without_a_thread(self) -> None:
        """They are sent uncompressed, and the next message tries again."""
        self.feed.history.in_thread = no_thread
        publish(self.feed, self.large)
        self.assertFalse(self.frame()[0])
        self.feed.history.in_thread = self.threads.call
        self.clock.advance(1)
        self.assertFalse(self.frame()[0])
        self.threads.finish()
        self.assertTrue(self.frame()[0])

    def test_a_thread_that_is_overtaken(self) -> None:
        """The next version has its own turn."""
        publish(self.feed, self.large)
        self.assertFalse(self.frame()[0])
        publish(self.feed, self.large.replace(b"1", b"2", 1))
        self.assertFalse(self.frame()[0])
        self.threads.finish()
        self.assertFalse(self.frame()[0])
        self.threads.finish()
        self.assertTrue(self.frame()[0])


class StatementTests(SynchronousTestCase):
    """The signed statement about the newest version."""

    def test_messages(self) -> None:
        """Documents, splices, heartbeats and pulses have it, and nothing else changes in them."""
        clock = Clock()
        clock.advance(NOW)
        feed = Feed("feed", clock=clock)
        messages = ItemMessages(feed)
        publish(feed, document(1))
        before = feed.snapshot
        assert before is not None
        unsigned = json.loads(messages.get(None, plain))
        self.assertNotIn("signed", unsigned)
        feed.signer = make_signer(clock.seconds)
        publish(feed, document(2))
        assert feed.snapshot is not None
        read = [
            json.loads(messages.get(None, plain)),
            json.loads(messages.get(before.version, plain)),
            json.loads(messages.get(feed.snapshot.version, plain)),
            json.loads(messages.pulse(plain)),
        ]
        self.assertEqual([each["type"] for each in read], ["document", "splices", "heartbeat", "heartbeat"])
        found = {of_member(each) for each in read}
        self.assertEqual(len(found), 1)
        self.assertEqual(found.pop().statement.digest.hex()[:32], feed.snapshot.version)
        self.assertEqual({*read[0]} - {"signed"}, {*unsigned})
        client = ItemClient(had={"/feed": document(1)})
        client.take(messages.get(before.version, plain))
        self.assertEqual(client.items["/feed"].document, document(2))
        feed.decide(State.WITHDRAWN)
        self.assertNotIn("signed", json.loads(messages.get(None, plain)))

    def test_withdrawn_document_has_no_version(self) -> None:
        """Everybody could find a short value by its hash. Of an expired one, which was public, it is told."""
        feed = Feed("feed", clock=Clock())
        publish(feed, b"5")
        messages = ItemMessages(feed)
        self.assertEqual(json.loads(messages.pulse(plain))["version"], version_of(b"5"))
        feed.decide(State.WITHDRAWN)
        for message in (messages.get(None, plain), messages.pulse(plain)):
            self.assertNotIn(version_of(b"5").encode(), message)
            self.assertEqual(json.loads(message)["state"], "withdrawn")

    def test_compressed(self) -> None:
        """The compressed form of the document is used again behind a statement."""
        clock = Clock()
        clock.advance(NOW)
        feed = Feed("feed", clock=clock, signer=make_signer(clock.seconds))
        publish(feed, document(1))
        (frame,) = Raw.read(ItemMessages(feed).get(None, compressed_item_frame))
        message = json.loads(zlib.decompress(frame.payload + b"\x00\x00\xff\xff\x03\x00", wbits=-15))
        self.assertEqual((message["text"].encode(), of_member(message).statement.feed), (document(1), "feed"))
