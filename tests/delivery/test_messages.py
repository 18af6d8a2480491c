"""The messages of livefeed.delta.v1, in memory: each watcher's messages, and that each is built once for all."""

from __future__ import annotations

import json
import random
import zlib
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.clocks import Moment
from livefeed.delivery.messages import MessageOutlet, Messages
from livefeed.delivery.websocket.outlets import compressed_message_frame
from livefeed.document import codings
from livefeed.document.codings import deflate_message
from livefeed.document.history import DeltaForm
from livefeed.document.patch import apply_patch
from livefeed.document.snapshot import Sequence, Snapshot, make_large, version_of
from livefeed.feed.feed import Feed
from livefeed.feed.notice import Notice
from livefeed.feed.state import State
from livefeed.testing import publish
from tests.helpers.websocket_client import Raw

if TYPE_CHECKING:
    from livefeed.config.settings import Push

NOW = 1_795_000_000.25


def document(number: int) -> bytes:
    """Gives a version of a document of which little changes."""
    return json.dumps({"number": number, "rest": ["unchanged"] * 50}).encode()


def plain(message: bytes, version: str | None) -> bytes:
    """Wraps a message in nothing."""
    return message


def deflated(message: bytes, version: str | None) -> bytes:
    """Compresses a message as WebSockets do."""
    return deflate_message(message)


@dataclass
class Watcher:
    """A client of the protocol, as docs/reference/protocol.md describes it.

    :ivar document: its copy.
    :ivar kinds: the types of the messages that it was sent.
    """

    document: bytes = b""
    version: str | None = None
    kinds: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        """ITransport API."""
        message: dict[str, Any] = json.loads(data)
        self.kinds.append(message["type"])
        self.states.append(message["state"])
        if message["type"] == "snapshot":
            self.document = data.partition(b',"data":')[2][:-1]
        elif message["type"] == "patch":
            assert message["from"] == self.version
            self.document = apply_patch(self.document, data.partition(b',"patch":')[2][:-1])
        else:
            assert message["version"] == self.version
        self.version = message["version"]


class MessagesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.feed = Feed("feed", clock=self.clock)
        self.messages = Messages(self.feed)

    def follow(self, have: str | None = None) -> tuple[Watcher, MessageOutlet]:
        watcher = Watcher(version=have)
        outlet = MessageOutlet(watcher, self.messages, plain, have)
        self.feed.subscribe(outlet, with_state=True)
        return watcher, outlet

    def test_messages(self) -> None:
        """The document comes first, then the changes, and a heartbeat for an unchanged document."""
        publish(self.feed, document(1))
        watcher, _ = self.follow()
        publish(self.feed, document(2))
        publish(self.feed, document(2))
        self.assertEqual(watcher.kinds, ["snapshot", "patch", "heartbeat"])
        self.assertEqual(json.loads(watcher.document), json.loads(document(2)))

    def test_members(self) -> None:
        """Each message has the members that correspond to the fields of polling."""
        publish(self.feed, b'{"a": 1.50}')
        message = self.messages.get(None, plain)
        self.assertIn(b'"data":{"a": 1.50}}', message)
        self.assertEqual(
            {name: value for name, value in json.loads(message).items() if name != "data"},
            {
                "type": "snapshot",
                "version": version_of(b'{"a": 1.50}'),
                "sequence": f"{int(NOW * 1000)}.1",
                "state": "live",
                "at": "2026-11-18T11:06:40.250Z",
            },
        )

    def test_state_is_told(self) -> None:
        """A subscriber of messages hears of each tick that fails, and of the end of that."""
        publish(self.feed, document(1))
        watcher, _ = self.follow()
        self.feed.mark_stale()
        self.feed.mark_stale()
        publish(self.feed, document(1))
        self.assertEqual(watcher.kinds, ["snapshot"] + ["heartbeat"] * 3)
        self.assertEqual(watcher.states, ["live", "stale", "stale", "live"])

    def test_state_is_told_once_where_changes_are_pushed(self) -> None:
        """With --push change nothing is sent but changes: of the document, and of the state."""
        self.feed.push = "change"
        publish(self.feed, document(1))
        watcher, _ = self.follow()
        for _ in range(3):
            self.feed.mark_stale()
        for _ in range(3):
            publish(self.feed, document(1))
        self.assertEqual(watcher.states, ["live", "stale", "live"])

    def test_heartbeat_is_told_where_changes_are_pushed(self) -> None:
        """Within this time another message comes. Clients of a part hear nothing at ticks, so they are told no time."""
        publish(self.feed, document(1))
        part = Feed("feed/a", clock=self.clock, push="change", whole=self.feed, pointer="/a")
        publish(part, b"1")
        told: tuple[tuple[Push, float, int | None], ...] = (("tick", 1, None), ("change", 1, 3000), ("change", 3, None))
        for push, interval_s, expected in told:
            self.feed.configure(
                interval_s=interval_s, push=push, stale_after_s=0, gone_after_s=inf, max_delta_bytes=1_000_000
            )
            publish(self.feed, document(1))
            for have in (None, version_of(document(1))):
                self.assertEqual(json.loads(self.messages.get(have, plain)).get("heartbeat"), expected)
            self.assertNotIn("heartbeat", json.loads(Messages(part).get(None, plain)))

    def test_who_comes_back_is_sent_a_patch(self) -> None:
        """From the version that it has, if that is remembered; the newest one is only confirmed."""
        for number in range(5):
            publish(self.feed, document(number))
        for have, kind in (
            (version_of(document(1)), "patch"),
            (version_of(document(4)), "heartbeat"),
            (version_of(document(9)), "snapshot"),
            ("nonsense", "snapshot"),
        ):
            watcher, _ = self.follow() if kind == "snapshot" else (Watcher(document(1), have), None)
            message = self.messages.get(have, plain)
            self.assertEqual(json.loads(message)["type"], kind)
            if kind == "patch":
                watcher.write(message)
                self.assertEqual(json.loads(watcher.document), json.loads(document(4)))

    def test_patch_to_the_next_version_is_prepared_for_the_first_client(self) -> None:
        """Once a client has the newest version, or is sent it; a client without messages needs none."""
        for number, have in enumerate((None, version_of(document(1)))):
            publish(self.feed, document(number))
            self.assertIsNone(self.feed.history.preparation(document(9)))
            self.messages.get(have, plain)
            self.assertIsNotNone(self.feed.history.preparation(document(9)))

    def test_patch_that_is_hardly_smaller_is_not_sent(self) -> None:
        """The document is safer, then. The sizes on the wire are compared."""
        publish(self.feed, b'{"a":"one thing"}')
        watcher, _ = self.follow()
        publish(self.feed, b'{"a":"another thing"}')
        self.assertEqual(watcher.kinds, ["snapshot", "snapshot"])

    def test_messages_are_made_once_for_all(self) -> None:
        """The patch is built once, and each message once per form, for any number of subscribers."""
        publish(self.feed, document(1))
        for _ in range(100):
            self.follow()
            self.feed.subscribe(MessageOutlet(Ignoring(), self.messages, deflated, None), with_state=True)
        made, patches = self.messages.made, self.feed.history.made
        publish(self.feed, document(2))
        # A patch and, to compare it with, the document, each in both forms.
        self.assertEqual((self.messages.made - made, self.feed.history.made - patches), (4, 1))

    def test_forms_are_kept_apart(self) -> None:
        """A subscriber with compression is sent the same message, compressed."""
        publish(self.feed, document(1))
        message = self.messages.get(None, plain)
        compressed = self.messages.get(None, deflated)
        self.assertEqual(zlib.decompressobj(-15).decompress(compressed + b"\x00\x00\xff\xff"), message)

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["publish", "stale", "pause", "resume", "leave"]))))
    def test_watcher_has_the_newest_version(self, schedule: list[tuple[int, str]]) -> None:
        """The watcher misses no version that it can take, and gets none twice, in any schedule of events."""
        self.setUp()
        publish(self.feed, document(0))
        watcher, outlet = self.follow()
        (subscription,) = self.feed.subscriptions
        paused = False
        for number, what in schedule:
            if what == "publish":
                publish(self.feed, document(number))
            elif what == "stale":
                self.feed.mark_stale()
            elif what == "pause":
                subscription.pause()
                paused = True
            elif what == "resume":
                subscription.resume()
                paused = False
            else:
                subscription.cancel()
                subscription = self.feed.subscribe(outlet, with_state=True)
                paused = False
            assert self.feed.snapshot is not None
            if not paused:
                self.assertEqual(watcher.version, self.feed.snapshot.version)
                self.assertEqual(json.loads(watcher.document), json.loads(self.feed.snapshot.data))


