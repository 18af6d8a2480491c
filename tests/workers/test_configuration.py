"""The settings on their way from the parent to its workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from livefeed.config.settings import FeedSettings, Settings
from livefeed.document.requirements import Required
from livefeed.document.rules import RuleSpec
from livefeed.document.selectors import parse_selector
from livefeed.exceptions import LinkError
from livefeed.tls.files import GivenFiles
from livefeed.workers.configuration import access_of, files_of, settings_for_workers, settings_of, with_memory_files
from livefeed.workers.messages import Message, Welcome


class ConfigurationTests(SynchronousTestCase):
    """From settings to a message, and back."""

    def welcome(self, settings: dict[str, Any], **more: Any) -> Welcome:
        facts = {"protocol": "p", "livefeed": "1", "pid": 1, "settings": settings, **more}
        return msgspec.convert(facts, Welcome)

    def test_settings(self) -> None:
        """They arrive without what only the parent uses, and with the limits of one worker."""
        before = Settings(
            feeds=(FeedSettings(feed="a", source="redis://u:hush@h/0/k", interval=3.0),),
            cert=(Path("/a.pem"), Path("/b.pem")),
            key=(Path("/a.key"), Path("/b.key")),
            state_dir=Path("/state"),
            admin=("tcp:1",),
            admin_token=Path("/token"),
            max_connections=100,
        )
        facts = settings_for_workers(before)
        self.assertNotIn("hush", str(facts))
        after = settings_of(self.welcome(facts, limits={"max_connections": 50}))
        self.assertEqual((after.cert, after.key, after.max_connections), (before.cert, before.key, 50))
        self.assertEqual((after.state_dir, after.admin, after.admin_token), (None, (), None))
        self.assertEqual([(each.feed, each.interval) for each in after.feeds], [("a", 3.0)])

    def test_rules(self) -> None:
        """They are checked by the parent, before a document is sent."""
        rules = (RuleSpec("a", Required((parse_selector("/a"),))),)
        facts = settings_for_workers(Settings(feeds=(FeedSettings(feed="a", rules=rules),)))
        (feed,) = settings_of(self.welcome(facts)).feeds
        self.assertEqual((feed.feed, feed.rules), ("a", ()))

    def test_settings_of_another_release(self) -> None:
        """They are refused in words."""
        self.assertRaises(LinkError, settings_of, self.welcome({"colour": "red"}))

    def test_files(self) -> None:
        """They are the payloads of the message, by their paths."""
        message = Message("welcome", {}, (b"one", b"two"))
        files = files_of(message, self.welcome({}, certificates={"/a.pem": 1, "/a.key": 0}))
        self.assertEqual((files.read(Path("/a.pem")), files.read(Path("/a.key"))), (b"two", b"one"))

    def test_tokens_and_keys(self) -> None:
        """So are the tokens and keys of protected feeds, by their names."""
        message = Message("welcome", {}, (b"one", b"two"))
        self.assertEqual(access_of(message, self.welcome({}, access={"tokens /t": 1})), {"tokens /t": b"two"})

    def test_endpoint_whose_files_twisted_reads(self) -> None:
        """It finds them in memory; other descriptions stay as they are."""
        given = GivenFiles({Path("/no/such/a.pem"): b"data"})
        description = with_memory_files("haproxy:ssl:1:privateKey=/no/such/a.pem", given)
        begin, path = description.split("=")
        self.assertEqual((begin, Path(path).read_bytes()), ("haproxy:ssl:1:privateKey", b"data"))
        for same in ("tls:1:cert=/no/such/a.pem:key=/no/such/a.pem", "tcp:1", "ssl:1:privateKey=/other.pem"):
            self.assertEqual(with_memory_files(same, given), same)
