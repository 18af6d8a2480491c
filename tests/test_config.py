"""Settings: text in, typed and checked values out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.config import Settings
from livefeed.exceptions import ConfigurationError


class SettingsTests(SynchronousTestCase):
    """Settings.parse."""

    def refusal(self, **values: Any) -> str:
        return str(self.assertRaises(ConfigurationError, Settings.parse, values))

    def test_defaults(self) -> None:
        """Nothing needs to be set to try livefeed out."""
        self.assertEqual(Settings.parse({}), Settings())
        defaults = Settings()
        self.assertEqual(defaults.source, "demo:")
        self.assertEqual(defaults.feed, "feed")
        self.assertEqual(defaults.interval, 1.0)
        self.assertEqual(defaults.listen, ("tls:8443",))
        self.assertEqual(defaults.push, "tick")
        self.assertEqual(defaults.allow_origin, ("*",))
        self.assertEqual(defaults.max_bytes, 1048576)
        self.assertIsNone(defaults.cert)
        self.assertIsNone(defaults.key)

    def test_text_becomes_typed(self) -> None:
        """All of the command line is text; the settings are not."""
        parsed = Settings.parse(
            {
                "source": "file:x.json",
                "feed": "results-2026",
                "interval": "0.5",
                "listen": ["tcp:1", "tcp:2"],
                "cert": "/etc/cert.pem",
                "key": "/etc/key.pem",
                "push": "change",
                "allow_origin": ["https://example.org"],
                "max_bytes": "4096",
            }
        )
        self.assertEqual(
            parsed,
            Settings(
                source="file:x.json",
                feed="results-2026",
                interval=0.5,
                listen=("tcp:1", "tcp:2"),
                cert=Path("/etc/cert.pem"),
                key=Path("/etc/key.pem"),
                push="change",
                allow_origin=("https://example.org",),
                max_bytes=4096,
            ),
        )

    def test_settings_cannot_be_changed(self) -> None:
        """They are checked once, so they may not change afterwards."""
        with self.assertRaises(AttributeError):
            Settings().interval = 0.0  # type: ignore[misc]

    def test_relative_paths_become_absolute(self) -> None:
        """A daemon changes its directory, and must find its certificate still."""
        parsed = Settings.parse({"cert": "certs/cert.pem", "key": "certs/key.pem"})
        self.assertEqual(parsed.cert, Path.cwd() / "certs/cert.pem")
        self.assertEqual(parsed.key, Path.cwd() / "certs/key.pem")

    def test_limits_are_inclusive(self) -> None:
        """The smallest and the largest value of each number pass."""
        for interval in ("0.05", "3600"):
            self.assertEqual(Settings.parse({"interval": interval}).interval, float(interval))
        for max_bytes in ("2", str(256 * 1024 * 1024)):
            self.assertEqual(Settings.parse({"max_bytes": max_bytes}).max_bytes, int(max_bytes))

    def test_interval_out_of_range(self) -> None:
        """A tick that would be too fast, too slow, or no time at all is refused, and the option named."""
        for interval in ("0", "0.049", "-1", "3600.1", "inf", "nan", "soon", ""):
            self.assertTrue(self.refusal(interval=interval).startswith("--interval: "), interval)

    def test_max_bytes_out_of_range(self) -> None:
        """A size that cannot be is refused under the option's name, with a hyphen."""
        for max_bytes in ("1", "-5", "268435457", "1.5", "many"):
            self.assertTrue(self.refusal(max_bytes=max_bytes).startswith("--max-bytes: "), max_bytes)

    def test_push_is_one_of_two(self) -> None:
        """Only tick and change are known; the refusal repeats what was given."""
        self.assertEqual(self.refusal(push="sometimes"), "--push: 'sometimes' is not tick or change")

    def test_feed_names(self) -> None:
        """A name is a plain path segment, without a dot, since /NAME.ws and the like are made of it."""
        for name in ("a", "_", "feed", "Results-2026_final", "x" * 64):
            self.assertEqual(Settings.parse({"feed": name}).feed, name)
        for name in ("", "-", "-a", "a.b", "a/b", "..", "a b", "é", "x" * 65, "a\n", "a%20"):
            self.assertTrue(self.refusal(feed=name).startswith("--feed: "), repr(name))

    @settings(deadline=None)
    @given(st.text(max_size=66))
    def test_accepted_feed_names_need_no_quoting(self, name: str) -> None:
        """Any name that is accepted can stand in a URL as it is."""
        try:
            accepted = Settings.parse({"feed": name}).feed
        except ConfigurationError:
            return
        self.assertEqual(accepted, name)
        self.assertTrue(name.replace("-", "").replace("_", "").isalnum() or set(name) <= {"-", "_"})
        self.assertTrue(name.isascii())

    def test_certificate_and_key_go_together(self) -> None:
        """One without the other is refused."""
        self.assertIn("--cert and --key", self.refusal(cert="/c.pem"))
        self.assertIn("--cert and --key", self.refusal(key="/k.pem"))

    def test_empty_path(self) -> None:
        """An unset variable of a shell script gives an empty path, which is not the current directory."""
        self.assertEqual(self.refusal(cert="", key="/k.pem"), "--cert: '' is not a path")

    def test_repeatable_settings_need_one(self) -> None:
        """A list that was given is not empty."""
        self.assertTrue(self.refusal(listen=[]).startswith("--listen: "))
        self.assertTrue(self.refusal(allow_origin=[]).startswith("--allow-origin: "))

    def test_unknown_setting(self) -> None:
        """A misspelt setting is refused, not passed over."""
        self.assertIn("intervall", self.refusal(intervall="1"))

    def test_refusal_does_not_repeat_the_source(self) -> None:
        """The source can have a password in it, so no refusal shows it."""
        self.assertNotIn("secret", self.refusal(source=["redis://:secret@h/0/k"]))
        self.assertNotIn("secret", self.refusal(source="redis://:secret@h/0/k", interval="0"))

    def test_every_setting_is_documented(self) -> None:
        """The docstring names each setting."""
        for name in msgspec.structs.fields(Settings):
            self.assertIn(f":ivar {name.name}:", Settings.__doc__ or "")
