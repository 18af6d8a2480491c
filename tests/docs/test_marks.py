"""What comments in front of blocks say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.marks import File, Hidden, MarkError, Needs, NotRun, OtherTest, Run, Script, mark_of

if TYPE_CHECKING:
    from tests.docs.marks import Mark


class MarkTests(SynchronousTestCase):
    def test_each_kind(self) -> None:
        """A comment gives a mark by its first word."""
        marks: dict[str, Mark] = {
            "<!-- run -->": Run(),
            '<!-- run: background until "listening on" -->': Run(background=True, until="listening on"),
            '<!-- run: until "a, b" -->': Run(until="a, b"),
            "<!-- run: exit 4, retry -->": Run(exit=4, retry=True),
            "<!-- run: numbers, exit 1 -->": Run(exit=1, numbers=True),
            '<!-- run: on http://localhost:8080/feed, shows "31" -->': Run(on="http://localhost:8080/feed", shows="31"),
            "<!-- run: parse -->": Run(parse=True),
            "<!-- not run: needs a domain\n     of your own -->": NotRun("needs a domain of your own"),
            "<!-- tested: tests/test_bench.py -->": OtherTest("tests/test_bench.py"),
            "<!-- file: /etc/livefeed/livefeed.toml -->": File("/etc/livefeed/livefeed.toml"),
            "<!-- script: globalThis.show = console.log -->": Script("globalThis.show = console.log"),
            "<!-- needs: redis, certificates -->": Needs(("redis", "certificates")),
            "<!-- hidden\n$ true\n$ false\n-->": Hidden("$ true\n$ false\n", Run()),
            '<!-- hidden: background until "live"\n$ sleep 5\n-->': Hidden("$ sleep 5\n", Run(True, "live")),
        }
        for comment, mark in marks.items():
            self.assertEqual(mark_of(comment), mark)

    def test_other_comments(self) -> None:
        """Comments of other kinds are no marks."""
        for comment in ("<!-- bench: readme -->", "<!-- running it -->", "<!-- a file -->", "text"):
            self.assertIsNone(mark_of(comment))

    def test_what_is_not_understood(self) -> None:
        """A mark with an error is refused, and not passed over: its block would be run in another way."""
        for comment, message in {
            "<!-- not run -->": "needs a colon",
            "<!-- file: -->": "needs a colon",
            "<!-- file x -->": "needs a colon",
            "<!-- needs: postgres -->": "cannot need 'postgres'",
            "<!-- run: quickly -->": "cannot be run with 'quickly'",
            "<!-- run: until -->": "'until' needs a value",
            '<!-- run: shows "" -->': "'shows' needs a value",
            "<!-- run: exit soon -->": "'soon' is no exit status",
            "<!-- hidden: twice\n$ true\n-->": "cannot be run with 'twice'",
        }.items():
            error = self.assertRaises(MarkError, mark_of, comment)
            self.assertIn(message, str(error))
