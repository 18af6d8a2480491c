"""The members of messages: the table, compared with messages that are made, and with the vectors for clients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.clocks import Moment
from livefeed.delivery.item_messages import ItemMessages
from livefeed.delivery.message_members import KINDS_1, KINDS_2, MEMBERS
from livefeed.delivery.messages import Messages
from livefeed.feed.feed import Feed
from livefeed.feed.notice import Notice
from livefeed.feed.state import State
from livefeed.testing import publish
from tests.helpers.signers import make_signer

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTORS = Path(__file__).parents[1] / "vectors" / "vectors.json"
NOW = 1_795_000_000.0
DOCUMENTS = tuple(json.dumps({"n": n, "rest": ["unchanged"] * 50}).encode() for n in range(2))


class MemberTests(SynchronousTestCase):
    def assert_described(self, message: dict[str, Any], kinds: tuple[str, ...]) -> None:
        """Asserts that the table has each member of a message for its type, and that none is missing."""
        kind = message["type"]
        self.assertIn(kind, kinds)
        own = [(each, each.in_1 if kinds is KINDS_1 else each.in_2) for each in MEMBERS]
        possible = {each.name for each, types in own if kind in types}
        needed = {each.name for each, types in own if kind in types and each.is_always_there}
        self.assertEqual({*message} - possible, set(), message)
        self.assertEqual(needed - {*message}, set(), message)

    def made(self, messages: Messages | ItemMessages, feed: Feed) -> Iterator[dict[str, Any]]:
        """Makes messages about a feed in all states."""
        versions: list[str] = []
        for data in DOCUMENTS:
            publish(feed, data)
            assert feed.snapshot is not None
            for have in (None, *versions, feed.snapshot.version):
                yield json.loads(messages.get(have, lambda message, _: message))
            versions.append(feed.snapshot.version)
        for state in (State.HELD, State.ENDED, State.WITHDRAWN):
            now_s = feed.clock.seconds()
            feed.heed(Notice(state, "The count is checked.", Moment(now_s, now_s), "hold", overlay=("/n",)))
            yield json.loads(messages.get(versions[-1], lambda message, _: message))

    def test_messages_that_are_made(self) -> None:
        """Of both protocols, with everything that a message may have."""
        for make, kinds in ((Messages, KINDS_1), (ItemMessages, KINDS_2)):
            clock = Clock()
            clock.advance(NOW)
            feed = Feed("feed", clock=clock, signer=make_signer(clock.seconds))
            feed.tell_reasons(are_public=True)
            found = [*self.made(make(feed), feed)]
            for message in found:
                self.assert_described(message, kinds)
            seen = {name for message in found for name in message}
            self.assertGreaterEqual(seen, {"waiting", "reason", "overlay", "signed", "from"})

    def test_vectors(self) -> None:
        """The contract for clients has no other members, besides two that stand for those of later releases."""
        unknown = set()
        for case in json.loads(VECTORS.read_text("utf-8"))["messages"]:
            if isinstance(case["message"], dict):
                unknown |= {*case["message"]} - {each.name for each in MEMBERS}
        self.assertEqual(unknown, {"watchers", "zero"})

    def test_types(self) -> None:
        """Each member is for a known type, and each type has members of its own protocol."""
        for member in MEMBERS:
            self.assertLessEqual({*member.in_1}, {*KINDS_1}, member.name)
            self.assertLessEqual({*member.in_2}, {*KINDS_2}, member.name)
            self.assertTrue(member.in_1 or member.in_2, member.name)
