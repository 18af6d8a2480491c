"""The command finds the recording that is meant, and does one thing at a time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.playback import PlaybackCommand
from livefeed.exceptions import CommandError


class FakeReplay:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    async def seek(self, text: str) -> None:
        self.calls.append(("seek", text))

    def change_speed(self, text: str) -> None:
        self.calls.append(("speed", text))

    def report(self) -> dict[str, Any]:
        return {"number": len(self.calls)}


class PlaybackTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.playback = FakeReplay()
        self.feeds: dict[str, Any] = {
            "night": SimpleNamespace(playback=self.playback),
            "demo": SimpleNamespace(playback=None),
        }

    def run_it(self, **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = self.successResultOf(
            Deferred.fromCoroutine(PlaybackCommand(self.feeds).run(arguments))
        )
        return result

    def assert_refused(self, why: str, **arguments: Any) -> None:
        failure = self.failureResultOf(Deferred.fromCoroutine(PlaybackCommand(self.feeds).run(arguments)), CommandError)
        self.assertRegex(str(failure.value), why)
        self.assertEqual(self.playback.calls, [])

    def test_actions(self) -> None:
        """Each is done, and the state follows; without any, there is only the state."""
        self.assertEqual(self.run_it(by="root"), {"feed": "night", "number": 0})
        asked: list[dict[str, Any]] = [{"pause": True}, {"resume": True, "pause": False}, {"seek": "21:00"}]
        for number, arguments in enumerate([*asked, {"speed": 10}, {"speed": "0.5"}], 1):
            self.assertEqual(self.run_it(feed="night", **arguments), {"feed": "night", "number": number})
        expected = ["pause", "resume", ("seek", "21:00"), ("speed", "10"), ("speed", "0.5")]
        self.assertEqual(self.playback.calls, expected)

    def test_refused(self) -> None:
        """Nothing is done by a command that is wrong."""
        for why, arguments in (
            ("no argument 'stop'", {"stop": True}),
            ("one at a time: pause or seek", {"pause": True, "seek": "1s"}),
            ("pause is true or left out", {"pause": "yes"}),
            ("seek is a text", {"seek": 5}),
            ("speed is a number", {"speed": True}),
            ("speed is a number", {"speed": [1]}),
            ("seek has more than 64 characters", {"seek": "1" * 65}),
            ("there is no feed 'x'; those that play a recording: night", {"feed": "x"}),
            ("there is no feed '5'", {"feed": 5}),
            ("the feed demo plays no recording", {"feed": "demo", "pause": True}),
        ):
            self.assert_refused(why, **arguments)

    def test_choice(self) -> None:
        """The feed must be named unless one plays a recording."""
        self.feeds["other"] = SimpleNamespace(playback=FakeReplay())
        self.assert_refused("name the feed; those that play a recording: night, other", pause=True)
        self.feeds.clear()
        self.assert_refused("name the feed; those that play a recording: none", pause=True)
