"""livefeed check --document: a document on the rules of a feed."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import Mock

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli import document_file
from livefeed.cli.tried_document import TriedDocument, try_document
from livefeed.config.settings import FeedSettings, Settings
from livefeed.document.comparisons import NeverFalls
from livefeed.document.requirements import Required
from livefeed.document.rules import RuleSpec
from livefeed.document.selectors import parse_selector
from livefeed.document.snapshot import version_of
from livefeed.exceptions import CommandError
from tests.docs.sessions import commands_of
from tests.helpers.documentation import code_block


class TriedDocumentTests(SynchronousTestCase):
    """try_document, and the text of its result."""

    votes = RuleSpec("votes", NeverFalls((parse_selector("/votes"),)))
    complete = RuleSpec("complete", Required((parse_selector("/votes"),)), "alarm")

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)

    def tried(self, candidate: str, shown: str | None = None, /, *rules: RuleSpec, **settings: Any) -> TriedDocument:
        """Tries one document, with the rules of the class by default."""
        (self.folder / "new.json").write_text(candidate)
        if shown is not None:
            (self.folder / "old.json").write_text(shown)
        feed = FeedSettings(feed="night", rules=rules or (self.votes, self.complete), **settings)
        old = None if shown is None else str(self.folder / "old.json")
        return try_document(feed, str(self.folder / "new.json"), old)

    def text(self, tried: TriedDocument) -> list[str]:
        return [line.replace(f"{self.folder}/", "") for line in tried.lines()]

    def test_good_document(self) -> None:
        """Each rule is named, and the last line is the conclusion."""
        tried = self.tried('{"votes": 5}', '{"votes": 4}')
        self.assertEqual(
            self.text(tried),
            [
                "feed night",
                "the document: new.json, 12 bytes, version " + version_of(b'{"votes": 5}')[:12],
                "watchers are shown: old.json, 12 bytes, version " + version_of(b'{"votes": 4}')[:12],
                "ok    complete: required /votes",
                "ok    votes: never_falls /votes",
                "This document would be shown.",
            ],
        )
        self.assertEqual((tried.is_held, tried.has_warnings), (False, False))

    def test_all_rules_that_refuse(self) -> None:
        """Not only the first one, which a feed that runs would tell."""
        tried = self.tried('{"votes": null}', '{"votes": 4}')
        self.assertEqual(
            self.text(tried)[3:],
            [
                "ALARM complete: /votes is null",
                "HOLD  votes: /votes is no number any more: it is null, and was 4",
                "This document would be held back. Watchers keep the one that they have.",
            ],
        )
        self.assertEqual((tried.is_held, tried.has_warnings), (True, True))

    def test_without_a_document_that_is_shown(self) -> None:
        """The text says that comparisons have nothing to compare with."""
        tried = self.tried('{"votes": 0}')
        self.assertIn("--shown FILE", self.text(tried)[-2])
        self.assertFalse(tried.is_held)
        self.assertNotIn("--shown", "".join(self.text(self.tried('{"votes": 0}', None, self.complete))))

    def test_idle_pointers(self) -> None:
        """A pointer that finds nothing, neither here nor there, is a warning."""
        rule = RuleSpec("typo", NeverFalls((parse_selector("/vote"),)))
        tried = self.tried('{"votes": 5}', '{"votes": 5}', rule)
        self.assertIn(
            "warning: rule typo: there is no /vote in the document, so this pointer checks nothing", self.text(tried)
        )
        self.assertEqual((tried.is_held, tried.has_warnings), (False, True))
        self.assertFalse(self.tried('{"votes": 5}', '{"vote": 5}', self.complete).has_warnings)

    def test_gate(self) -> None:
        """The gate comes first."""
        tried = self.tried('{"votes": 5,}')
        self.assertIn("HOLD  the gate: the document is not JSON", self.text(tried)[2])
        self.assertIn("the feed becomes stale", self.text(tried)[-1])
        self.assertEqual((tried.is_held, tried.outcomes), (True, ()))
        self.assertIn("more than 5 bytes", self.tried('{"votes": 5}', max_bytes=5).gate or "")

    def test_no_rules(self) -> None:
        """The conclusion says so."""
        (self.folder / "new.json").write_text("1")
        tried = try_document(FeedSettings(feed="night"), str(self.folder / "new.json"), None)
        self.assertEqual(self.text(tried)[-1], "This document would be shown: feed night has no rules.")

    def test_json(self) -> None:
        """The same for programs."""
        facts = self.tried('{"votes": 3}', '{"votes": 4}').to_json()
        self.assertEqual((facts["ok"], facts["feed"], facts["gate"], facts["idle"]), (False, "night", None, []))
        self.assertEqual((facts["document"]["bytes"], facts["shown"]["bytes"]), (12, 12))
        self.assertEqual(
            facts["rules"],
            [
                {
                    "rule": "complete",
                    "kind": "required",
                    "action": "alarm",
                    "accepts": True,
                    "pointer": None,
                    "why": None,
                },
                {
                    "rule": "votes",
                    "kind": "never_falls",
                    "action": "hold",
                    "accepts": False,
                    "pointer": "/votes",
                    "why": "/votes falls from 4 to 3",
                },
            ],
        )
        rule = RuleSpec("typo", NeverFalls((parse_selector("/vote"),)))
        facts = self.tried("1", None, rule).to_json()
        self.assertEqual((facts["shown"], facts["idle"]), (None, [{"rule": "typo", "pointer": "/vote"}]))

    def test_standard_input(self) -> None:
        """- is standard input."""
        self.patch(document_file, "sys", Mock(stdin=Mock(buffer=io.BytesIO(b'{"votes": 1}'))))
        tried = try_document(FeedSettings(rules=(self.votes,)), "-", None)
        self.assertEqual(tried.document, ("-", b'{"votes": 1}'))

    def test_documentation(self) -> None:
        """The settings, documents and lines of docs/howto/rules.md."""
        (self.folder / "results.schema.json").write_text('{"type": "object"}')
        (self.folder / "livefeed.toml").write_text(code_block("howto/rules.md", "toml", 1))
        (feed,) = Settings.read({"config": str(self.folder / "livefeed.toml")}, {}).feeds
        for index, name in enumerate(("last.json", "next.json")):
            (self.folder / name).write_text(code_block("howto/rules.md", "json", index))
        tried = try_document(feed, str(self.folder / "next.json"), str(self.folder / "last.json"))
        (command,) = commands_of(code_block("howto/rules.md", "console"))
        self.assertEqual("\n".join(self.text(tried)), command.shown.replace("/home/anna/", ""))
        (self.folder / "livefeed.toml").write_text(code_block("howto/rules.md", "toml"))
        (feed,) = Settings.read({"config": str(self.folder / "livefeed.toml")}, {}).feeds
        self.assertEqual(
            [str(rule) for rule in feed.rules], ["hold by never_falls /districts/{name=*}/votes, /counted"]
        )

    def test_unreadable_files(self) -> None:
        """The message names the file."""
        error = self.assertRaises(CommandError, try_document, FeedSettings(), f"{self.folder}/none", None)
        self.assertIn("none: cannot be read: No such file", str(error))
        self.assertRaises(CommandError, try_document, FeedSettings(), "a\0b", None)
        error = self.assertRaises(CommandError, self.tried, "1", "[1,")
        self.assertIn("old.json: cannot be the document that is shown: the document is not JSON", str(error))
