"""The text about the desk: each line is read by a person who is afraid."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from livefeed.cli.desk_text import MAX_TEXT, desk_lines, done_lines, notes, watchers_see
from livefeed.cli.tables import Painter
from tests.helpers.desk_reports import DECISION, WAITING, answer, desk_report, entry
from tests.helpers.zones import ZoneTestCase

NOW = datetime(2026, 11, 30, 20, 4, 19, tzinfo=UTC)
PLAIN = Painter(in_colour=False)
WAITS = (
    "version 9a8b77665544, 4,210 bytes, for 3 min 5 s, because /districts/0/votes falls from 1200 to 0 (rule votes); "
    "14 pulls gave it"
)


class DoneTests(ZoneTestCase):
    """The lines after a command."""

    def test_held(self) -> None:
        """What watchers see, what waits and why, who has decided, and how to take it back."""
        report = desk_report("held", waiting=WAITING, decision=DECISION)
        self.assertEqual(
            done_lines(report, PLAIN, NOW, "livefeed ctl release results"),
            [
                "results: held. Watchers keep version 3f2a01b2c3d4 of 21:04:07 CET (12.0 s old), marked held.",
                f"Waiting: {WAITS}.",
                "Decision: hold, by anna at 21:04:19 CET: zeros from the exporter.",
                "Undo: livefeed ctl release results",
                "      Watchers are then shown version 9a8b77665544, WHICH THE RULE votes REFUSES.",
            ],
        )

    def test_source_fails(self) -> None:
        """It is told after each command, since the state may not show it."""
        failing = {"why": "redis://h/0/k: cannot connect: refused.", "for_s": 69.0}
        lines = done_lines(answer("held", decision=DECISION, failing=failing), PLAIN, NOW, "")
        self.assertEqual(lines[-1], "Source: pulls fail for 1 min 9 s: redis://h/0/k: cannot connect: refused.")

    def test_passed_over(self) -> None:
        """A rollback that leads further than to the version before says so, and how to see the others."""
        for passed, text in (
            (
                1,
                "Passed over: 1 version from which somebody had gone back before. `livefeed ctl desk results --inst",
            ),
            (2, "Passed over: 2 versions from which somebody had gone back before. "),
        ):
            line = done_lines(answer("held", passed_over=passed), PLAIN, NOW, "", " --instance x")[-1]
            self.assertTrue(line.startswith(text), line)
            self.assertTrue(line.endswith("`livefeed ctl pin results VERSION --instance x` shows one."), line)

    def test_reason_that_is_a_sentence(self) -> None:
        """It ends with one full stop."""
        report = answer("held", decision={"kind": "hold", "reason": "We check district 7."})
        self.assertEqual(done_lines(report, PLAIN, NOW, "")[-1], "Decision: hold: We check district 7.")

    def test_effect_of_the_undo(self) -> None:
        """What watchers are shown then, unless that is what they are shown now."""
        waiting = {**WAITING, "rule": None}
        for undo, held, text in (
            ("unpin", waiting, "Watchers are then shown version 9a8b77665544, which waits."),
            ("resume", waiting, "Watchers are then shown version 9a8b77665544, which waits."),
            ("unpin", WAITING, "If it is right all the same, show it: livefeed ctl release results"),
            ("rollback", waiting, ""),
            ("release", None, ""),
        ):
            lines = done_lines(answer("held", waiting=held), PLAIN, NOW, f"livefeed ctl {undo} results")
            self.assertEqual(lines[-1].strip(), text or f"Undo: livefeed ctl {undo} results")

    def test_short(self) -> None:
        """Without the report of the feed, and with a warning."""
        report = answer("live", warning="a restart forgets it")
        self.assertEqual(
            done_lines(report, PLAIN, NOW, ""),
            ["results: live. Watchers are shown version 3f2a01b2c3d4.", "Warning: a restart forgets it"],
        )

    def test_released_by_itself(self) -> None:
        """The moments at which that happens."""
        for more, text in (
            ({"releases_in_s": 20.0}, "It is shown by itself in 20.0 s; `livefeed ctl hold` prevents that."),
            ({"releases_after_pulls": 3}, "It is shown by itself after 3 more pulls with the same value; "),
            ({"releases_after_pulls": 1}, "It is shown by itself after 1 more pull with the same value; "),
            ({"releases_after_pulls": 0}, "It is shown by itself at the next pull with the same value; "),
            ({"held_also": "collapse"}, "It is not shown by itself: the rule collapse would hold it, too."),
            ({"releases_in_s": 61, "releases_after_pulls": 3}, "It is shown by itself in 1 min 1 s or after 3 more"),
        ):
            lines = done_lines(answer("held", waiting={**WAITING, **more}), PLAIN, NOW, "")
            self.assertIn(text, lines[2])

    def test_rule_holds_on(self) -> None:
        """After a decision was taken back, the way to show the document that a rule still holds."""
        lines = done_lines(answer("held", waiting=WAITING), PLAIN, NOW, "", " --instance x")
        self.assertEqual(lines[-1], "If it is right all the same, show it: livefeed ctl release results --instance x")

    def test_released_rule(self) -> None:
        """It is told for how long it holds nothing."""
        rules = [{"name": "votes", "released_until": "2026-11-30T20:14:19Z"}, {"name": "a", "released_until": None}]
        lines = done_lines(answer(rules=rules), PLAIN, NOW, "")
        self.assertEqual(lines[1:], ["The rule votes holds nothing until 21:14:19 CET."])

    def test_decision_tells_why(self) -> None:
        """The reason of a decision is told once."""
        waiting = {**WAITING, "rule": None, "why": "zeros"}
        self.assertNotIn("because", done_lines(answer("held", waiting=waiting, decision=DECISION), PLAIN, NOW, "")[1])
        self.assertIn("because zeros", done_lines(answer("held", waiting=waiting), PLAIN, NOW, "")[1])

    def test_states(self) -> None:
        """Each state has its sentence, also one of the future. None says that watchers see what they do not."""
        for state, text in (
            ("live", "Watchers are shown version 3f2a01b2c3d4"),
            ("stale", "Watchers keep version 3f2a01b2c3d4, marked stale: pulls fail"),
            ("ended", "Watchers keep version 3f2a01b2c3d4 as the last one, and stop asking"),
            ("withdrawn", "Watchers are shown no document: they are answered 410, and caches must not keep it"),
            ("expired", "Watchers are shown no document: it is too old (--gone-after), and they are answered 410"),
            ("odd{x}", "Watchers are shown version 3f2a01b2c3d4, marked odd{x}"),
        ):
            self.assertEqual(watchers_see(answer(state), NOW), text)
        self.assertIn("there is none yet", watchers_see(answer("stale", version=None), NOW))

    def test_hostile(self) -> None:
        """Control characters are escaped, and endless texts cut."""
        decision = {**DECISION, "reason": "\x1b[2J" + "x" * 1000, "by": "\x07"}
        text = "\n".join(done_lines(answer("held", decision=decision), PLAIN, NOW, ""))
        self.assertNotIn("\x1b", text)
        self.assertNotIn("\x07", text)
        self.assertLess(len(text), MAX_TEXT + 300)


class DeskTests(ZoneTestCase):
    """The report of one feed."""

    def commands(self, state: str = "live", **more: Any) -> list[str]:
        """Gives the commands that are proposed."""
        lines = desk_lines(desk_report(state, **more), PLAIN, NOW, " --instance x")
        begin = next(number for number, line in enumerate(lines) if line.startswith("POSSIBLE NOW"))
        return [line.partition("  ")[0] for line in lines[begin + 1 :]]

    def test_source_fails(self) -> None:
        """A decision does not hide it. Where the reason of the state is shown, it says the same."""
        failing = {"why": "redis: away", "for_s": 69.0}
        for state, more, label in (
            ("held", {"decision": DECISION}, "source    pulls fail for 1 min 9 s: redis: away"),
            ("held", {"waiting": WAITING}, "source    pulls fail for 1 min 9 s: redis: away"),
            ("expired", {"decision": DECISION}, "source    pulls fail for 1 min 9 s: redis: away"),
            ("stale", {}, "reason    redis: away"),
        ):
            report = desk_report(state, reason="redis: away", failing=failing, **more)
            lines = [line for line in desk_lines(report, PLAIN, NOW) if "redis: away" in line]
            self.assertEqual(lines, [label])

    def test_everything(self) -> None:
        """All that there is to know before a command."""
        report = desk_report(
            "held",
            decision={**DECISION, "kind": "pin", "version": "3f2a01b2c3d4e5f60718"},
            waiting={**WAITING, "releases_in_s": 20.0},
            alarms=[{"rule": "turnout", "why": "/turnout rises from 40 to 90", "since": "2026-11-30T19:00:00Z"}],
            overlay=[entry(), entry(pointer="/b", value=None, action="remove", changes=0)],
            rules=[
                {"name": "votes", "kind": "never_falls", "action": "hold", "released_until": "2026-11-30T20:10:00Z"},
                {"name": "schema", "kind": "schema", "action": "alarm", "released_until": None},
            ],
            versions=[{"version": "3f2a01b2c3d4e5f60718", "sequence": "1.7", "at": "2026-11-29T20:04:07Z"}],
            warning="no --state-dir",
        )
        self.assertEqual(
            desk_lines(report, PLAIN, NOW)[:22],
            [
                "results  held",
                "Watchers keep version 3f2a01b2c3d4 of 21:04:07 CET (12.0 s old), marked held.",
                "",
                "shown     version 3f2a01b2c3d4, sequence 1764464400000.7, 4,100 bytes, 12.0 s old",
                "decision  pin of version 3f2a01b2c3d4, by anna at 21:04:19 CET: zeros from the exporter",
                f"waiting   {WAITS}",
                "          it is shown by itself in 20.0 s; `livefeed ctl hold` prevents that",
                "alarm     turnout: /turnout rises from 40 to 90, since 20:00:00 CET",
                'overlay   /districts/{name=North}/winner set to "C"',
                "overlay   /b removed: changes nothing, because None",
                "warning   no --state-dir",
                "",
                "RULE    KIND         ACTION",
                "votes   never_falls  hold    off until 21:10:00 CET",
                "schema  schema       alarm",
                "",
                "VERSION THAT CAN BE PINNED  SEQUENCE  SHOWN FROM",
                "3f2a01b2c3d4                1.7       2026-11-29 21:04:07 CET",
                "",
                "POSSIBLE NOW",
                "livefeed ctl release results --rule votes --for 10m  the rule does not hold for that time",
                "livefeed ctl unpin results                           watchers are shown the newest document again",
            ],
        )

    def test_without_much(self) -> None:
        """Before the first document, and from another livefeed that gives less."""
        report = {"feed": "results", "state": "stale", "reason": "redis: away"}
        self.assertEqual(
            desk_lines(report, PLAIN, NOW),
            [
                "results  stale",
                "Watchers are shown no document: there is none yet.",
                "",
                "reason    redis: away",
                "",
                "POSSIBLE NOW",
                "livefeed ctl hold results  watchers keep the version that they have, whatever comes",
            ],
        )
        self.assertEqual(desk_lines({"feed": "a"}, PLAIN, NOW)[2:4], ["", "POSSIBLE NOW"])

    def test_proposals(self) -> None:
        """The commands that help in each state; first the one that takes the present decision back."""
        held, by_decision = {**DECISION, "kind": "hold"}, {**WAITING, "rule": None, "why": None}
        earlier = [{"version": "3f2a01b2c3d4e5f60718"}, {"version": "00"}]
        for report, commands in (
            (("live", {}), ["hold", "withdraw"]),
            (("live", {"versions": earlier, "rollback_to": "00"}), ["hold", "rollback", "pin", "withdraw"]),
            (("live", {"versions": earlier, "rollback_to": None}), ["hold", "pin", "withdraw"]),
            (("live", {"versions": earlier}), ["hold", "rollback", "pin", "withdraw"]),
            (("live", {"versions": earlier[:1]}), ["hold", "withdraw"]),
            (("held", {"decision": held}), ["release", "withdraw"]),
            (
                ("held", {"decision": held, "versions": earlier, "rollback_to": "00"}),
                ["release", "rollback", "pin", "withdraw"],
            ),
            (
                ("held", {"decision": {**held, "kind": "pin"}, "versions": earlier, "rollback_to": "00"}),
                ["unpin", "rollback", "pin", "withdraw"],
            ),
            (("held", {"decision": held, "waiting": by_decision}), ["release --once", "release", "withdraw"]),
            (("held", {"decision": {**held, "kind": "pin"}}), ["unpin", "withdraw"]),
            (("held", {"decision": {**held, "kind": "pin"}, "waiting": by_decision}), ["unpin", "withdraw"]),
            (("held", {"waiting": WAITING}), ["release", "release --rule votes --for 10m", "hold", "withdraw"]),
            (
                ("held", {"decision": held, "waiting": WAITING}),
                ["release", "release --rule votes --for 10m", "withdraw"],
            ),
            (("withdrawn", {"decision": {**held, "kind": "withdraw"}}), ["resume"]),
            (("ended", {"decision": {**held, "kind": "end"}, "waiting": WAITING}), ["resume"]),
        ):
            found = self.commands(report[0], **report[1])
            expected = [
                f"livefeed ctl {name} results{blank}{rest} --instance x"
                for name, blank, rest in (
                    ("pin VERSION" if each == "pin" else each).partition(" ") for each in commands
                )
            ]
            self.assertEqual(found[: len(expected)], expected)


class NotesTests(ZoneTestCase):
    """The lines of the status."""

    def test_notes(self) -> None:
        """Decision, waiting document with its age and rule, and alarms."""
        feed = {
            "state": "held",
            "decision": DECISION,
            "waiting": {**WAITING, "rule": None, "why": "it is held", "releases_after_pulls": 2},
            "alarms": [{"rule": "turnout", "why": "/turnout rises"}],
        }
        self.assertEqual(
            [*notes(feed, NOW)],
            [
                ("decision: hold, by anna at 21:04:19 CET: zeros from the exporter", "warning"),
                ("waiting: version 9a8b77665544, 4,210 bytes, for 3 min 5 s", "warning"),
                (
                    "it is shown by itself after 2 more pulls with the same value; `livefeed ctl hold` prevents that",
                    "plain",
                ),
                ("alarm: turnout: /turnout rises", "warning"),
            ],
        )
        self.assertEqual([*notes({"state": "live"}, NOW)], [])

    def test_overlay(self) -> None:
        """The number of its entries, and the first of those that change nothing."""
        unfit = [{"pointer": f"/{number}" if number else "", "why": "no such value"} for number in range(5)]
        lines = [line for line, _ in notes({"overlay": {"entries": 6, "unfit": unfit}}, NOW)]
        self.assertEqual(lines[0], "overlay: 6 entries in place of the source's values")
        self.assertEqual(lines[1], "the overlay of the whole document changes nothing: no such value")
        self.assertEqual(lines[4], "2 more do not fit; see `livefeed ctl overlay list`")
        (line,) = notes({"overlay": {"entries": 1, "unfit": []}}, NOW)
        self.assertEqual(line, ("overlay: 1 entry in place of the source's values", "plain"))
        self.assertEqual([*notes({"overlay": {"entries": 0, "unfit": []}}, NOW)], [])
        self.assertEqual([*notes({"overlay": None}, NOW)], [])
