"""Files of tokens."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.auth import tokens
from livefeed.auth.grants import Grant
from livefeed.auth.tokens import MAX_FILE_BYTES, Tokens, digest_of, read_tokens
from livefeed.exceptions import ConfigurationError

ONE, OTHER = b"q0Ywz3nOScE8uWq3Yc0dT1p4", b"Zk1-Zk2_Zk3.Zk4~Zk5+Zk6/=="
UNTIL_S = 1796104800.0
FILE = b"# people\n\none %s\r\nother\tsha256:%s  2026-12-01T06:00:00Z\n" % (ONE, digest_of(OTHER).hex().encode())


class TokensTests(SynchronousTestCase):
    """The lines of a file."""

    def refusal(self, data: bytes) -> str:
        return str(self.assertRaises(ConfigurationError, Tokens.parse, data, "tokens.txt"))

    def test_tokens_and_hashes(self) -> None:
        """A line has the token or its hash, and perhaps an end. Comments and empty lines count for nothing."""
        parsed = Tokens.parse(FILE, "tokens.txt")
        self.assertEqual(len(parsed), 2)
        self.assertEqual(parsed.find(ONE), Grant(digest_of(ONE)))
        self.assertEqual(parsed.find(OTHER), Grant(digest_of(OTHER), UNTIL_S))
        for wrong in (b"", ONE[:-1], ONE + b"x", digest_of(OTHER).hex().encode()):
            self.assertIsNone(parsed.find(wrong))

    def test_no_token_is_kept(self) -> None:
        """Workers get hashes, which mean the same, and no message shows a token."""
        parsed = Tokens.parse(FILE, "tokens.txt")
        encoded = parsed.encoded()
        self.assertNotIn(ONE, encoded)
        self.assertEqual(Tokens.parse(encoded, "tokens"), parsed)
        self.assertNotIn(ONE.decode(), repr(parsed))
        for line in (b"a " + ONE + b" x y", b"a " + ONE + b" tomorrow", b"$ " + ONE, b"a \xff" + ONE):
            self.assertNotIn(ONE.decode(), self.refusal(line))

    def test_wrong_lines(self) -> None:
        """The message has the number of the line, and says how it is written."""
        for line, why in (
            (b"alone", "tokens.txt:2: has 1 columns: write NAME TOKEN, or NAME TOKEN UNTIL"),
            (b"a b c d", "has 4 columns"),
            (b"-a " + ONE, "the name has other characters"),
            (b"a short", "the token has 5 characters, and 20 are the fewest; `openssl rand -hex 24` makes one"),
            (b"a " + b"x" * 4097, "the token has 4097 characters"),
            (b"a {{{{{{{{{{{{{{{{{{{{{{", "the token has other characters"),
            (b"a sha256:12", "a SHA-256 has 64 hexadecimal digits"),
            (b"a " + ONE + b" 2026-12-01", "the end is not a time such as 2026-12-01T06:00:00Z"),
            (b"a " + ONE + b"\nb " + ONE, "tokens.txt:3: the token stands in an earlier line, too"),
        ):
            self.assertIn(why, self.refusal(b"\n" + line))

    def test_many(self) -> None:
        """Their number is limited."""
        self.patch(tokens, "MAX_TOKENS", 2)
        lines = b"".join(b"a %020d\n" % number for number in range(3))
        self.assertIn("has more than 2 tokens", self.refusal(lines))

    def test_renew(self) -> None:
        """A grant is revoked with its token, and has another end if the file has."""
        before, after = Tokens.parse(FILE, "f"), Tokens({digest_of(OTHER): None})
        one, other = before.find(ONE), before.find(OTHER)
        assert one is not None
        assert other is not None
        self.assertIsNone(after.renew(one))
        self.assertEqual(after.renew(other), Grant(digest_of(OTHER)))
        self.assertIsNone(after.renew(Grant(("key",))))


class ReadTests(SynchronousTestCase):
    """The file itself."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "tokens.txt"

    def refusal(self) -> str:
        return str(self.assertRaises(ConfigurationError, read_tokens, self.path))

    def test_rights(self) -> None:
        """It is for its owner and group alone."""
        self.assertIn("No such file", self.refusal())
        self.path.write_bytes(FILE)
        self.path.chmod(0o644)
        self.assertIn(f"every user may read it; `chmod o= {self.path}` forbids it", self.refusal())
        self.path.chmod(0o640)
        self.assertEqual(read_tokens(self.path), FILE)

    def test_size(self) -> None:
        """A file that was named by mistake is not read."""
        self.path.touch(0o600)
        self.path.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
        self.assertIn(f"is larger than {MAX_FILE_BYTES} bytes", self.refusal())
