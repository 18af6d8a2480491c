"""The token of a client."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.client.address import Address
from livefeed.client.token import MAX_TOKEN_LENGTH, Token
from livefeed.exceptions import FollowError

SECURE, LOCAL = Address.of("https://example.org/feed"), Address.of("http://127.0.0.1:8080/feed")


class TokenTests(SynchronousTestCase):
    def refusal(self, given: object, address: Address = SECURE) -> str:
        return str(self.assertRaises(FollowError, Token.of, given, address))

    def test_token(self) -> None:
        """It is sent in a field, and not shown."""
        self.assertIsNone(Token.of(None, SECURE))
        for address in (SECURE, LOCAL):
            token = Token.of("a.b-c", address)
            assert token is not None
            self.assertEqual(token.fields(), {"Authorization": "Bearer a.b-c"})
            self.assertNotIn("a.b-c", repr(token))

    def test_function(self) -> None:
        """It is called each time, and its errors are told."""
        tokens = ["a", "b"]
        token = Token.of(lambda: tokens.pop(0), SECURE)
        assert token is not None
        self.assertEqual([token.fields()["Authorization"] for _ in range(2)], ["Bearer a", "Bearer b"])
        self.assertIn("there is no token: pop from empty list", str(self.assertRaises(FollowError, token.fields)))

    def test_wrong_tokens(self) -> None:
        """No other field can be smuggled in, and none is sent without TLS."""
        for given in ("", "a b", "a\r\nX: y", "ä", "x" * (MAX_TOKEN_LENGTH + 1)):
            self.assertIn("the token has other characters", self.refusal(given))
        self.assertIn("use https://", self.refusal("a", Address.of("http://example.org/feed")))
        self.assertIn("use https://", self.refusal("a", Address.of("http://127.0.0.1/feed", connect="192.0.2.7:80")))
        token = Token.of(lambda: 1, SECURE)  # type: ignore[arg-type,return-value]
        assert token is not None
        self.assertRaises(FollowError, token.fields)
