"""The screen of livefeed watch."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

from rich.console import Console
from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.screen import HIGHLIGHT_S, Screen
from livefeed.client.update import Line, Shown, State, Update
from livefeed.document.exact_json import decode


def update_of(text: str | None, **more: Any) -> Update[Any]:
    """Gives an update with a document."""
    content = None if text is None else text.encode()
    shown = Shown(content, "ab" * 16, "7.1", State.LIVE, Line.OPEN, "2026-11-23T20:15:07.004Z", True)
    return replace(Update.of(shown, None if content is None else decode(content), 0.003), **more)


class ScreenTests(SynchronousTestCase):
    """The content, on terminals of several sizes."""

    def screen(self, width: int, **more: Any) -> Screen:
        console = Console(file=io.StringIO(), width=width, height=10, force_terminal=True, _environ={}, **more)
        return Screen("http://h/feed", console)

    def text(self, screen: Screen, now: float = 100.0, height: int | None = None) -> list[str]:
        """Gives the rows that are drawn."""
        with screen.console.capture() as capture:
            screen.console.print(screen.render(0.4, 12_345, now, height))
        return capture.get().splitlines()

    def test_facts(self) -> None:
        """The first row has state, age, delay, transport, bytes, version and URL."""
        screen = self.screen(120, color_system=None)
        screen.take(update_of('{"a": 1}'), 100.0)
        first, _, document = self.text(screen)
        for fact in ("live", "age 0.4 s", "delay 3 ms", "WebSocket", "12,345 bytes", "abababab", "http://h/feed"):
            self.assertIn(fact, first)
        self.assertEqual(document, '{"a": 1}')

    def test_a_document_that_is_held(self) -> None:
        """A row says for how long a newer one has waited, and why."""
        screen = self.screen(120, color_system=None)
        screen.take(update_of('{"a": 1}', state=State.HELD, reason="a check", line=Line.CLOSED), 100.0)
        with screen.console.capture() as capture:
            screen.console.print(screen.render(0.4, 12_345, 100.0, None, 65.0))
        first, second, *_ = capture.get().splitlines()
        self.assertIn("closed", first)
        self.assertEqual(second, "a newer version has been waiting for 1 min 5 s: a check")

    def test_narrow_terminal(self) -> None:
        """Each row fits, and the state is visible."""
        screen = self.screen(24, color_system=None)
        screen.take(update_of('{"name": "' + "é字" * 30 + '"}'), 100.0)
        rows = self.text(screen, height=10)
        self.assertTrue(rows[0].startswith("live"))
        self.assertLessEqual(max(map(len, rows)), 24)

    def test_changes_are_marked_for_a_while(self) -> None:
        """A value that rises is green, one that falls is red, another one yellow; without colours all are bold."""
        screen = self.screen(80, color_system="standard")
        screen.take(update_of('{"a": 1, "b": 1, "c": "x", "d": 1}'), 100.0)
        found = screen.take(update_of('{"a": 2, "b": 0, "c": "y", "d": 1}'), 101.0)
        self.assertEqual([change.pointer for change in found], ["/a", "/b", "/c"])
        row = self.text(screen, 101.0)[2]
        for marked in ("\x1b[1;32m2\x1b[0m", "\x1b[1;31m0\x1b[0m", '\x1b[1;33m"y"\x1b[0m'):
            self.assertIn(marked, row)
        self.assertNotIn("\x1b[1;32m", self.text(screen, 101.0 + HIGHLIGHT_S)[2])
        plain = self.screen(80, no_color=True)
        plain.take(update_of('{"a": 1}'), 100.0)
        plain.take(update_of('{"a": 2}'), 101.0)
        self.assertIn("\x1b[1m2\x1b[0m", self.text(plain, 101.0)[2])

    def test_large_document(self) -> None:
        """The rows that fit are shown, and follow the changes."""
        screen = self.screen(40, color_system=None)
        numbers = [[number, [0]] for number in range(50)]
        screen.take(update_of(str(numbers)), 100.0)
        rows = self.text(screen, height=10)
        self.assertEqual(len(rows), 10)
        self.assertIn("lines 1 to 7 of", rows[-1])
        numbers[40][1] = [1]
        screen.take(update_of(str(numbers)), 101.0)
        self.assertIn("[1]", "".join(self.text(screen, 101.0, 10)))

    def test_changes_far_from_each_other(self) -> None:
        """Lines with changes are shown with what was left out between them; each member has its turn."""
        screen = self.screen(70, color_system=None)
        document: dict[str, Any] = {
            "updated": 1,
            "totals": [[each, [0]] for each in range(60)],
            "districts": [[0, [0]]] * 300,
        }

        def take(now: float) -> list[str]:
            screen.take(update_of(json.dumps(document)), now)
            rows = self.text(screen, now, 12)
            self.assertLessEqual(len(rows), 12)
            return rows

        self.assertIn("lines 1 to 9 of", take(100.0)[-1])
        document["updated"] = 2
        document["districts"][200] = [0, [7]]
        rows = take(101.0)
        self.assertIn("2 of 2 changed lines, of ", rows[-1])
        self.assertIn('"updated": 2,', "".join(rows))
        self.assertIn("… /districts/200", [row.strip() for row in rows])
        self.assertIn("[7]", "".join(rows))
        # Nothing changes any more: the same lines stay.
        later = self.text(screen, 101.0 + HIGHLIGHT_S, 12)
        self.assertEqual((later[:-1], later[-1].split(";")[0]), (rows[:-1], "8 of 1,447 lines"))
        document["totals"] = [[each, [1]] for each in range(60)]
        document["districts"][250] = [0, [8]]
        rows = take(200.0)
        self.assertIn("[8]", "".join(rows))
        self.assertIn("[1]", "".join(rows))
        self.assertRegex(rows[-1], r"of 61 changed lines, of [0-9,]+; see also --diff, and URL#/pointer")
        # A document that has become shorter.
        document["districts"] = [[0, [0]]] * 10
        document["totals"] = []
        self.assertIn("lines", take(300.0)[-1])

    def test_changes_close_to_each_other(self) -> None:
        """All of them are shown in one window, which stays where it is as long as it has them."""
        screen = self.screen(40, color_system=None)
        numbers = [[number, [0]] for number in range(50)]
        screen.take(update_of(str(numbers)), 100.0)
        numbers[20][1] = [1]
        screen.take(update_of(str(numbers)), 101.0)
        first = self.text(screen, 101.0, 20)
        numbers[21][1] = [2]
        screen.take(update_of(str(numbers)), 102.0)
        second = self.text(screen, 102.0, 20)
        self.assertEqual(first[-1], second[-1])
        self.assertIn("[1]", "".join(second))
        self.assertIn("[2]", "".join(second))

    def test_narrow_facts(self) -> None:
        """The URL stays on 80 columns: bytes go first, then the delay and the version."""
        screen = self.screen(80, color_system=None)
        screen.url = "http://localhost:8080/feed"
        screen.take(update_of('{"a": 1}'), 100.0)
        (first, *_) = self.text(screen)
        self.assertEqual(first, "live  age 0.4 s  WebSocket  version abababab  http://localhost:8080/feed")

    def test_states(self) -> None:
        """Without a document the screen says why, and a problem is shown."""
        screen = self.screen(80, color_system=None)
        self.assertIn("connecting", self.text(screen)[0])
        for state, why in (
            (State.WAITING, "no document yet"),
            (State.EXPIRED, "too old"),
            (State.WITHDRAWN, "withdrawn"),
            (State.MISSING, "no such part"),
            (State.UNKNOWN, "There is no document."),
        ):
            screen.take(update_of(None, state=state, problem="nothing listens\x1b"), 100.0)
            rows = self.text(screen)
            self.assertIn(why, rows[-1])
            self.assertIn("nothing listens\\x1b", rows[1])
