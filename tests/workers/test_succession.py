"""The messages of an upgrade: each is read as it was written."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import LinkError
from livefeed.workers.messages import Decoder, encode, message_of
from livefeed.workers.succession import (
    COMMIT,
    OFFER,
    PROTOCOL,
    STEP,
    CommitFacts,
    Offer,
    OfferedSockets,
    StepFacts,
)


class MessageTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        """Facts survive the way over the channel."""
        listen = [OfferedSockets("tls:8443", [0, 1]), OfferedSockets("unix:/run/feed.sock", [0], is_shared=True)]
        offer = Offer(PROTOCOL, "1.0", 1, 2, "/run", listen, [OfferedSockets("", [0])], ["feed"], True, "/run/pid")
        for kind, facts in ((OFFER, offer), (STEP, StepFacts("it works")), (COMMIT, CommitFacts({"feed": (7, 8)}))):
            (message,) = Decoder().feed(encode(message_of(kind, facts)))
            self.assertEqual((message.type, message.read(type(facts))), (kind, facts))

    def test_missing_facts(self) -> None:
        """They are an error of the other side."""
        self.assertRaises(LinkError, message_of(STEP, StepFacts("it works")).read, Offer)
