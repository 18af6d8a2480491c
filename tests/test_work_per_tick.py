"""The work of a tick does not depend on the number of subscribers: comparisons, compressions and frames are counted."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery import framing
from livefeed.delivery.websocket import outlets
from livefeed.document import snapshot
from livefeed.document.codings import compress_better
from livefeed.document.history import MAX_DELTAS
from livefeed.feed import demand
from livefeed.feed.fanout import SLICE
from livefeed.intake.making import Maker
from livefeed.testing import make_site, publish, request
from tests.helpers.signers import make_signer
from tests.helpers.transports import Transport
from tests.integration.harness import TEXT, client_frame
from tests.integration.watching import Ledger, Watcher, WebSocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.web.site import Site

CROWDS = (3, 30, 300)
TICKS = 12
OLD = 4
"""The number of old versions from which clients ask for a delta in one tick."""


def document(number: int) -> bytes:
    noise = random.Random(number // 5).randbytes(500).hex()
    return json.dumps({"n": number, "votes": [number * step for step in range(20)], "rest": noise}).encode()


class Subscriber:
    """A subscriber in memory: of each three, one is sent plain frames, one compressed ones, and one patches."""

    def __init__(self, site: Site, ledger: Ledger, number: int) -> None:
        kind = number % 3
        self.session = WebSocket(Watcher(ledger), delta=kind == 2, says="", deflate=kind > 0, pushes="tick")
        self.transport = Transport()
        channel = site.buildProtocol(None)
        assert channel is not None
        self.transport.protocol = channel
        channel.makeConnection(self.transport)
        self.transport.protocol.dataReceived(self.session.opening())

    def read(self) -> None:
        data = self.transport.value()
        self.transport.clear()
        self.session.receive(data)

    def ask(self, version: str) -> None:
        """Tells the server that it has a version, which need not be true, and ignores the answer."""
        self.transport.protocol.dataReceived(client_frame(TEXT, json.dumps({"have": version}).encode()))
        self.transport.clear()


class WorkPerTickTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.work: Counter[str] = Counter()
        for module, *names in (
            (snapshot, "compress", "compress_well", "version_of"),
            (framing, "websocket_text_frame"),
            (outlets, "deflate_message", "websocket_text_frame"),
        ):
            for name in names:
                self.patch(module, name, self.counting(name, getattr(module, name)))

    def counting(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def count(*arguments: Any, **named: Any) -> Any:
            self.work[name] += 1
            return call(*arguments, **named)

        return count

    def serve(self, number: int) -> list[Subscriber]:
        """Begins anew, with this number of subscribers."""
        self.clock = Clock()
        made = make_site(clock=self.clock)
        self.feed, self.site, (self.served,) = made.feed, made.site, made.published
        self.ledger = Ledger()
        self.tick(document(0))
        return [Subscriber(made.site, self.ledger, each) for each in range(number)]

    def tick(self, data: bytes | None) -> Counter[str]:
        """Gives the work of a tick, including the pushes that follow."""
        before = self.counts()
        if data is None:
            self.feed.mark_stale()
        else:
            self.ledger.add(len(self.ledger.entries) + 1, data)
            publish(self.feed, data)
        self.ledger.confirm()
        self.ledger.state = self.feed.state.value
        self.clock.advance(1)
        after = self.counts()
        after.subtract(before)
        return +after

    def counts(self) -> Counter[str]:
        return self.work + Counter(patches=self.feed.history.made, messages=self.served.delivery.messages.made)

    def test_subscribers_that_keep_up(self) -> None:
        """The work is the very same for 3 and for 300, be it a tick with a change, without one, or one that fails."""
        ticks = [document(number) for number in (1, 2, 2, 3, 5, 3, 6)] + [None, None]
        work = {}
        for number in CROWDS:
            subscribers = self.serve(number)
            done = []
            for data in ticks:
                done.append(self.tick(data))
                for subscriber in subscribers:
                    subscriber.read()
                    assert subscriber.session.up_to_date
            work[number] = done
        self.assertGreater(max(CROWDS), SLICE)
        self.assertEqual(work[3], work[30])
        self.assertEqual(work[3], work[300])
        changed, unchanged, failed = work[3][1], work[3][2], work[3][-1]
        self.assertEqual(
            changed,
            # Of the message with the patch, and of the one with the document, than which it must be smaller.
            {"compress": 1, "compress_well": 1, "version_of": 1, "patches": 1, "messages": 2, "deflate_message": 2}
            | {"websocket_text_frame": 4},
        )
        for other in (unchanged, failed):
            self.assertEqual(other, {"messages": 1, "deflate_message": 1, "websocket_text_frame": 1})

    def test_statements(self) -> None:
        """One statement is signed for each tick, whatever the number of subscribers."""
        for number in CROWDS:
            subscribers = self.serve(number)
            signer = self.feed.signer = make_signer(self.clock.seconds)
            for data in (document(1), document(1), document(2), None):
                before = signer.signed
                self.tick(data)
                self.assertEqual(signer.signed, before + 1)
                for subscriber in subscribers:
                    subscriber.read()
                    assert subscriber.session.up_to_date

    def test_subscribers_that_ask_from_old_versions(self) -> None:
        """The work grows with the number of versions, and not with the number of clients."""
        chosen = random.Random(5)
        for number in CROWDS:
            subscribers = self.serve(number)
            for tick in range(1, TICKS):
                versions = [str(entry.version) for entry in self.ledger.entries[-1 - OLD : -1]]
                before = self.counts()
                for subscriber in subscribers[2::3] if versions else []:
                    subscriber.read()
                    subscriber.ask(chosen.choice(versions))
                asked = self.counts()
                asked.subtract(before)
                self.assertLessEqual(asked["patches"], len(versions))
                # Besides those with patches, one with the document.
                self.assertLessEqual(asked["messages"], len(versions) + 1)
                self.assertLessEqual(asked["deflate_message"], len(versions) + 1)
                self.assertEqual(asked["compress"] + asked["compress_well"], 0)
                done = self.tick(document(tick))
                self.assertEqual((done["patches"], done["messages"], done["deflate_message"]), (1, 2, 2))
                self.assertEqual((done["compress"], done["compress_well"]), (1, 1))

    def test_codings_that_clients_ask_for(self) -> None:
        """A version that was made in no coding is compressed once in each that is asked for, and the next as well."""
        accepted = (b"br", b"gzip", b"zstd", b"gzip, br", b"gzip, deflate, br, zstd", b"identity")
        self.patch(demand, "compress_better", self.counting("compress_better", compress_better))
        for number in CROWDS:
            self.serve(0)
            self.feed.demand = demand.Demand(-2 * demand.ASKED_S)
            maker = Maker(self.feed, self.clock, maybeDeferred)
            for tick in range(1, TICKS):
                before = self.counts()
                made = self.successResultOf(Deferred.fromCoroutine(maker.make(document(tick))))
                self.feed.publish(made.snapshot)
                for each in range(number):
                    head = b"GET /feed HTTP/1.1\nUser-Agent: %d\nAccept-Encoding: %b"
                    self.assertEqual(request(self.site, head % (each, accepted[each % len(accepted)])).status, 200)
                work = self.counts()
                work.subtract(before)
                # The first version is compressed as it is asked for, the others when they are made.
                self.assertEqual(work["compress_better"], 3 if tick == 1 else 0)
                self.assertEqual((work["compress"], work["compress_well"]), (int(tick > 1), 1))
                self.assertEqual(made.snapshot.work.codings, 3)
                self.assertEqual(len(made.snapshot.representations), 4)

    def test_subscribers_that_are_all_somewhere_else(self) -> None:
        """The number of comparisons does not exceed its limit then; the other subscribers are sent the document."""
        for number in CROWDS:
            subscribers = self.serve(number)
            for tick in range(1, 3 * MAX_DELTAS):
                self.tick(document(tick))
            versions = [str(entry.version) for entry in self.ledger.entries[:-1]]
            before = self.counts()
            for place, subscriber in enumerate(subscribers[2::3]):
                subscriber.read()
                subscriber.ask(versions[place % len(versions)])
            done = self.counts()
            done.subtract(before)
            self.assertLessEqual(done["patches"], MAX_DELTAS)
            self.assertLessEqual(done["messages"], MAX_DELTAS + 1)
            self.assertLessEqual(done["deflate_message"], MAX_DELTAS + 1)
