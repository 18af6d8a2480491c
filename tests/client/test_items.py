"""The documents that a client holds, and the messages that change them."""

from __future__ import annotations

import random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.client.items import Item, Items, Outcome
from livefeed.client.messages import read_message
from livefeed.client.update import Line, Shown, State
from livefeed.client.verification import Trust, Verifier
from tests.helpers.delta_messages import document, heartbeat, message, splices, version_of
from tests.helpers.signers import TRUSTED, member_of, statement_about

A, B = '{"seats": 42}', '{"seats": 43, "name": "É\\u0001"}'


class ItemsTests(SynchronousTestCase):
    """One connection's items."""

    def setUp(self) -> None:
        self.items = Items(Item(None), 1000)

    def receive(self, text: str, now: float = 100.0) -> Outcome:
        read = read_message(text)
        assert read is not None
        return self.items.receive(read, now)[0]

    def shown(self, path: str | None = None) -> Shown:
        item = self.items.own if path is None else self.items.of(path)
        assert item is not None
        return item.shown(Line.OPEN)

    def assert_shows(self, text: str | None, state: State = State.LIVE, path: str | None = None) -> None:
        shown = self.shown(path)
        self.assertEqual(shown.content, None if text is None else text.encode())
        self.assertEqual(shown.version, None if text is None else version_of(text))
        self.assertIs(shown.state, state)
        self.assertEqual(shown.verified, text is not None)

    def test_documents_and_splices(self) -> None:
        """A document is taken, and splices turn it into the next one, byte for byte."""
        self.assertIs(self.receive(document(A)), Outcome.TAKEN)
        self.assert_shows(A)
        self.assertIs(self.receive(splices(A, B, state="stale")), Outcome.TAKEN)
        self.assert_shows(B, State.STALE)

    def test_age_is_that_of_the_message(self) -> None:
        """The age is counted by the caller's clock from the arrival of the message."""
        self.receive(document(A, age=2500), 100.0)
        self.assertEqual(self.items.own.confirmed_s, 97.5)
        self.receive(heartbeat(A, age=None), 101.0)
        self.assertIsNone(self.items.own.confirmed_s)

    def test_overlaid_values(self) -> None:
        """They are those of the item's own messages, and of the document that is shown."""
        part = Item("/feed/b")
        self.items.add(part)
        self.receive(document(B, "/feed/b", overlay=["/x"]))
        self.receive(document(A, "/feed", overlay=["/b/x", "/c"]))
        self.receive(heartbeat(A, "/feed", state="stale", overlay=["/d"]))
        self.assertEqual(part.shown(Line.OPEN).overlay, ("/x",))
        self.receive(heartbeat(B, "/feed/b"))
        self.assertEqual(part.shown(Line.OPEN).overlay, ())
        self.receive(heartbeat(B, "/feed/b", overlay=["/x"]))
        self.receive(heartbeat(B, "/feed/b", state="withdrawn", overlay=["/x"]))
        self.assertEqual(part.shown(Line.OPEN).overlay, ())

    def test_reason_and_waiting(self) -> None:
        """They belong to the state, also to one without a document, and to the parts of a feed."""
        self.receive(document(A, "/feed/a", state="held", reason="a check", waiting=2500), 100.0)
        self.assertEqual((self.shown().reason, self.shown().is_waiting), ("a check", True))
        self.assertEqual(self.items.own.waits_since_s, 97.5)
        self.receive(heartbeat(B, state="stale", reason="the source"), 101.0)
        self.assertEqual((self.shown().reason, self.shown().is_waiting), ("the source", False))
        self.receive(heartbeat(B, state="withdrawn", reason="by mistake", waiting=0), 102.0)
        self.assertEqual(
            self.shown(), Shown(state=State.WITHDRAWN, line=Line.OPEN, reason="by mistake", is_waiting=True)
        )
        self.receive(document(A, "/feed/a"))
        self.assertEqual((self.shown().reason, self.shown().is_waiting), ("", False))
        self.receive(heartbeat(None, "/feed/a", state="expired", reason="too old"))
        self.assertEqual(self.shown(), Shown(state=State.EXPIRED, line=Line.OPEN, reason="too old"))

    def test_wrong_documents_are_never_shown(self) -> None:
        """A document or splices that do not give the version of the message are refused, and the last one stays."""
        self.receive(document(A))
        for text in (
            document(B, version=version_of(A)),
            splices(B, A),
            splices(A, B, version=version_of(A)),
            splices(A, B, splices=[10_000]),
            splices(A, B, splices=[0.5]),
            document("x" * 1001),
            heartbeat(B),
        ):
            self.assertIs(self.receive(text), Outcome.LOST, text)
            self.assert_shows(A)

    def test_half_of_a_surrogate_pair(self) -> None:
        """A text that has no UTF-8 is refused."""
        self.assertIs(self.receive(document(A, text="\ud800")), Outcome.LOST)

    def test_hidden_documents_are_forgotten(self) -> None:
        """After `expired` and `withdrawn` nothing is shown, and no splices apply."""
        for state in (State.EXPIRED, State.WITHDRAWN):
            self.receive(document(A))
            self.assertIs(self.receive(heartbeat(B, state=state.value)), Outcome.TAKEN)
            self.assert_shows(None, state)
            self.assertIs(self.receive(splices(A, B)), Outcome.LOST)
            self.assertIs(self.receive(document(B)), Outcome.TAKEN)
            self.assert_shows(B)

    def test_missing_parts_keep_their_bytes(self) -> None:
        """A part that is missing is not shown, and comes back by splices or by a heartbeat of its own."""
        self.items.own.path = "/feed/a"
        self.receive(document(A, "/feed/a"))
        self.receive(message("missing", "/feed/a"))
        self.assert_shows(None, State.MISSING)
        self.receive(heartbeat(B, "/feed"))
        self.assert_shows(None, State.MISSING)
        self.receive(heartbeat(A, "/feed/a"))
        self.assert_shows(A)
        self.receive(message("missing", "/feed/a"))
        self.receive(splices(A, B, "/feed/a"))
        self.assert_shows(B)

    def test_heartbeats_of_the_whole(self) -> None:
        """The heartbeat of a feed changes the state of its parts, and of nothing else."""
        for path in ("/feed/a", "/feed/b", "/feeder/a", "/other"):
            self.items.add(Item(path))
            self.receive(document(A, path))
        self.receive(message("missing", "/feed/b"))
        self.assertIs(self.receive(heartbeat(B, "/feed", state="stale")), Outcome.IGNORED)
        self.assert_shows(A, State.STALE, "/feed/a")
        self.assert_shows(None, State.MISSING, "/feed/b")
        self.assert_shows(A, State.LIVE, "/feeder/a")
        self.assert_shows(A, State.LIVE, "/other")
        self.receive(heartbeat(B, "/feed", state="expired"))
        self.assert_shows(None, State.EXPIRED, "/feed/a")
        self.receive(heartbeat(B, "/feed", state="live"))
        self.assert_shows(None, State.EXPIRED, "/feed/a")

    def test_heartbeats_of_a_part(self) -> None:
        """The heartbeat of a part says nothing of the parts below it, which have their own."""
        for path in ("/feed/a", "/feed/a/b"):
            self.items.add(Item(path))
            self.receive(document(A, path))
        self.receive(heartbeat(A, "/feed/a", state="stale"))
        self.assert_shows(A, State.STALE, "/feed/a")
        self.assert_shows(A, State.LIVE, "/feed/a/b")

    def test_path_behind_a_proxy(self) -> None:
        """The first message about the item tells its path; a heartbeat of the whole feed does not."""
        self.receive(heartbeat(B, "/feed"))
        self.assertIsNone(self.items.own.path)
        self.receive(document(A, "/feed/a"))
        self.assertEqual(self.items.own.path, "/feed/a")
        self.assertIs(self.receive(document(B, "/feed/b")), Outcome.IGNORED)

    def test_path_of_a_client_that_comes_back(self) -> None:
        """A heartbeat with the version that the client has tells the path, too, and so does one without a document."""
        for text, told in ((heartbeat(A, "/feed/a"), "/feed/a"), (heartbeat(None, "/feed", state="expired"), "/feed")):
            self.items.own = Item(None, A.encode(), version_of(A), state=State.LIVE)
            self.receive(text)
            self.assertEqual(self.items.own.path, told)

    def test_removed_items_are_ignored(self) -> None:
        """Messages that were on their way to an item that is no longer followed change nothing."""
        self.items.own.path = "/feed"
        self.items.add(Item("/other"))
        self.items.remove("/other")
        self.assertIs(self.receive(document(A, "/other")), Outcome.IGNORED)

    def test_random_schedules(self) -> None:
        """Whatever the order and the loss of messages, a shown document has its version, and its last state."""
        for seed in range(200):
            chance = random.Random(seed)
            texts = [f'{{"seats": {number}, "rest": "{"x" * chance.randrange(40)}"}}' for number in range(6)]
            items = self.items = Items(Item("/feed/a"), 1000)
            for _ in range(30):
                one, other = chance.choice(texts), chance.choice(texts)
                said = chance.choice(["live", "stale", "held", "ended", "expired", "withdrawn", "odd"])
                text = chance.choice(
                    [
                        document(one, "/feed/a", state=said),
                        document(one, "/feed/a", state=said, version=version_of(other)),
                        splices(one, other, "/feed/a", state=said),
                        heartbeat(one, "/feed/a", state=said),
                        heartbeat(one, "/feed", state=said),
                        message("missing", "/feed/a"),
                    ]
                )
                known = items.own.state
                outcome = self.receive(text)
                shown = self.shown()
                if shown.content is not None:
                    assert shown.version is not None
                    self.assertEqual(shown.version, version_of(shown.content.decode()))
                    self.assertNotIn(shown.state, (State.EXPIRED, State.WITHDRAWN, State.MISSING, State.WAITING))
                if shown.state is State.LIVE and known is not State.LIVE:
                    self.assertIn(f'"state": "{said}"', text)
                    self.assertEqual(said, "live")
                if outcome is Outcome.LOST:
                    self.assertIs(shown.state, known)


