"""A recording is shown, checked and taken apart; the exit code tells whether it is whole."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli import recording as module
from livefeed.cli.main import main
from livefeed.document.recording import Facts
from livefeed.document.snapshot import Sequence, version_of
from livefeed.storage.recorder import Recorder
from tests.helpers.signers import KEYS, statement_about

if TYPE_CHECKING:
    from livefeed.document.signature import Signed

AT = 1_700_000_000.25
COUNT = 70


def document(number: int) -> bytes:
    return b'{\n"text": "a document with some text in it, so that splices are shorter", "votes": %d}' % number


class RecordingCommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.path, self.output = folder / "night.recording", folder / "out.json"
        recorder = Recorder(self.path)
        recorder.begin(AT, feed="results", source="http://host/results", by="livefeed 1")
        for number in range(1, COUNT + 1):
            recorder.append(document(number), 2.0, Facts(Sequence(1700, number)))
        recorder.note_state("stale", 1.0, "gone")
        recorder.end(1.0)
        self.chain = recorder.place.chain.decode()

    def run_it(self, *arguments: str) -> tuple[int, str, str]:
        """Gives exit code, output and errors."""
        buffer = io.BytesIO()
        out, errors = io.TextIOWrapper(buffer, "utf-8", write_through=True), io.StringIO()
        with redirect_stdout(out), redirect_stderr(errors):
            code = main(["recording", *arguments])
        return code, buffer.getvalue().decode(), errors.getvalue()

    def cut(self, size: int = 3) -> None:
        os.truncate(self.path, self.path.stat().st_size - size)

    def damage(self) -> None:
        data = bytearray(self.path.read_bytes())
        data[len(data) // 2] ^= 1
        self.path.write_bytes(data)

    def test_info(self) -> None:
        """It tells feed, times, number of versions and sizes, and whether there is an end."""
        code, text, errors = self.run_it("info", str(self.path))
        self.assertEqual((code, errors), (0, ""))
        for expected in (
            "results",
            "http://host/results",
            "after 2 min 22 s",
            "70, 1 change of state",
            "complete; not verified",
        ):
            self.assertIn(expected, text)
        code, text, _ = self.run_it("info", "--json", str(self.path))
        report = json.loads(text)
        self.assertEqual((code, report["versions"], report["ending"], report["chain"]), (0, 70, "complete", self.chain))
        self.assertEqual((report["began_at"], report["length_s"]), ("2023-11-14T22:13:20.250Z", 142.0))
        self.cut()
        code, text, _ = self.run_it("info", str(self.path))
        self.assertEqual(code, 4)
        self.assertIn("its last record is incomplete: it was cut, its writer was killed", text)

    def test_verify(self) -> None:
        """A whole recording, one that was cut, and one that was changed."""
        code, text, errors = self.run_it("verify", str(self.path))
        self.assertEqual((code, text, errors), (0, f"whole: 70 versions in 2 min 22 s; last hash {self.chain}\n", ""))
        code, text, _ = self.run_it("verify", "--json", str(self.path))
        self.assertEqual((code, json.loads(text)["whole"]), (0, True))
        end = self.path.read_bytes().rindex(b"\n\n", 0, -2) + 2
        whole = self.path.read_bytes()
        self.path.write_bytes(whole[:end])
        code, text, errors = self.run_it("verify", str(self.path))
        self.assertEqual((code, text), (4, ""))
        self.assertIn(f"night.recording: it has no end, at byte {end}", errors)
        self.path.write_bytes(whole)
        self.cut()
        code, text, errors = self.run_it("verify", "--json", str(self.path))
        self.assertEqual((code, json.loads(text)["why"]), (4, "its last record is incomplete"))
        self.path.write_bytes(whole)
        self.damage()
        code, text, errors = self.run_it("verify", "--json", str(self.path))
        report = json.loads(text)
        self.assertEqual((code, report["whole"]), (1, False))
        self.assertIn("is damaged in the record at byte", errors)
        self.assertLess(0, report["damaged_at_byte"])
        code, text, errors = self.run_it("verify", str(self.path / "missing"))
        self.assertEqual((code, text), (1, ""))
        self.assertIn("Not a directory", errors)

    def test_list(self) -> None:
        """A line for each version and change of state."""
        code, text, _ = self.run_it("list", str(self.path))
        lines = text.splitlines()
        self.assertEqual((code, len(lines)), (0, 72))
        self.assertIn(version_of(document(1))[:12], lines[1])
        self.assertIn("1700.1", lines[1])
        self.assertIn("stale: gone", lines[-1])
        _, text, _ = self.run_it("list", "--json", str(self.path))
        rows = [json.loads(line) for line in text.splitlines()]
        self.assertEqual((rows[0]["number"], rows[0]["sequence"], rows[0]["bytes"]), (1, "1700.1", len(document(1))))
        self.assertEqual((rows[-1]["state"], rows[-1]["why"]), ("stale", "gone"))
        recorder = Recorder(self.output)
        recorder.begin(AT)
        recorder.end(0.0)
        self.assertEqual(self.run_it("list", str(self.output)), (0, "", ""))

    def test_export_all(self) -> None:
        """Each version is one line of JSON with its document."""
        code, text, _ = self.run_it("export", str(self.path))
        rows = [json.loads(line) for line in text.splitlines()]
        self.assertEqual((code, len(rows)), (0, 71))
        self.assertEqual([row["document"]["votes"] for row in rows[:-1]], list(range(1, 71)))
        self.assertNotIn("document", rows[-1])
        code, text, _ = self.run_it("export", str(self.path), "--output", str(self.output))
        self.assertEqual((code, text, len(self.output.read_bytes().splitlines())), (0, "", 71))

    def test_export_one(self) -> None:
        """By its time, its number or its version, with exactly its bytes."""
        for arguments, number in (
            (("--at", "start"), None),
            (("--at", "2s"), 1),
            (("--at", "129s"), 64),
            (("--at", "end"), 70),
            (("--number", "1"), 1),
            (("--number", "61"), 61),
            (("--number", "70"), 70),
            (("--number", "71"), None),
            (("--number", "0"), None),
            (("--version", version_of(document(5))[:9].upper()), 5),
            (("--version", "xyz"), None),
            (("--version", ""), None),
        ):
            code, text, errors = self.run_it("export", str(self.path), *arguments)
            if number is None:
                self.assertEqual((code, text), (3, ""), arguments)
                self.assertIn("there is no such version", errors)
                self.assertEqual("the versions are 1 to 70" in errors, "--number" in arguments, errors)
            else:
                self.assertEqual((code, text.encode()), (0, document(number)), arguments)
        code, text, _ = self.run_it("export", str(self.path), "--number", "7", "--output", str(self.output))
        self.assertEqual((code, self.output.read_bytes()), (0, document(7)))
        self.assertIn("number 7, of 2023-11-1", text)
        self.assertEqual(sorted(each.name for each in self.output.parent.iterdir()), ["night.recording", "out.json"])

    def test_export_without_place(self) -> None:
        """A file that cannot be written is an error, and half a file is none."""
        for place in (self.path / "x", Path("/dev/full/x")):
            code, _, errors = self.run_it("export", str(self.path), "--output", str(place))
            self.assertEqual(code, 1)
            self.assertIn("Not a directory", errors)
        self.output.mkdir()
        code, _, errors = self.run_it("export", str(self.path), "--output", str(self.output))
        self.assertEqual(code, 1)
        self.assertIn("Is a directory", errors)
        self.output.rmdir()
        self.damage()
        code, _, errors = self.run_it("export", str(self.path), "--output", str(self.output))
        self.assertEqual((code, self.output.exists()), (1, False))
        self.assertIn("is damaged", errors)

    def test_wrong_time(self) -> None:
        """It is a mistake of the command line, and the message says how a time is written."""
        with redirect_stderr(io.StringIO()) as errors:
            end = self.assertRaises(SystemExit, main, ["recording", "export", str(self.path), "--at", "soon"])
        self.assertEqual(end.code, 2)
        self.assertIn("argument --at: 'soon' is no time; write a time as 21:00", errors.getvalue())

    def test_reader_has_enough(self) -> None:
        """The end of a pipe, and Ctrl-C, end the command without a traceback."""

        def raising(error: type[BaseException]) -> Any:
            def run(*_: object) -> int:
                raise error

            return run

        self.patch(os, "dup2", lambda *_: None)
        self.patch(sys.stdout, "fileno", lambda: 1)
        for error, expected in ((BrokenPipeError, 0), (KeyboardInterrupt, 1)):
            self.patch(module, "_RUN", {"info": raising(error)})
            self.assertEqual(main(["recording", "info", str(self.path)]), expected)


class StatementTests(SynchronousTestCase):
    """Versions that were signed."""

    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.path, self.keys = folder / "night.recording", folder / "keys.json"
        self.keys.write_bytes(KEYS.key_set())

    def record(self, *signed: Signed | None) -> None:
        self.path.unlink(missing_ok=True)
        recorder = Recorder(self.path)
        recorder.begin(AT, feed="results", source="http://host/results", by="livefeed 1")
        for number, each in enumerate(signed, 1):
            recorder.append(document(number), 2.0, Facts(Sequence(1700, number), signed=each))
        recorder.end(1.0)

    def signed(self, number: int, order: int | None = None, **more: Any) -> Signed:
        return statement_about(document(number), feed="results", sequence=(1700, order or number), **more)

    def verify(self, *options: str) -> tuple[int, str, str]:
        out, errors = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(errors):
            code = main(["recording", "verify", str(self.path), "--keys", str(self.keys), *options])
        return code, out.getvalue(), errors.getvalue()

    def test_signed(self) -> None:
        """All versions are verified by the statements that were recorded with them."""
        self.record(*map(self.signed, (1, 2, 3)))
        code, output, errors = self.verify()
        self.assertEqual((code, errors, output.splitlines()[1]), (0, "", "signed: 3 versions, in this order"))
        report = json.loads(self.verify("--json")[1])
        self.assertEqual((report["whole"], report["signed"], report["why_not_signed"]), (True, 3, ""))

    def test_not_signed(self) -> None:
        """The first version that cannot be verified is named, with the reason."""
        for third, why in (
            (None, "it is not signed"),
            (self.signed(2, 3), "it is not the document that was signed"),
            (self.signed(3, 1), "it is older than one that was verified before: 1700.1 < 1700.2"),
            (self.signed(3, key_id="x"), "a key that is not trusted"),
        ):
            self.record(self.signed(1), self.signed(2), third, None)
            code, output, errors = self.verify()
            self.assertEqual((code, len(output.splitlines())), (1, 1))
            self.assertIn(": the version 3, ", errors)
            self.assertIn(why, errors)
            report = json.loads(self.verify("--json")[1])
            self.assertEqual((report["signed"], why in report["why_not_signed"]), (2, True))

    def test_another_feed(self) -> None:
        """A statement is about the feed that was recorded."""
        self.record(statement_about(document(1), feed="trial"))
        self.assertIn("for the feed 'trial', and not for 'results'", self.verify()[2])

    def test_keys_that_cannot_be_read(self) -> None:
        """The message names the file."""
        self.record(self.signed(1))
        self.keys.write_bytes(b"{}")
        code, _, errors = self.verify()
        self.assertEqual(
            (code, errors), (1, f'livefeed: {self.keys}: it is no set of keys: it has no list "keys" (RFC 7517, 5)\n')
        )
