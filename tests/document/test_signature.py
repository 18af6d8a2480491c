"""Signed statements."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver, InvalidSignature, algorithms
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.signature import (
    MAX_FIELD_LENGTH,
    MAX_TEXT_LENGTH,
    SignatureError,
    Signed,
    Statement,
    Verified,
    verified,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
KEYS = {"one": KEY.public_key().verify}
DIGEST = hashlib.sha256(b"{}").digest()
STATEMENT = Statement("results", (1764000000000, 7), DIGEST, "live", "2026-11-23T20:15:07.004Z")
CREATED = 1_764_000_007


def signed(statement: str = STATEMENT.text(), key: Ed25519PrivateKey = KEY, key_id: str = "one") -> Signed:
    return Signed.of(statement, key_id, CREATED, CREATED + 8, key.sign)


def fields(value: Signed) -> dict[str, str]:
    return {name.decode().lower(): text.decode() for name, text in value.fields()}


class StatementTests(SynchronousTestCase):
    """Statements as text."""

    def test_text(self) -> None:
        """A statement is a structured field, in a fixed order."""
        self.assertEqual(
            STATEMENT.text(),
            'feed="results", sequence="1764000000000.7", sha-256=:RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=:, '
            'state=live, at="2026-11-23T20:15:07.004Z"',
        )
        self.assertEqual(Statement.parse(STATEMENT.text()), STATEMENT)

    def test_more_members_later(self) -> None:
        """A member that is not known is left out."""
        self.assertEqual(Statement.parse(f'{STATEMENT.text()}, new="x", more=:AA==:'), STATEMENT)

    def test_malformed(self) -> None:
        """A malformed statement is refused."""
        text = STATEMENT.text()
        for bad in (
            "",
            text.replace(", state=live", ""),
            text.replace("1764000000000.7", "7"),
            text.replace("sha-256=:R", "sha-256=:RR"),
            text.replace("sha-256=:RBNvo1Wz", "sha-256=:"),
            f"{text}, ",
            f"{text},state=ended",
            f"{text}, state=ended",
            f"{text}\nx",
        ):
            self.assertRaises(SignatureError, Statement.parse, bad)


class SignedTests(SynchronousTestCase):
    """Signatures."""

    def refused(self, value: Signed) -> str:
        return str(self.assertRaises(SignatureError, verified, value, KEYS))

    def test_verified(self) -> None:
        """A statement comes through the fields of an answer, and through a member of a message."""
        value = signed()
        expected = Verified(STATEMENT, CREATED, CREATED + 8, "one")
        self.assertEqual(verified(value, KEYS), expected)
        self.assertEqual(Signed.of_fields(fields(value)), value)
        member = json.loads(b"{" + value.member()[1:] + b"}")["signed"]
        self.assertEqual(Signed.of_member(member), value)

    def test_the_standard(self) -> None:
        """An independent implementation of RFC 9421 verifies the fields, and refuses changed ones."""

        class Keys(HTTPSignatureKeyResolver):
            def resolve_public_key(self, key_id: str) -> object:
                return {"one": KEY.public_key()}[key_id]

            def resolve_private_key(self, key_id: str) -> object:
                raise NotImplementedError

        class Answer:
            status_code = 200

            def __init__(self, headers: dict[str, str]) -> None:
                self.headers = headers

        now = int(time.time())
        value = Signed.of(STATEMENT.text(), "one", now, now + 60, KEY.sign)
        verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=Keys())
        (result,) = verifier.verify(Answer(fields(value)), expect_tag="livefeed")
        self.assertEqual(result.covered_components['"livefeed-statement"'], STATEMENT.text())
        changed = fields(value) | {"livefeed-statement": STATEMENT.text().replace("results", "resultz")}
        self.assertRaises(InvalidSignature, verifier.verify, Answer(changed), expect_tag="livefeed")

    def test_beside_signatures_of_a_proxy(self) -> None:
        """A proxy may add signatures of its own."""
        value = signed()
        both = fields(value)
        both["signature-input"] = f'proxy=("date");created=1, {both["signature-input"]}, sig=("date");keyid="x,y"'
        both["signature"] = f"proxy=:AA==:, {both['signature']}, sig=:AA==:"
        self.assertEqual(Signed.of_fields(both), value)

    def test_no_statement(self) -> None:
        """Fields and members that are no signed statement are none."""
        value = fields(signed())
        for name in value:
            self.assertIsNone(Signed.of_fields({key: text for key, text in value.items() if key != name}))
        self.assertIsNone(Signed.of_fields(value | {"signature": value["signature"] + " " * MAX_FIELD_LENGTH}))
        self.assertIsNone(Signed.of_fields(value | {"livefeed-statement": "x" * (MAX_TEXT_LENGTH + 1)}))
        member = json.loads(b"{" + signed().member()[1:] + b"}")["signed"]
        bads: tuple[object, ...] = (
            None,
            [],
            {},
            member | {"statement": 1},
            member | {"signature": "!"},
            member | {"signature": "AA=="},
        )
        for bad in bads:
            self.assertIsNone(Signed.of_member(bad))

    def test_another_key(self) -> None:
        """A key that is not trusted counts for nothing, also under the id of one that is."""
        self.assertIn("a key that is not trusted: other", self.refused(signed(key=OTHER, key_id="other")))
        self.assertIn("not one of the key one", self.refused(signed(key=OTHER)))

    def test_changes(self) -> None:
        """Each changed part is refused."""
        value = signed()
        for bad, why in (
            (replace(value, statement=value.statement.replace("live", "ended")), "not one of the key"),
            (replace(value, parameters=value.parameters.replace("expires=1", "expires=2")), "not one of the key"),
            (replace(value, parameters=value.parameters.replace("ed25519", "hmac-sha256")), "by Ed25519"),
            (replace(value, parameters=value.parameters.replace("tag=", "tog=")), "by Ed25519"),
            (replace(value, parameters=value.parameters.replace("created=", "c=")), "when it was made"),
            (replace(value, parameters=value.parameters.replace("expires=", "e=")), "when it was made"),
            (replace(value, parameters=value.parameters.replace("keyid=", "k=")), "none is named"),
            (replace(value, parameters=value.parameters + ";created=1"), "malformed"),
            (replace(value, parameters=value.parameters + " "), "malformed"),
            (replace(value, parameters=value.parameters.replace("livefeed-statement", "date")), "does not cover"),
            (replace(value, signature=bytes(64)), "not one of the key"),
        ):
            self.assertIn(why, self.refused(bad))

    def test_the_algorithm_may_be_left_out(self) -> None:
        """It is that of the key (RFC 9421, 3.3)."""
        parameters = signed().parameters.replace(';alg="ed25519"', "")
        base = f'"livefeed-statement": {STATEMENT.text()}\n"@signature-params": {parameters}'
        self.assertEqual(
            verified(Signed(STATEMENT.text(), parameters, KEY.sign(base.encode())), KEYS).statement, STATEMENT
        )

    def test_a_signed_text_that_is_no_statement(self) -> None:
        """The text is read after its signature was verified, and refused if it is none."""
        self.assertIn("lacks something", self.refused(signed('feed="results"')))

    @given(st.integers(0, 10_000), st.integers(1, 255))
    def test_each_byte_counts(self, place: int, mask: int) -> None:
        """A flipped byte anywhere is refused."""
        value = signed()
        whole = bytearray(f"{value.statement}\n{value.parameters}\n".encode() + value.signature)
        whole[place % len(whole)] ^= mask
        statement, _, rest = bytes(whole).partition(b"\n")
        parameters, _, signature = rest.partition(b"\n")
        try:
            changed = Signed(statement.decode("ascii"), parameters.decode("ascii"), signature)
        except UnicodeDecodeError:
            return
        self.refused(changed)