class Ignoring:
    """A transport that everything is lost on."""

    def write(self, data: bytes) -> None:
        """ITransport API."""


class LargeTests(SynchronousTestCase):
    """Documents that take long to be compressed."""

    def setUp(self) -> None:
        self.feed = Feed("feed", clock=Clock())
        self.messages = Messages(self.feed)
        numbers = random.Random(1)
        self.documents = [
            json.dumps([{"number": numbers.random(), "rest": "unchanged"} for _ in range(3000)]).encode() for _ in "12"
        ]

    def sizes(self) -> list[int]:
        """Gives how much is compressed from now on, each time."""
        sizes: list[int] = []
        compressor = codings._compressor

        def note(data: bytes, level: int | None = None) -> Any:
            sizes.append(len(data))
            return compressor(data, level)

        self.patch(codings, "_compressor", note)
        return sizes

    def test_document_is_not_compressed_again(self) -> None:
        """A message reuses the compressed data from before the publication, and is as small."""
        snapshot = make_large(self.documents[0], Sequence(1, 1))
        self.feed.publish(snapshot)
        sizes = self.sizes()
        frame = self.messages.get(None, compressed_message_frame)
        self.assertLess(max(sizes), 300)
        assert snapshot.deflated is not None
        self.assertLess(len(frame), len(snapshot.deflated) + 300)
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(Raw.read(frame)[0].payload + b"\x00\x00\xff\xff")
        self.assertEqual(inflated, self.messages.get(None, plain))

    def test_document_that_was_never_compressed(self) -> None:
        """The message compresses a document that was not compressed before."""
        self.feed.publish(Snapshot.bare(self.documents[0], Sequence(1, 1)))
        frame = self.messages.get(None, compressed_message_frame)
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(Raw.read(frame)[0].payload + b"\x00\x00\xff\xff")
        self.assertEqual(inflated, self.messages.get(None, plain))

    def test_patch_that_is_not_worth_it_is_not_compressed(self) -> None:
        """A compression that only shows that the document is shorter would take milliseconds."""
        for each in self.documents:
            self.feed.publish(make_large(each, self.feed.next_sequence()))
        have = version_of(self.documents[0])
        self.assertIsNotNone(self.feed.history.delta(DeltaForm.PATCH, have))
        sizes = self.sizes()
        self.assertEqual(
            self.messages.get(have, compressed_message_frame), self.messages.get(None, compressed_message_frame)
        )
        self.assertLess(max(sizes), 300)


class HeldTests(SynchronousTestCase):
    """Messages while the desk holds a document back."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.feed = Feed("feed", clock=self.clock)
        publish(self.feed, b"1")
        self.messages = Messages(self.feed)

    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.messages.get(None, plain))
        return facts

    def test_reason_and_waiting(self) -> None:
        """The time is always there, the reason only if the operator allows it, and neither without need."""
        self.assertFalse({"reason", "waiting"} & self.facts().keys())
        now_s = self.clock.seconds()
        self.feed.heed(Notice(State.HELD, "a recount", Moment(now_s - 1.5, now_s - 1.5), "hold"))
        self.assertEqual((self.facts()["waiting"], self.facts().get("reason")), (1500, None))
        self.feed.tell_reasons(are_public=True)
        self.assertEqual(self.facts()["reason"], "a recount")
        self.feed.decide(None)
        self.assertFalse({"reason", "waiting"} & self.facts().keys())

    def test_reasons_of_pulls(self) -> None:
        """A feed that is stale has a reason, too. It is cut, and has no times that change all the time."""
        self.feed.tell_reasons(are_public=True)
        self.feed.mark_stale("x" * 300)
        self.assertEqual(self.facts()["reason"], "x" * 197 + "...")

    def test_overlay(self) -> None:
        """The pointers of an editor's values are listed while there are any, and the document is shown."""
        self.feed.heed(Notice(overlay=("/a", "/é")))
        self.assertEqual(self.facts()["overlay"], ["/a", "/é"])
        for notice in (Notice(), Notice(State.WITHDRAWN, kind="withdraw", overlay=("/a",))):
            self.feed.heed(notice)
            self.assertNotIn("overlay", self.facts())

    def test_withdrawn_document_has_no_version(self) -> None:
        """Everybody could find a short value by its hash."""
        self.assertIn("version", self.facts())
        self.feed.decide(State.WITHDRAWN)
        self.assertNotIn("version", self.facts())