class LifetimeTests(SynchronousTestCase):
    """Documents that expire, and items that are refused."""

    def test_expiry(self) -> None:
        """The next document that expires is forgotten when its time is over; one without a limit stays."""
        items = Items(Item("/feed"), 1000)
        items.add(Item("/other"))
        self.assertIsNone(items.expires_s)
        for text, now in ((document(A, lifetime=5000), 100.0), (document(B, "/other", lifetime=9000), 100.0)):
            read = read_message(text)
            assert read is not None
            items.receive(read, now)
        self.assertEqual(items.expires_s, 105.0)
        items.expire(105.0)
        other = items.of("/other")
        assert other is not None
        self.assertEqual((items.own.state, other.state), (State.EXPIRED, State.LIVE))

    def test_refusals(self) -> None:
        """Only 404 says that there is no document; the heartbeats of the whole say nothing of a refused part."""
        items = Items(Item("/feed/a"), 1000)

        def receive(text: str) -> Outcome:
            read = read_message(text)
            assert read is not None
            return items.receive(read, 100.0)[0]

        receive(document(A, "/feed/a"))
        self.assertIs(receive(message("refused", "/feed/a", status=503, retry=1)), Outcome.REFUSED)
        receive(heartbeat(B, "/feed", state="stale"))
        self.assertIs(items.own.state, State.LIVE)
        self.assertIs(receive(message("refused", "/feed/a", status=404, retry=1)), Outcome.REFUSED)
        self.assertIs(items.own.state, State.MISSING)


