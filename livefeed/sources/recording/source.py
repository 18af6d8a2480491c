"""The source of ``recording:PATH``: shows the versions of a recording in their order, none of them left out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import inf, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, quote, unquote

from livefeed.document.snapshot import version_of
from livefeed.document.timestamps import timestamp
from livefeed.exceptions import CommandError, ConfigurationError, EndedError, RecordingError, SourceError
from livefeed.sources.recording.playing import MAX_SPEED, MIN_SPEED, Playing
from livefeed.sources.recording.reading import Reading
from livefeed.storage.recording_time import seconds_into
from livefeed.threads import defer_to_new_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime

    from livefeed.sources.recording.reading import Version

_FORM = "recording: takes a path, as in recording:/srv/night.recording?speed=10&at=21:00&loop=true"


@dataclass(slots=True, eq=False)
class RecordingSource:
    """Plays a recording from the first pull on.

    It asks for a pull at each version that is due, and gives one version for each pull, so none is left out: if more
    are due than can be pulled, the position waits for them.

    :ivar reading: the file.
    :ivar playing: the position in it.
    :ivar reactor: the clock.
    :ivar in_thread: calls a function in a thread of its own.
    """

    # required parameters
    reading: Reading
    playing: Playing
    reactor: IReactorTime
    in_thread: Callable[..., Deferred[Any]]

    # internal state
    _changed: Callable[[], None] | None = None
    _call: IDelayedCall | None = None
    _shown: Version | None = None
    _has_begun: bool = False
    _is_filling: bool = False
    _is_closed: bool = False

    @classmethod
    def from_url(cls, parts: SplitResult, *, reactor: IReactorTime, max_bytes: int) -> RecordingSource:
        """Makes the source of ``recording:PATH``, with the parameters ``speed``, ``at`` and ``loop``.

        :raises ConfigurationError: if there is no path, or a parameter is wrong.
        """
        options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        path = unquote(parts.path, errors="surrogateescape")
        if not path or "\0" in path or parts.fragment or parts.netloc not in ("", "localhost"):
            hint = f"; in the name of a file, write # as {quote('#')}" if parts.fragment else ""
            raise ConfigurationError(f"{_FORM}{hint}", "source")
        speed, at, loop = options.pop("speed", "1"), options.pop("at", ""), options.pop("loop", "false")
        if options:
            raise ConfigurationError(f"{_FORM}; there is no parameter {min(options)!r}", "source")
        if loop not in ("true", "false"):
            raise ConfigurationError("recording: loop is true or false", "source")
        try:
            found = read_speed(speed)
            if at:
                seconds_into(at, 0.0, inf)
        except (CommandError, RecordingError) as error:
            raise ConfigurationError(f"recording: {error}", "source") from None
        # Absolute, since a daemon changes its working directory.
        reading = Reading(Path(path).absolute(), max_bytes, at, loop == "true")
        threads = cast("IReactorFromThreads", reactor)
        return cls(reading, Playing(reactor.seconds, found), reactor, partial(defer_to_new_thread, threads))

    def __str__(self) -> str:
        return f"recording:{self.reading.path}"

    def watch(self, changed: Callable[[], None]) -> None:
        """Source API."""
        self._changed = changed

    async def fetch(self) -> bytes | None:
        """Source API."""
        reading = self.reading
        if reading.contents is None:
            await self._call_thread(reading.open)
        if not reading.ahead and reading.wants_more:
            await self._call_thread(reading.fill)
        try:
            return self._next()
        finally:
            self._arrange()

    def _next(self) -> bytes | None:
        """Gives the next version if it is due; ``None`` if the last one is still shown."""
        reading, playing = self.reading, self.playing
        if reading.ahead:
            first = reading.ahead[0]
            if not self._has_begun:
                self._has_begun = True
                # The time before the first version would be without a document.
                playing.move_to(first.due_s)
            if playing.due_in_s(first.due_s) == 0.0 or self._shown is None:
                self._shown = reading.ahead.popleft()
                playing.wait_for(first.due_s)
                return first.data
        elif reading.error is not None:
            raise SourceError(_without(str(reading.error), str(reading.path)))
        elif reading.end_s is not None and playing.due_in_s(reading.end_s) == 0.0:
            raise EndedError("the recording has ended")
        if self._shown is None:
            raise SourceError("the recording has no versions")
        return None

    def _arrange(self) -> None:
        """Asks for a pull when the next version is due, and reads ahead."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        reading = self.reading
        if self._is_closed or self._changed is None or reading.contents is None:
            return
        due_s = reading.ahead[0].due_s if reading.ahead else reading.end_s
        left_s = inf if due_s is None else self.playing.due_in_s(due_s)
        if left_s < inf and (reading.ahead or left_s > 0):
            self._call = self.reactor.callLater(left_s, self._note_due)
        if reading.wants_more and not self._is_filling:
            self._fill()

    def _note_due(self) -> None:
        self._call = None
        if self._changed is not None:
            self._changed()

    def _fill(self) -> None:
        """Reads ahead. If there is no thread, the next pull reads."""
        self._is_filling = True

        def end(_: object) -> None:
            self._is_filling = False
            self._arrange()

        try:
            self.in_thread(self.reading.fill).addBoth(end)
        except OSError:
            self._is_filling = False

    async def _call_thread(self, work: Callable[[], None]) -> None:
        """Calls a function in a thread.

        :raises SourceError: if it fails, or there is no thread.
        """
        try:
            await self.in_thread(work)
        except RecordingError as error:
            raise SourceError(_without(str(error), str(self.reading.path))) from None
        except OSError as error:
            raise SourceError(error.strerror or str(error)) from None

    def close(self) -> None:
        """Source API."""
        self._is_closed = True
        self._changed = None
        self._arrange()
        self.reading.close()

    # Commands

    def pause(self) -> None:
        """Has the version that is shown stay."""
        self.playing.pause()
        self._arrange()

    def resume(self) -> None:
        """Goes on after :meth:`pause`."""
        self.playing.resume()
        self._arrange()

    def change_speed(self, text: str) -> None:
        """Plays at another speed from now on.

        :raises CommandError: if it is none.
        """
        self.playing.change_speed(read_speed(text))
        self._arrange()

    async def seek(self, text: str) -> None:
        """Shows the version of another time, and goes on from there.

        :param text: the time; see :mod:`livefeed.storage.recording_time`.
        :raises CommandError: if it is none, or the recording cannot be read there.
        """
        contents = self.reading.contents
        if contents is None:
            raise CommandError(
                f"{self.reading.path}: was not read yet; the log or `livefeed ctl status` has the reason"
            )
        try:
            position_s = seconds_into(text, contents.beginning.at, contents.length_s)
            await self.in_thread(self.reading.seek, position_s)
        except (RecordingError, OSError) as error:
            raise CommandError(str(error)) from None
        if self.reading.error is not None and not self.reading.ahead:
            raise CommandError(str(self.reading.error))
        self._has_begun = True
        self.playing.move_to(position_s)
        self._arrange()
        self._note_due()

    def report(self) -> dict[str, Any]:
        """Gives the state of the playing as a value for JSON."""
        reading, playing, shown = self.reading, self.playing, self._shown
        contents = reading.contents
        report: dict[str, Any] = {"file": str(reading.path), "speed": playing.speed, "loop": reading.loops}
        if contents is None:
            return {**report, "playing": "not yet"}
        position_s = playing.position_s()
        is_ended = not reading.ahead and reading.end_s is not None and position_s >= reading.end_s
        if reading.loops and shown is not None:
            position_s = shown.at - contents.beginning.at
        elif reading.end_s is not None:
            position_s = min(position_s, reading.end_s)
        return {
            **report,
            "playing": "ended" if is_ended else "paused" if playing.is_paused else "playing",
            "position_s": round(position_s, 3),
            "length_s": round(contents.length_s, 3),
            "began_at": timestamp(contents.beginning.at),
            "versions": contents.versions,
            "number": None if shown is None else shown.number,
            "shown_at": None if shown is None else timestamp(shown.at),
            "version": None if shown is None else version_of(shown.data),
            "complete": not contents.why_not_complete,
        }


def _without(text: str, path: str) -> str:
    """Gives a message without the path in front: messages about a source begin with it."""
    return text.removeprefix(f"{path}: ")


def read_speed(text: str) -> float:
    """Reads a speed.

    :raises CommandError: if it is none.
    """
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not isfinite(speed) or not MIN_SPEED <= speed <= MAX_SPEED:
        raise CommandError(f"a speed is a number from {MIN_SPEED:g} to {MAX_SPEED:g}, and 1 is that of the recording")
    return speed
