"""Words become the arguments of the command, and its report becomes text."""

from __future__ import annotations

import argparse
import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.operator_client import Answer, ChoiceError
from livefeed.cli.playback_commands import add_commands, arguments_of, ask, handles, lines
from livefeed.cli.tables import Painter

REPORT: dict[str, Any] = {
    "feed": "night",
    "file": "/srv/night.recording",
    "speed": 10.0,
    "loop": True,
    "playing": "paused",
    "position_s": 90.0,
    "length_s": 3600.0,
    "began_at": "2023-11-14T22:13:20.000Z",
    "versions": 1234,
    "number": 7,
    "complete": False,
}


class FakeClient:
    def post(self, path: str, arguments: dict[str, Any]) -> Answer:
        self.asked = path, arguments
        return Answer(200, json.dumps(REPORT).encode())


class PlaybackCommandsTests(SynchronousTestCase):
    def test_words(self) -> None:
        """The feed may be left out."""
        for words, arguments in (
            ("", {}),
            ("night", {"feed": "night"}),
            ("pause", {"pause": True}),
            ("night resume", {"feed": "night", "resume": True}),
            ("seek 21:00", {"seek": "21:00"}),
            ("night speed 10", {"feed": "night", "speed": "10"}),
        ):
            self.assertEqual(arguments_of(words.split()), arguments, words)
        for words in ("pause 5", "seek", "speed 1 2", "night stop", "night seek"):
            with self.assertRaisesRegex(ChoiceError, "write playback"):
                arguments_of(words.split())
        with self.assertRaisesRegex(ChoiceError, "'soon' is no time"):
            arguments_of(["seek", "soon"])

    def test_command(self) -> None:
        """It is a command of livefeed ctl."""
        parser = argparse.ArgumentParser()
        shared = argparse.ArgumentParser(add_help=False)
        add_commands(parser.add_subparsers(), shared, lambda command, _: command.set_defaults(timeout=1))
        client: Any = FakeClient()
        report = ask(client, parser.parse_args(["playback", "night", "pause"]))
        self.assertEqual((client.asked, report), (("/-/playback", {"feed": "night", "pause": True}), REPORT))
        self.assertTrue(handles("playback"))
        self.assertFalse(handles("pause"))

    def text(self, words: str = "", **more: Any) -> str:
        options, client = argparse.Namespace(words=words.split()), FakeClient()
        return "\n".join(lines(client, {**REPORT, **more}, options, Painter(in_colour=False)))  # type: ignore[arg-type]

    def test_text(self) -> None:
        """The text has the state, the position, and what is missing."""
        text = self.text()
        for expected in (
            "night is paused, 10 times the speed of the night",
            "1 min 30 s of 1 h 0 min, again and again",
            "version 7 of 1,234",
            "/srv/night.recording",
            "the recording has no end",
        ):
            self.assertIn(expected, text)
        text = self.text(speed=1, playing="playing", loop=False, complete=True)
        self.assertIn("night is playing, as fast as then", text)
        self.assertNotIn("again", text)
        self.assertEqual(len(self.text(position_s=None).splitlines()), 3)

    def test_text_of_a_jump(self) -> None:
        """The report has the version before, which the text leaves out."""
        text = self.text("night seek start")
        self.assertIn("seeking  to start", text)
        self.assertNotIn("1 min 30 s", text)
        self.assertNotIn("version 7", text)
