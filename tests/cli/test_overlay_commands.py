"""``livefeed ctl overlay``: its sentences, requests and answers."""

from __future__ import annotations

from livefeed.cli.operator_options import DONE, FAILED, WRONG_USE
from tests.helpers.ctl_runs import DeskCommandTestCase
from tests.helpers.desk_reports import WAITING, answer, desk_report, entry
from tests.helpers.status_reports import feed, report

POINTER = "/districts/{name=North}/winner"


class RequestTests(DeskCommandTestCase):
    """What is sent."""

    def test_actions(self) -> None:
        """Each is a POST with the feed, the action and its operands. Values are sent as they were typed."""
        for words, more in (
            (("set", POINTER, "1.50"), {"action": "set", "pointer": POINTER, "value": "1.50"}),
            (("add", "/notice", '{"a": 1}'), {"action": "add", "pointer": "/notice", "value": '{"a": 1}'}),
            (("remove", "/a"), {"action": "remove", "pointer": "/a"}),
            (("drop", "/a"), {"action": "drop", "pointer": "/a"}),
            (("clear",), {"action": "clear"}),
        ):
            self.assertEqual(self.sent("overlay", "results", *words), ("/-/overlay", {"feed": "results", **more}))

    def test_options(self) -> None:
        """An expected value, texts, negative numbers, and the reason."""
        _, sent = self.sent("overlay", "a", "set", "/a", "-5", "--expect", "-1.0", "--reason", "as phoned in")
        self.assertEqual((sent["value"], sent["expect"], sent["reason"]), ("-5", "-1.0", "as phoned in"))
        _, sent = self.sent("overlay", "a", "set", "/a", 'Nörth "1"', "--text", "--expect", "South")
        self.assertEqual((sent["value"], sent["expect"]), (r'"Nörth \"1\""', '"South"'))
        _, sent = self.sent("overlay", "a", "remove", "/a", "--expect", "null")
        self.assertEqual(sent["expect"], "null")

    def test_list(self) -> None:
        """It changes nothing."""
        self.assertEqual(self.ctl("overlay", "a", "list", answers=((200, desk_report()),)), DONE)
        self.assertEqual([each[:2] for each in self.requests], [("GET", "/-/desk/a")])

    def test_only_feed(self) -> None:
        """Without a name it is the only one. A feed may be called like an action."""
        answers = ((200, report(feed())), (200, answer()), (200, desk_report()))
        self.assertEqual(self.ctl("overlay", "drop", "/a", answers=answers), DONE)
        self.assertEqual(self.requests[1][:2], ("POST", "/-/overlay"))
        self.assertEqual(self.sent("overlay", "drop", "drop", "/a")[1]["feed"], "drop")

    def test_wrong(self) -> None:
        """A wrong sentence sends nothing, and the right one is shown."""
        for words, why in (
            (["results"], "an action is missing: one of set, add, remove, drop, list, clear"),
            (["results", "show"], "'show' is no action: one of set"),
            (["results", "set", "/a"], "the command line is `livefeed ctl overlay results set POINTER VALUE`"),
            (["set", "/a"], "`livefeed ctl overlay FEED set POINTER VALUE`"),
            (["a", "set", "/a", "b", "c"], "POINTER VALUE`; quote a value with blanks for the shell"),
            (["a", "set", "/a", "North"], """VALUE is not JSON: a text needs quotation marks of its own, as in '"No"""),
            (["a", "set", "/a", "1", "--expect", "x"], "--expect is not JSON"),
            (["a", "add", "/a", "1", "--expect", "1"], "--expect belongs to set and remove, and not to add"),
        ):
            self.err.truncate(0)
            self.assertEqual(self.ctl("overlay", *words), WRONG_USE)
            self.assertEqual(self.requests, [])
            self.assertIn(why, self.err.getvalue())


class AnswerTests(DeskCommandTestCase):
    """What is shown."""

    def test_set(self) -> None:
        """The entry with the value that it hides, what watchers see now, and the way back."""
        answers = ((200, answer()), (200, desk_report(overlay=[entry()])))
        self.assertEqual(self.ctl("overlay", "results", "set", POINTER, '"C"', answers=answers), DONE)
        first, hidden, _, state, *_, last = self.out.getvalue().splitlines()
        self.assertEqual(first, f'{POINTER}  set to "C"')
        self.assertEqual(hidden, '  at /districts/3/winner, the source has "A"')
        self.assertTrue(state.startswith("results: live. Watchers are shown version 3f2a01b2c3d4"), state)
        drop = f"livefeed ctl overlay results drop '{POINTER}' --runtime-dir {self.folder}"
        self.assertEqual(last, f"Undo: {drop}")

    def test_a_rule_holds_the_result(self) -> None:
        """The way to show it is named."""
        later = desk_report("held", overlay=[entry()], waiting=WAITING)
        answers = ((200, answer("held", waiting=WAITING)), (200, later))
        self.ctl("overlay", "results", "set", POINTER, '"C"', answers=answers)
        text = self.out.getvalue()
        self.assertIn("because /districts/0/votes falls from 1200 to 0 (rule votes)", text)
        release = f"livefeed ctl release results --runtime-dir {self.folder}"
        self.assertEqual(text.splitlines()[-1], f"If it is right all the same, show it: {release}")

    def test_a_rule_holds_what_the_source_has(self) -> None:
        """The way to show it is named once."""
        later = desk_report("held", waiting=WAITING)
        self.ctl("overlay", "results", "clear", answers=((200, answer("held", waiting=WAITING)), (200, later)))
        self.assertEqual(self.out.getvalue().count("livefeed ctl release results"), 1)

    def test_drop(self) -> None:
        """What watchers see now; there is no undo of an undo."""
        self.assertEqual(self.ctl("overlay", "results", "drop", "/a"), DONE)
        self.assertNotIn("Undo", self.out.getvalue())

    def test_list(self) -> None:
        """All entries."""
        self.ctl("overlay", "results", "list", answers=((200, desk_report(overlay=[entry()])),))
        self.assertTrue(self.out.getvalue().startswith("results: 1 entry in the overlay."))

    def test_json(self) -> None:
        """The answer as it is."""
        self.ctl("overlay", "results", "clear", "--json", answers=((200, answer()),))
        self.assertIn('"feed": "results"', self.out.getvalue())

    def test_refused(self) -> None:
        """The reason of livefeed."""
        why = {"detail": "the overlay has no entries"}
        self.assertEqual(self.ctl("overlay", "results", "drop", "/a", answers=((409, why),)), FAILED)
        self.assertIn("the overlay has no entries", self.err.getvalue())

    def test_help(self) -> None:
        """It has examples, line by line."""
        self.assertRaises(SystemExit, self.ctl, "overlay", "--help")
        self.assertIn("\n  livefeed ctl overlay results list\n", self.out.getvalue())
