"""``vectors.json`` is what its program makes, and livefeed and a client that follows the protocol agree with it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.websocket.close_codes import COME_BACK, DO_NOT_COME_BACK, close_code, delay_ms
from livefeed.document.exact_json import DeltaError, parse
from livefeed.document.gate import check_document
from livefeed.document.patch import apply_patch
from livefeed.document.public_keys import read_key_set
from livefeed.document.signature import SignatureError, Signed, verified
from livefeed.document.snapshot import version_of
from livefeed.document.splices import apply_splices
from livefeed.feed.state import State
from tests.helpers.reference_follower import ReferenceFollower
from tests.vectors.layout import FILE, written

MAX_BYTES = 1 << 20


class VectorTests(SynchronousTestCase):
    """Each section of the file."""

    def setUp(self) -> None:
        self.text = FILE.read_text("ascii")
        self.vectors: dict[str, list[dict[str, Any]]] = json.loads(self.text)
        self.documents = {each["version"]: each["text"].encode() for each in self.vectors["documents"]}

    def test_file_is_what_the_program_makes(self) -> None:
        """``python -m tests.vectors`` writes it anew."""
        self.assertEqual(self.text, written())

    def test_cases_have_names_of_their_own(self) -> None:
        """A client whose test fails can name the case."""
        for section, cases in self.vectors.items():
            names = [case["name"] for case in cases if "name" in case]
            self.assertEqual((section, len(names)), (section, len({*names})))

    def test_documents(self) -> None:
        """Each is JSON that the gate accepts, and has its version."""
        for version, data in self.documents.items():
            check_document(data, max_bytes=MAX_BYTES)
            self.assertEqual(version, version_of(data))

    def test_splices(self) -> None:
        """They give the new document, byte for byte."""
        for case in self.vectors["splices"]:
            made = apply_splices(case["old"].encode(), case["splices"], MAX_BYTES)
            self.assertEqual(
                (case["name"], made.decode(), version_of(made)), (case["name"], case["new"], case["version"])
            )

    def test_bad_splices(self) -> None:
        """They are refused, or the hash of their result is another one."""
        kinds = {"refused": 0, "another hash": 0}
        for case in self.vectors["bad_splices"]:
            try:
                made = apply_splices(case["old"].encode(), msgspec.json.decode(case["splices"]), case["max_bytes"])
            except (DeltaError, msgspec.DecodeError):
                kinds["refused"] += 1
            else:
                self.assertNotEqual((case["name"], version_of(made)), (case["name"], case["version"]))
                kinds["another hash"] += 1
        self.assertGreater(min(kinds.values()), 1)

    def test_patches(self) -> None:
        """They give the same value, with the same numbers."""
        exact = msgspec.json.decode(self.text, type=dict[str, list[dict[str, msgspec.Raw]]])
        for case in exact["patches"]:
            old, new = (msgspec.json.decode(case[name], type=str).encode() for name in ("old", "new"))
            self.assertEqual(parse(apply_patch(old, bytes(case["patch"]))).value, parse(new).value)

    def test_messages(self) -> None:
        """A client that follows the protocol shows and sends what the file says, after each message."""
        for case in self.vectors["messages"]:
            follower = ReferenceFollower.of(case["have"], self.documents)
            sent = follower.receive(case["message"])
            self.assertEqual((case["name"], sent, follower.shown()), (case["name"], case["sends"], case["shown"]))
        for case in self.vectors["sequences"]:
            follower = ReferenceFollower.of(case["have"], self.documents)
            for number, step in enumerate(case["steps"]):
                sent, name = follower.receive(step["message"]), (case["name"], number)
                self.assertEqual((name, sent, follower.shown()), (name, step["sends"], step["shown"]))

    def test_lifetimes(self) -> None:
        """A message about an item says its lifetime, or there is none; that of the whole is that of its parts.

        A lifetime that is no time counts as none.
        """
        for case in self.vectors["lifetimes"]:
            (path,), message = case["have"], case["message"]
            is_about = path == message["path"] or path.startswith(f"{message['path']}/")
            lifetime = message.get("lifetime")
            is_time = type(lifetime) is int and lifetime >= 0
            self.assertEqual(
                (case["name"], lifetime if is_about and is_time else None), (case["name"], case["shown_ms"])
            )

    def test_every_state_and_type_is_there(self) -> None:
        """The file has all states of a feed, and one that no feed has; so it is with the types of messages."""
        steps = [step for case in self.vectors["sequences"] for step in case["steps"]]
        messages = [case["message"] for case in (*self.vectors["messages"], *steps)]
        states = {message.get("state") for message in messages}
        self.assertEqual(states - {None}, {state.value for state in State} | {"paused"})
        types = {message["type"] for message in messages}
        self.assertEqual(types, {"document", "splices", "heartbeat", "missing", "refused", "signature"})

    def test_slots(self) -> None:
        """The codes that the server makes of a delay stand for that delay, up to the largest that a code can say."""
        for case in self.vectors["slots"]:
            code, delay = case.get("code", 0), case["delay_ms"]
            if COME_BACK <= code < DO_NOT_COME_BACK and "come back in" not in case["reason"]:
                self.assertEqual(delay_ms(code - COME_BACK), delay[0])
                self.assertEqual(close_code(delay[0]), code)
            if code >= DO_NOT_COME_BACK:
                self.assertIsNone(delay)

    def test_statements(self) -> None:
        """Each that is good was signed by a key of its case; of the others, each breaks one rule."""
        for case in self.vectors["statements"]:
            keys = read_key_set(json.dumps(case["keys"]).encode())
            verify = {name: Ed25519PublicKey.from_public_bytes(each).verify for name, each in keys.items()}
            signed = Signed.of_member(case["signed"])
            assert signed is not None
            try:
                found = verified(signed, verify).statement
            except SignatureError:
                self.assertIsNone(case["says"], case["name"])
            else:
                fits = found.feed == case["feed"] and found.digest == hashlib.sha256(case["text"].encode()).digest()
                self.assertEqual((case["name"], fits), (case["name"], case["says"] is not None))
