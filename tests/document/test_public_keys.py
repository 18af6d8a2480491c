"""Sets of public keys."""

from __future__ import annotations

import base64
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.public_keys import MAX_KEYS, MAX_SET_BYTES, KeySetError, key_id, key_set, read_key_set


def public() -> bytes:
    return Ed25519PrivateKey.generate().public_key().public_bytes_raw()


class KeySetTests(SynchronousTestCase):
    """Keys as JSON."""

    def refused(self, value: object) -> str:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        return str(self.assertRaises(KeySetError, read_key_set, content))

    def test_the_id_is_the_thumbprint_of_the_standard(self) -> None:
        """The example of RFC 8037, appendix A.3."""
        key = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
        self.assertEqual(key_id(key), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k")

    def test_keys_survive(self) -> None:
        """A set that was made is read again, and has nothing private."""
        keys = [public(), public()]
        content = key_set(keys)
        self.assertEqual(read_key_set(content), {key_id(each): each for each in keys})
        self.assertNotIn(b'"d"', content)

    def test_other_keys_are_left_out(self) -> None:
        """Keys of other kinds may stand beside those of Ed25519."""
        value = json.loads(key_set([public()]))
        value["keys"] += [{"kty": "EC", "crv": "P-256", "x": "1", "y": "2"}]
        self.assertEqual(len(read_key_set(json.dumps(value).encode())), 1)

    def test_a_key_cannot_take_the_id_of_another(self) -> None:
        """The id in the set does not count."""
        ours, theirs = public(), public()
        value = json.loads(key_set([theirs]))
        value["keys"][0]["kid"] = key_id(ours)
        self.assertEqual([*read_key_set(json.dumps(value).encode())], [key_id(theirs)])

    def test_refusals(self) -> None:
        """A set that cannot be used is refused with the reason."""
        good = json.loads(key_set([public()]))["keys"][0]
        for value, why in (
            (b"{", "no JSON"),
            (b"[" * 5000, "no JSON"),
            ([], "no list"),
            ({"keys": 1}, "no list"),
            ({"keys": []}, "no key of Ed25519"),
            ({"keys": [1]}, "no object"),
            ({"keys": [good] * (MAX_KEYS + 1)}, "more than 16 keys"),
            ({"keys": [{**good, "d": "x"}]}, "private key"),
            ({"keys": [{**good, "x": 1}]}, "not base64url"),
            ({"keys": [{**good, "x": "!"}]}, "not base64url"),
            ({"keys": [{**good, "x": "ä"}]}, "not base64url"),
            ({"keys": [{**good, "x": "AAAA"}]}, "does not have 32 bytes"),
            (b" " * (MAX_SET_BYTES + 1), "more than 65536 bytes"),
        ):
            self.assertIn(why, self.refused(value))
