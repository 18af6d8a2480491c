"""The section of signed statements: which of them a client takes, and what they say.

The private keys are public here, so nobody may use them. Ed25519 gives the same signature each time.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from livefeed.document.public_keys import key_id, key_set
from livefeed.document.signature import Signed, Statement

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT = '{"seats": 42, "name": "É"}'
CREATED, EXPIRES = 1_795_464_907, 1_795_464_915
AT = "2026-11-23T20:15:07.004Z"

_KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2, 3)]
_PUBLIC = [each.public_key().public_bytes_raw() for each in _KEYS]
_TRUSTED = json.loads(key_set(_PUBLIC[:2]))


def statements() -> Iterator[dict[str, object]]:
    """Gives statements that are good, and others that each break one rule."""
    good = _signed()
    yield _case("a statement", good)
    yield _case("the second key, during a rotation", _signed(number=1))
    yield _case("a document that has ended", _signed(state="ended"), state="ended")
    yield _case("more members", _changed(f'{_statement()}, next="x", more=:AA==:, rest=a/b'))
    yield _case("without the algorithm", _resigned(good.parameters.replace(';alg="ed25519"', "")))
    yield _case("more parameters", _resigned(f'{good.parameters};nonce="x"'))
    yield _case("a key that is not trusted", _signed(number=2), is_good=False)
    # Its id is that of a key that is trusted.
    other = Signed.of(_statement(), key_id(_PUBLIC[0]), CREATED, EXPIRES, _KEYS[2].sign)
    yield _case("a signature of another key", other, is_good=False)
    yield _case("another feed", _signed(feed="trial"), is_good=False)
    yield _case("another document", good, text='{"seats": 43, "name": "É"}', is_good=False)
    yield _case("a changed state", replace(good, statement=good.statement.replace("live", "ended")), is_good=False)
    yield _case("a changed time", replace(good, parameters=good.parameters.replace("4915", "9915")), is_good=False)
    yield _case("a space at the end", replace(good, statement=f"{good.statement} "), is_good=False)
    for name, old, new in (
        ("another algorithm", "ed25519", "hmac-sha256"),
        ("another purpose", 'tag="livefeed"', 'tag="x"'),
        ("no purpose", ';tag="livefeed"', ""),
        ("no key", f';keyid="{key_id(_PUBLIC[0])}"', ""),
        ("another field", "livefeed-statement", "date"),
        ("one more field", '("livefeed-statement")', '("livefeed-statement" "date")'),
        ("a parameter twice", ";created=", ";created=1;created="),
    ):
        yield _case(name, _resigned(good.parameters.replace(old, new)), is_good=False)
    for name, text in (
        ("no digest", _statement().replace("sha-256=", "sha-512=")),
        ("half of a digest", _statement().replace(_statement().partition("sha-256=:")[2].partition(":")[0], "AAAA")),
        ("no sequence", _statement().replace("sequence=", "order=")),
        ("a member twice", f"{_statement()}, state=ended"),
    ):
        yield _case(name, _changed(text), is_good=False)


def _case(
    name: str, signed: Signed, *, text: str = TEXT, state: str = "live", is_good: bool = True
) -> dict[str, object]:
    says = {"sequence": "1764000000000.7", "state": state, "at": AT, "created": CREATED, "expires": EXPIRES}
    member: dict[str, Any] = json.loads(b"{" + signed.member()[1:] + b"}")["signed"]
    return {"name": name, "keys": _TRUSTED, "feed": "results", "text": text, "signed": member} | {
        "says": says if is_good else None
    }


def _statement(feed: str = "results", state: str = "live") -> str:
    digest = hashlib.sha256(TEXT.encode()).digest()
    return Statement(feed, (1_764_000_000_000, 7), digest, state, AT).text()


def _signed(number: int = 0, **more: str) -> Signed:
    return Signed.of(_statement(**more), key_id(_PUBLIC[number]), CREATED, EXPIRES, _KEYS[number].sign)


def _changed(text: str) -> Signed:
    """Signs another text."""
    return Signed.of(text, key_id(_PUBLIC[0]), CREATED, EXPIRES, _KEYS[0].sign)


def _resigned(parameters: str) -> Signed:
    """Signs the statement with other parameters."""
    base = f'"livefeed-statement": {_statement()}\n"@signature-params": {parameters}'
    return Signed(_statement(), parameters, _KEYS[0].sign(base.encode()))
