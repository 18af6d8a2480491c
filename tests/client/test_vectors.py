"""The vectors that are the contract for clients in other languages, with the client for Python."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.client.actions import Connect, Disconnect, Get, Send, Stop
from livefeed.client.address import Address
from livefeed.client.answers import Answer
from livefeed.client.items import Item, Items, Outcome, version_of
from livefeed.client.messages import read_message
from livefeed.client.protocol import Protocol
from livefeed.client.trust import trust_of
from livefeed.client.update import STATES, Line, State
from livefeed.client.verification import Verifier
from livefeed.document.exact_json import DeltaError
from livefeed.document.signature import SignatureError, Signed
from livefeed.document.splices import apply_splices
from tests.helpers.delta_messages import document, heartbeat, message

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "vectors.json").read_text("utf-8")
)
MAX_BYTES = 1_000_000


class ContractTests(SynchronousTestCase):
    """Each vector."""

    def test_documents(self) -> None:
        """Texts have their versions."""
        for vector in VECTORS["documents"]:
            self.assertEqual(version_of(vector["text"].encode()), vector["version"], vector["name"])

    def test_splices(self) -> None:
        """Splices turn one document into the other."""
        for vector in VECTORS["splices"]:
            made = apply_splices(vector["old"].encode(), vector["splices"], MAX_BYTES)
            self.assertEqual((made, version_of(made)), (vector["new"].encode(), vector["version"]), vector["name"])

    def test_bad_splices(self) -> None:
        """Splices that break a rule are refused, or do not give the version."""
        for vector in VECTORS["bad_splices"]:
            try:
                splices = json.loads(vector["splices"])
                made = apply_splices(vector["old"].encode(), splices, vector.get("max_bytes", MAX_BYTES))
            except (DeltaError, ValueError):
                continue
            self.assertNotEqual(version_of(made), vector["version"], vector["name"])

    def known_texts(self) -> dict[str, str]:
        """Gives the texts of all versions that occur."""
        texts = [each["text"] for each in VECTORS["documents"]]
        for vector in [*VECTORS["messages"], *(step for each in VECTORS["sequences"] for step in each["steps"])]:
            texts += [each["text"] for each in vector["shown"] if each["text"] is not None]
            texts += [vector["message"]["text"]] if "text" in vector["message"] else []
        return {version_of(text.encode()): text for text in texts}

    def items(self, have: dict[str, str | None]) -> Items:
        """Gives a client that has some versions, all of them live."""
        texts = self.known_texts()
        own, *others = [Item(path) for path in have]
        items = Items(own, MAX_BYTES)
        for item in others:
            items.add(item)
        for item in (own, *others):
            version = have[item.path or ""]
            if version is not None:
                content = texts[version].encode()
                self.assertTrue(item.hold(content, version, sequence="1.1"))
                item.state = State.LIVE
        return items

    def check(self, items: Items, step: dict[str, Any], name: str) -> None:
        """Gives a client a message, and compares what it shows and sends."""
        read = read_message(json.dumps(step["message"]))
        outcome = Outcome.IGNORED if read is None else items.receive(read, 100.0)[0]
        self.assertEqual(outcome is Outcome.LOST, bool(step["sends"]), name)
        for shown in step["shown"]:
            item = items.of(shown["path"])
            assert item is not None
            found = item.shown(Line.OPEN)
            self.assertEqual(None if found.content is None else found.content.decode(), shown["text"], name)
            self.assertEqual(found.version, shown.get("version"), name)
            # This client has states of its own for a part that is missing, and before the first document.
            if found.state not in (State.MISSING, State.WAITING):
                self.assertEqual(found.state, shown["state"] if shown["state"] in STATES else State.UNKNOWN, name)
                self.assertEqual(found.unknown_state or found.state.value, shown["state"], name)
            else:
                self.assertIsNone(shown["text"])

    def test_messages(self) -> None:
        """After each message the client shows what it should, and asks for a document if it must."""
        for vector in VECTORS["messages"]:
            items = self.items(vector["have"])
            try:
                self.check(items, vector, vector["name"])
            except ValueError as error:
                self.fail(f"{vector['name']}: {error}")

    def test_sequences(self) -> None:
        """The same holds for messages one after the other."""
        for vector in VECTORS["sequences"]:
            items = self.items(vector["have"])
            for step in vector["steps"]:
                self.check(items, step, vector["name"])

    def test_lifetimes(self) -> None:
        """A document is shown until its time is over, and not longer."""
        for vector in VECTORS["lifetimes"]:
            items, shown_ms = self.items(vector["have"]), vector["shown_ms"]
            read = read_message(json.dumps(vector["message"]))
            assert read is not None
            items.receive(read, 100.0)
            until = 1e9 if shown_ms is None else 100 + shown_ms / 1000
            self.assertEqual(items.expires_s, None if shown_ms is None else until, vector["name"])
            items.expire(until - 0.001)
            self.assertTrue(items.own.is_shown, vector["name"])
            items.expire(until)
            self.assertEqual((items.own.is_shown, vector["name"]), (shown_ms is None, vector["name"]))

    def test_requests_for_documents(self) -> None:
        """The question after splices that cannot be applied is the one of the vectors."""
        for vector in VECTORS["messages"]:
            if not vector["sends"]:
                continue
            path = vector["message"]["path"]
            protocol = Protocol(Address.of(f"http://h{path}"))
            protocol.start(0.0)
            protocol.opened("livefeed.delta.v2", 0.0)
            version = vector["have"][path]
            if version is not None:
                protocol.received(document(self.known_texts()[version], path), 0.0)
            actions = protocol.received(json.dumps(vector["message"]), 1.0)
            sent = [json.loads(each.text) for each in actions if isinstance(each, Send)]
            self.assertEqual(sent, vector["sends"], vector["name"])


class SlotTests(SynchronousTestCase):
    """The times at which a client comes back, with the smallest and the largest random part."""

    def delays(self, vector: dict[str, Any]) -> list[float | None]:
        return [self.delay_ms(vector, part) for part in (0.0, 0.5, 0.999)]

    def delay_ms(self, vector: dict[str, Any], part: float) -> float | None:
        """Gives the time until the next action in milliseconds; ``None`` if the client stops."""
        protocol = Protocol(Address.of("http://h/feed"), can_push="status" not in vector, part=lambda: part)
        now = 1000.0
        actions = protocol.start(now)
        if "status" in vector:
            fields = {"livefeed-state": "live", "livefeed-version": version_of(b"[1]"), "livefeed-next": "1000"}
            if vector["status"] == 304:
                protocol.answered(Answer(200, fields, b"[1]"), now)
                now = protocol.wakes_at or 0.0
                protocol.wake(now)
            if vector["retry_after"] is not None:
                fields["retry-after"] = vector["retry_after"]
            actions = protocol.answered(Answer(vector["status"], fields, b"[1]"), now)
        else:
            protocol.opened("livefeed.delta.v2", now)
            protocol.received(document("[1]"), now)
            now += 10
            protocol.received(heartbeat("[1]", next=3_600_000), now)
            if "code" in vector:
                actions = protocol.closed(vector["code"], vector["reason"], now)
            else:
                actions = protocol.received(message("refused", status=503, retry=vector["refused"]), now)
        began = now
        while not any(isinstance(action, Stop) for action in actions):
            assert protocol.wakes_at is not None
            now = protocol.wakes_at
            actions = protocol.wake(now)
            self.assertFalse(any(isinstance(action, Disconnect) for action in actions))
            if any(isinstance(action, Connect | Get | Send) for action in actions):
                return (now - began) * 1000
        return None

    def test_slots(self) -> None:
        """Each delay is within the limits of its vector; those of event streams have no place in this client."""
        for vector in VECTORS["slots"]:
            if "retry" in vector:
                continue
            for found in self.delays(vector):
                if vector["delay_ms"] is None:
                    self.assertIsNone(found, vector)
                    continue
                least, most = vector["delay_ms"]
                assert found is not None, vector
                self.assertTrue(least - 0.01 <= found <= most + 0.01, (vector, found))

    def test_statements(self) -> None:
        """A client with keys takes the documents that they have signed, and no others."""
        for vector in VECTORS["statements"]:
            address = Address.of(f"http://h/{vector['feed']}")
            trust = replace(trust_of(json.dumps(vector["keys"]).encode(), address), wall=lambda: 0.0)
            verifier = Verifier(trust)
            signed = Signed.of_member(vector["signed"])
            try:
                verifier.take(signed, vector["text"].encode(), 100.0)
            except SignatureError:
                self.assertIsNone(vector["says"], vector["name"])
                continue
            found = verifier.newest
            assert found is not None
            says = {name: getattr(found.statement, name) for name in ("state", "at")}
            says |= {"sequence": found.statement.sequence_text, "created": found.created, "expires": found.expires}
            self.assertEqual(says, vector["says"], vector["name"])
