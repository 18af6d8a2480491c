"""The command ``playback``: pauses, seeks and speeds up the recording that a feed plays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from livefeed.exceptions import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livefeed.admin.commands import Arguments

MAX_ARGUMENT = 64
"""Characters of the longest time and speed."""

_ACTIONS = ("pause", "resume", "seek", "speed")


class Playback(Protocol):
    """A recording that is played."""

    def pause(self) -> None:
        """Has the version that is shown stay."""

    def resume(self) -> None:
        """Goes on."""

    async def seek(self, text: str, /) -> None:
        """Goes to a time.

        :raises CommandError: if it is none.
        """

    def change_speed(self, text: str, /) -> None:
        """Plays at another speed.

        :raises CommandError: if it is none.
        """

    def report(self) -> dict[str, Any]:
        """Gives the state as a value for JSON."""


class PlayingFeed(Protocol):
    """A feed that may play a recording."""

    @property
    def playback(self) -> Playback | None:
        """The recording; ``None`` if the feed has another source."""


@dataclass(frozen=True, slots=True)
class PlaybackCommand:
    """Runs the command.

    :ivar feeds: the feeds, by their names; read again at each request.
    """

    feeds: Mapping[str, PlayingFeed]

    async def run(self, arguments: Arguments) -> dict[str, Any]:
        """Runs the command, and gives the state afterwards.

        :param arguments: ``feed``, which may be left out if one feed plays a recording; and one of ``pause`` and
            ``resume``, which are ``true``, ``seek``, a time, and ``speed``, a number. Without any, nothing changes.
        :raises CommandError: if the arguments are wrong, or the recording cannot be read at that time.
        """
        unknown = sorted(set(arguments) - {*_ACTIONS, "feed", "by"})
        asked = [name for name in _ACTIONS if arguments.get(name) not in (None, False)]
        if unknown:
            raise CommandError(f"playback has no argument {unknown[0]!r}; it has feed, {', '.join(_ACTIONS)}")
        if len(asked) > 1:
            raise CommandError(f"one at a time: {' or '.join(asked)}")
        name, playback = self._find(arguments.get("feed"))
        for action in asked:
            await _act(playback, action, arguments[action])
        return {"feed": name, **playback.report()}

    def _find(self, name: object) -> tuple[str, Playback]:
        """Gives the feed that is meant, and its recording."""
        found = {each: feed.playback for each, feed in self.feeds.items()}
        playing = {each: playback for each, playback in found.items() if playback is not None}
        if name is None and len(playing) == 1:
            return next(iter(playing.items()))
        names = ", ".join(playing) or "none"
        if name is None:
            raise CommandError(f"name the feed; those that play a recording: {names}")
        if not isinstance(name, str) or name not in found:
            raise CommandError(f"there is no feed {str(name)[:MAX_ARGUMENT]!r}; those that play a recording: {names}")
        playback = playing.get(name)
        if playback is None:
            raise CommandError(f"the feed {name} plays no recording; those that do: {names}")
        return name, playback


async def _act(playback: Playback, action: str, value: object) -> None:
    if action in ("pause", "resume"):
        if value is not True:
            raise CommandError(f"{action} is true or left out")
        (playback.pause if action == "pause" else playback.resume)()
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not isinstance(value, str) and not (is_number and action == "speed"):
        raise CommandError(f"{action} is a {'number' if action == 'speed' else 'text, such as 21:00'}")
    text = str(value)
    if len(text) > MAX_ARGUMENT:
        raise CommandError(f"{action} has more than {MAX_ARGUMENT} characters")
    if action == "seek":
        await playback.seek(text)
    else:
        playback.change_speed(text)
