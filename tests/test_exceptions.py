"""The parts of messages."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError, first_line, shown


class ConfigurationErrorTests(SynchronousTestCase):
    def test_message_begins_with_the_place(self) -> None:
        """The place is the option by default; a message about no setting has none."""
        self.assertEqual(str(ConfigurationError("is wrong", "max_bytes")), "--max-bytes: is wrong")
        self.assertEqual(str(ConfigurationError("is wrong", "max_bytes", "file: x")), "file: x: is wrong")
        self.assertEqual(str(ConfigurationError("is wrong", place="file")), "file: is wrong")
        self.assertEqual(str(ConfigurationError("all is wrong")), "all is wrong")


class FirstLineTests(SynchronousTestCase):
    def test_one_line(self) -> None:
        """Only the first line is taken, or the name of the type if there is no text."""
        self.assertEqual(first_line(ValueError("\n a\nb")), "a")
        self.assertEqual(first_line(ValueError()), "ValueError")

    def test_control_characters_are_escaped(self) -> None:
        """A server must not be able to send commands to the terminal in which its errors are read."""
        self.assertEqual(first_line("ERR \x1b[31mred\x07\t\u202e Zürich"), "ERR \\x1b[31mred\\x07\\t\\u202e Zürich")


class ShownTests(SynchronousTestCase):
    def test_values(self) -> None:
        """They are shown as Python writes them, on one line and not too long."""
        for value, expected in (("a", "'a'"), (1.5, "1.5"), ([1, "x"], "[1, 'x']"), ("a\nb", "'a\\nb'")):
            self.assertEqual(shown(value), expected)
        self.assertEqual(len(shown("x" * 10_000)), 103)
        self.assertEqual(shown(1 << 100_000), "a number that is far too large")

    def test_passwords_are_not_shown(self) -> None:
        """Passwords are hidden at any depth of the value."""
        for url in (
            "redis://u:hush@h/0/k",
            "redis://:hu@sh@h",
            "//hush@h",
            "u:hush@h",
            "redis://:" + "hush" * 99 + "@h",
        ):
            for value in (url, [url], [url, "https://a.example"], {"source": url}, {"a": [{url: 1}]}):
                self.assertNotIn("hu", shown(value))