class SignatureTests(SynchronousTestCase):
    """Items of a client that has keys. More is in the tests of ``protocol``."""

    def setUp(self) -> None:
        trust = Trust(TRUSTED, "feed", wall=lambda: 1_764_000_000.0)
        self.items = Items(Item(None, verifier=Verifier(trust)), 1000)

    def receive(self, text: str) -> Outcome:
        read = read_message(text)
        assert read is not None
        return self.items.receive(read, 100.0)[0]

    def signed(self, text: str, number: int, **more: Any) -> dict[str, Any]:
        signed = statement_about(text.encode(), sequence=(7, number), **more)
        return {"sequence": f"7.{number}", "signed": member_of(signed)}

    def test_outcomes(self) -> None:
        """What is not signed changes nothing, and the item says why."""
        self.assertIs(self.receive(document(A)), Outcome.UNSIGNED)
        self.assertEqual((self.items.own.content, self.items.own.version), (None, None))
        self.assertIn("a document is not shown: it is not signed", self.items.own.distrust)
        self.assertIs(self.receive(document(A, **self.signed(A, 1))), Outcome.TAKEN)
        self.assertEqual(self.items.own.distrust, "")
        self.assertIs(self.receive(heartbeat(A)), Outcome.UNSIGNED)
        self.assertIs(self.receive(splices(A, B)), Outcome.UNSIGNED)
        self.assertIs(self.receive(splices(A, B, **self.signed(A, 2))), Outcome.UNSIGNED)
        self.assertIs(self.receive(splices(A, B, version=version_of(A), **self.signed(B, 2))), Outcome.LOST)
        self.assertEqual(self.items.own.content, A.encode())
        self.assertIs(self.receive(splices(A, B, **self.signed(B, 2, state="held"))), Outcome.TAKEN)
        shown = self.items.own.shown(Line.OPEN, distrust="why")
        self.assertEqual(
            (shown.content, shown.state, shown.signed, shown.distrust), (B.encode(), State.HELD, True, "why")
        )
