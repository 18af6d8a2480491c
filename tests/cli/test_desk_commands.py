"""The commands of ``livefeed ctl`` about documents: requests, options, exit codes and texts."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

from livefeed.cli import ctl
from livefeed.cli.desk_commands import COMMANDS, MAX_REASON
from livefeed.cli.main import main
from livefeed.cli.operator_options import DONE, FAILED, WRONG_USE
from tests.helpers.ctl_runs import DeskCommandTestCase
from tests.helpers.desk_reports import DECISION, WAITING, answer, desk_report
from tests.helpers.embargo_reports import embargo
from tests.helpers.operators_socket import operators_socket
from tests.helpers.status_reports import feed, report


class RequestTests(DeskCommandTestCase):
    """What is sent."""

    def test_commands(self) -> None:
        """Each is a POST to its path, with the feed."""
        for name in COMMANDS:
            version = ["3f2a"] if name == "pin" else []
            more = {"version": "3f2a"} if version else {}
            self.assertEqual(self.sent(name, "results", *version), (f"/-/{name}", {"feed": "results", **more}))

    def test_options(self) -> None:
        """The reason of each, and the kinds of a release."""
        self.assertEqual(self.sent("hold", "a", "--reason", "zéros")[1], {"feed": "a", "reason": "zéros"})
        self.assertEqual(self.sent("release", "a", "--once")[1], {"feed": "a", "once": True})
        self.assertEqual(
            self.sent("release", "a", "--once", "--version", "ab")[1], {"feed": "a", "once": True, "version": "ab"}
        )
        self.assertEqual(
            self.sent("release", "a", "--rule", "votes", "--for", "10m")[1],
            {"feed": "a", "rule": "votes", "for_s": 600.0},
        )

    def test_only_feed(self) -> None:
        """Without a name it is the only one."""
        answers = ((200, report(feed())), (200, answer("held")), (200, desk_report("held")))
        self.assertEqual(self.ctl("withdraw", answers=answers), DONE)
        self.assertEqual(
            [each[:2] for each in self.requests],
            [("GET", "/status"), ("POST", "/-/withdraw"), ("GET", "/-/desk/results")],
        )
        # The report of the feed comes before, for the way back.
        self.assertEqual(self.ctl("pin", "3f2a", answers=(answers[0], answers[2], *answers[1:])), DONE)
        self.assertEqual(json.loads(self.requests[2][2]), {"feed": "results", "version": "3f2a"})

    def test_several_feeds(self) -> None:
        """None is chosen by chance, and nothing is changed."""
        answers = ((200, report(feed(), feed(name="b"))),)
        self.assertEqual(self.ctl("withdraw", answers=answers), WRONG_USE)
        self.assertEqual(len(self.requests), 1)
        self.assertIn("as in `livefeed ctl withdraw results`: results, b", self.err.getvalue())
        nothing: tuple[Any, ...] = (report(), [])
        for body in nothing:
            self.assertEqual(self.ctl("withdraw", answers=((200, body),)), FAILED)
        self.assertIn("this livefeed has no feed", self.err.getvalue())

    def test_wrong(self) -> None:
        """A wrong command line sends nothing, and says what is right."""
        for arguments, why in (
            (["release", "a", "--rule", "votes"], "--rule and --for go together: --rule votes --for 10m"),
            (["release", "a", "--for", "10m"], "go together"),
            (["release", "a", "--once", "--rule", "votes", "--for", "10m"], "--once and --rule exclude each other"),
            (["release", "a", "--version", "ab", "--at", "+10m"], "--version and --at exclude each other"),
        ):
            self.assertEqual(self.ctl(*arguments), WRONG_USE)
            self.assertEqual(self.requests, [])
            self.assertIn(why, self.err.getvalue())
        for arguments, why in (
            (["release", "a", "--for", "10"], "is no duration: write 90s, 10m"),
            (["hold", "a", "--reason", "x" * (MAX_REASON + 1)], "one line of 200 characters"),
            (["hold", "a", "--reason", "a\nb"], "one line of 200 characters"),
        ):
            self.assertRaises(SystemExit, self.ctl, *arguments)
            self.assertIn(why, self.err.getvalue())


class AnswerTests(DeskCommandTestCase):
    """What is shown."""

    def test_text(self) -> None:
        """What watchers see, with the age that the report of the feed has, and the way back for this livefeed."""
        held = {"waiting": WAITING, "decision": DECISION}
        answers = ((200, answer("held", **held)), (200, desk_report("held", **held)))
        self.assertEqual(self.ctl("hold", "results", answers=answers), DONE)
        first, *_, undo, effect = self.out.getvalue().splitlines()
        self.assertIn("(12.0 s old), marked held.", first)
        self.assertEqual(undo, f"Undo: livefeed ctl release results --runtime-dir {self.folder}")
        self.assertIn("WHICH THE RULE votes REFUSES", effect)

    def test_hold_that_ends_by_itself(self) -> None:
        """Whoever holds a feed is told of the end that somebody else has set before."""
        end = {"id": "0a1b", "feed": "results", "kind": "release", "at": "2026-11-30T20:30:00Z", "in_s": 5, "by": "b"}
        others = [{**end, "id": "ff00", "kind": "publish"}, {**end, "id": "ff01", "feed": "b"}]
        answers = ((200, answer("held")), (200, desk_report("held")), (200, [end, *others]))
        self.assertEqual(self.ctl("hold", "results", answers=answers), DONE)
        lines = self.out.getvalue().splitlines()
        self.assertIn("It ends by itself: embargo 0a1b: end of the hold, at ", lines[1])
        self.assertNotIn("ff0", self.out.getvalue())

    def test_rule_that_is_released(self) -> None:
        """The way to have it hold again."""
        answers = ((200, desk_report()), (200, answer()), (200, desk_report()))
        self.assertEqual(self.ctl("release", "results", "--rule", "votes", "--for", "10m", answers=answers), DONE)
        self.assertIn(
            "To have the rule hold again: livefeed ctl release results --rule votes --for 1s", self.out.getvalue()
        )

    def test_back_to_the_decision_before(self) -> None:
        """To the one that was in force; never to a document that was withdrawn."""
        for command, kind, undo in (
            ("unpin", "pin", "pin results 3f2a01b2c3d4"),
            ("resume", "withdraw", "withdraw results"),
            ("resume", "end", "end results"),
            ("resume", None, ""),
            ("rollback", "hold", "unpin results"),
            ("rollback", "withdraw", "withdraw results"),
            ("pin", "withdraw", "withdraw results"),
        ):
            decision = None if kind is None else {"kind": kind, "version": "3f2a01b2c3d4e5f60718"}
            answers = ((200, desk_report("held", decision=decision)), (200, answer()), (200, desk_report()))
            more = ["3f2a"] if command == "pin" else []
            self.assertEqual(self.ctl(command, "results", *more, answers=answers), DONE)
            undos = [line for line in self.out.getvalue().splitlines() if line.startswith("Undo")]
            self.assertEqual(
                [line.partition(" --")[0] for line in undos], [f"Undo: livefeed ctl {undo}"] if undo else []
            )

    def test_no_report(self) -> None:
        """The command has succeeded even if the report that follows does not, or is about a later state."""
        others: tuple[tuple[int, Any], ...] = (
            (500, {"detail": "no"}),
            (200, []),
            (200, desk_report("expired")),
            (200, desk_report("withdrawn", decision={"kind": "withdraw", "by": "bert"})),
        )
        for later in others:
            answers = ((200, answer("withdrawn", warning="a restart forgets it")), later)
            self.assertEqual(self.ctl("withdraw", "results", answers=answers), DONE)
            text = self.out.getvalue()
            self.assertIn("results: withdrawn. Watchers are shown no document", text)
            self.assertIn("Warning: a restart forgets it", text)
            self.assertIn("Undo: livefeed ctl resume results", text)
            self.assertNotIn("bert", text)

    def test_warning_is_kept(self) -> None:
        """The report that follows has none."""
        self.ctl("hold", "a", answers=((200, answer("held", warning="careful")), (200, desk_report("held"))))
        self.assertIn("Warning: careful", self.out.getvalue())

    def test_back_from_a_release(self) -> None:
        """If watchers are shown another version than before, the way back is proposed."""
        for before, undo in ((desk_report(version="00"), True), (desk_report(), False), ([], False)):
            self.ctl("release", "results", answers=((200, before), (200, answer()), (404, {})))
            self.assertEqual("Undo: livefeed ctl rollback results" in self.out.getvalue(), undo)
        self.ctl("release", "results", answers=((404, {}), (200, answer()), (404, {})))
        self.assertNotIn("Undo", self.out.getvalue())

    def test_json(self) -> None:
        """The answer as it came."""
        self.assertEqual(self.ctl("end", "results", "--json", answers=((200, answer("ended")),)), DONE)
        self.assertEqual(json.loads(self.out.getvalue()), answer("ended"))
        self.assertEqual(len(self.requests), 1)

    def test_refused(self) -> None:
        """The reason of livefeed."""
        code = self.ctl("pin", "results", "ab", answers=((409, {"detail": "no version begins with ab"}),))
        self.assertEqual((code, self.out.getvalue()), (FAILED, ""))
        self.assertEqual(self.err.getvalue(), "livefeed: no version begins with ab\n")

    def test_desk(self) -> None:
        """The report of a feed, with the commands that help."""
        self.assertEqual(self.ctl("desk", "re/sults", answers=((200, desk_report()),)), DONE)
        self.assertEqual(self.requests[0], ("GET", "/-/desk/re%2Fsults", b""))
        self.assertIn(f"livefeed ctl hold results --runtime-dir {self.folder}", self.out.getvalue())

    def test_times(self) -> None:
        """The report of a feed has what is to happen in it at a time, and a release can have one."""
        self.ctl("desk", "results", answers=((200, desk_report()), (200, [embargo(), embargo(feed="b", id="ff"), 5])))
        self.assertIn("embargo   0a1b2c3d: document", self.out.getvalue())
        self.assertNotIn("ff:", self.out.getvalue())
        path, sent = self.sent("release", "results", "--at", "+10m")
        self.assertEqual((path, sent["action"], sent["feed"]), ("/-/embargo", "release", "results"))

    def test_no_such_feed(self) -> None:
        """The names of those that there are, and the most similar one."""
        answers = ((404, {"detail": "There is nothing at this path."}), (200, report(feed(), feed(name="b"))))
        self.assertEqual(self.ctl("desk", "resluts", answers=answers), FAILED)
        self.assertIn("no feed 'resluts'; there are: results, b; did you mean results?", self.err.getvalue())
        self.assertEqual(self.ctl("desk", "results", answers=answers), FAILED)
        self.assertIn("this livefeed is older than the desk", self.err.getvalue())
        self.assertEqual(self.ctl("desk", "results", answers=((404, {"detail": "nothing"}), (200, {}))), FAILED)
        self.assertIn("livefeed: nothing", self.err.getvalue())

    def test_instance(self) -> None:
        """Proposed commands are for the same instance."""
        self.patch(ctl, "chosen_socket", lambda *_, **__: self.folder / "admin.sock")
        for arguments, end in ((["--instance", "night 1"], " --instance 'night 1'"), ([], "results")):
            self.out = io.StringIO()
            self.patch(sys, "stdout", self.out)
            with operators_socket(self.folder / "admin.sock", (200, answer("held"))):
                self.assertEqual(main(["ctl", "hold", "results", *arguments]), DONE)
            self.assertTrue(self.out.getvalue().endswith(f"{end}\n"), self.out.getvalue())


class HelpTests(DeskCommandTestCase):
    """--help."""

    def test_help(self) -> None:
        """Each command says what watchers see, and how to take it back."""
        for name, command in COMMANDS.items():
            self.assertRaises(SystemExit, self.ctl, name, "--help")
            text = " ".join(self.out.getvalue().split())
            self.assertIn(command.help[1:], text)
            self.assertIn(f"`{command.undo}`" if command.undo else "--reason TEXT", text)
