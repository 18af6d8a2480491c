"""A recording is judged by the rules of a feed."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli import replay as module
from livefeed.cli.main import main
from livefeed.document.recording import Facts
from livefeed.document.snapshot import Sequence, version_of
from livefeed.storage.recorder import Recorder
from livefeed.storage.recording_time import clock_of
from tests.helpers.documentation import code_block

AT = datetime(2026, 9, 20, 21, 4, 2, tzinfo=UTC).timestamp()
SETTINGS = """
[feeds.night]
source = "demo:"

[feeds.night.rules.votes]
never_falls = "/votes"
release_pulls = 3

[feeds.night.rules.collapse]
max_step = {pointers = "/votes", by = 20, direction = "down"}

[feeds.night.rules.mode]
must_be = {pointer = "/mode", value = "live"}
action = "alarm"
"""


def document(votes: int, mode: str = "live") -> bytes:
    return json.dumps({"votes": votes, "mode": mode}).encode()


class ReplayTests(SynchronousTestCase):
    """The subcommand."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.patch(os, "environ", {})
        self.patch(module, "clock_of", partial(clock_of, zone=UTC))

    def record(self, *documents: tuple[bytes, float]) -> None:
        """Makes a recording of documents, each with the seconds until the next one."""
        recorder = Recorder(self.folder / "night.recording")
        recorder.begin(AT, feed="results", source="http://host/results", by="livefeed 1")
        before_s = 0.0
        for number, (data, seconds) in enumerate(documents):
            recorder.append(data, before_s, Facts(Sequence(1700, number)))
            before_s = seconds
        recorder.note_state("stale", before_s, "gone")
        recorder.end(1.0)

    def replay(self, *options: str, settings: str = SETTINGS) -> tuple[int | str | None, list[str], str]:
        """Gives the exit code, the lines of the output, and the errors."""
        (self.folder / "livefeed.toml").write_text(settings)
        output, errors = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", output)
        self.patch(sys, "stderr", errors)
        try:
            code: int | str | None = main(
                ["replay", str(self.folder / "night.recording"), str(self.folder / "livefeed.toml"), *options]
            )
        except SystemExit as ended:
            code = ended.code
        return code, output.getvalue().splitlines(), errors.getvalue()

    def test_good_night(self) -> None:
        """Only the summary."""
        self.record((document(5), 10), (document(6), 10))
        self.assertEqual(self.replay(), (0, ["2 documents: 2 shown at once, 0 held"], ""))

    def test_held_documents(self) -> None:
        """Each with the rule, the reason and the outcome; the last line has the numbers."""
        self.record((document(50), 10), (document(45), 10), (document(46, "test"), 10), (document(0), 60))
        code, lines, _ = self.replay()
        self.assertEqual(code, 4)
        versions = [version_of(data)[:12] for data in (document(45), document(46, "test"), document(0))]
        self.assertEqual(
            [line.partition("  ")[2] if line[0] != " " else line for line in lines[:-1]],
            [
                f"document 2, version {versions[0]}",
                "  HOLD  votes: /votes falls from 50 to 45",
                "        shown after 2.0 s: votes would have released it",
                f"document 3, version {versions[1]}",
                '  ALARM mode: /mode is "test", and must be "live"',
                f"document 4, version {versions[2]}",
                "  HOLD  votes: /votes falls from 46 to 0",
                "        never shown: votes would have released it, and collapse would not",
            ],
        )
        self.assertEqual(
            lines[-1], "4 documents: 2 shown at once, 2 held (by votes 2), 1 of them never shown; 1 alarms (mode 1)"
        )

    def test_documentation(self) -> None:
        """The lines of docs/howto/rules.md."""
        self.record((document(50), 10), (document(45), 10), (document(46), 10), (document(0), 60))
        self.assertEqual("\n".join(self.replay()[1]) + "\n", code_block("howto/rules.md", "text", 1))

    def test_gate(self) -> None:
        """Documents that the gate refuses are told, and change nothing."""
        self.record((document(5), 10), (b'{"a":1,"a":2}', 10), (document(4), 1))
        code, lines, _ = self.replay()
        self.assertEqual(code, 4)
        self.assertIn("  HOLD  the gate: the document has the name 'a' twice in one object", lines)
        self.assertEqual(lines[-2].strip(), "never shown")
        self.assertIn("(by the gate 1, votes 1), 2 of them never shown", lines[-1])
        facts = [json.loads(line) for line in self.replay("--json")[1]]
        self.assertEqual([each["held"] and each["held"]["rule"] for each in facts], [None, "votes"])
        self.assertIn("twice", facts[0]["gate"])

    def test_json(self) -> None:
        """One object for each document that would not have been shown at once, or raises an alarm."""
        self.record((document(5), 10), (document(4), 10), (document(9, "test"), 10))
        code, lines, _ = self.replay("--json", "--feed", "night")
        held, alarm = map(json.loads, lines)
        self.assertEqual(code, 4)
        self.assertEqual((held["at"], held["number"]), ("2026-09-20T21:04:12.000Z", 2))
        self.assertEqual((held["held"]["rule"], held["shown_after_s"], held["released"]), ("votes", 2.0, ["votes"]))
        self.assertEqual((alarm["held"], alarm["alarms"][0]["rule"], alarm["shown_after_s"]), (None, "mode", 0.0))

    def test_errors(self) -> None:
        """Settings, feeds without rules, and recordings that cannot be read."""
        self.record((document(5), 10))
        code, _, errors = self.replay(settings=SETTINGS.replace("never_falls", "never_fall"))
        self.assertEqual(code, 1)
        self.assertIn("livefeed.toml:6: feeds.night.rules.votes.never_fall: there is no such setting", errors)
        code, _, errors = self.replay(settings='[feeds.a]\nsource = "demo:"')
        self.assertEqual(code, 2)
        self.assertIn("the feed a has no rules", errors)
        (self.folder / "night.recording").write_bytes(b"no recording\n" * 9)
        code, _, errors = self.replay()
        self.assertEqual(code, 1)
        self.assertIn("night.recording", errors)
        (self.folder / "night.recording").unlink()
        self.assertEqual(self.replay()[0], 1)

    def test_empty_recording(self) -> None:
        """It has nothing to judge."""
        self.record()
        self.assertEqual(self.replay()[1], ["0 documents: 0 shown at once, 0 held"])
