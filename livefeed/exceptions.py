"""The exceptions of livefeed, one tree.

    LivefeedError
    ├── ConfigurationError      a setting can never work; raised before anything is started
    ├── JournalError            the file that versions are kept in cannot be used
    └── PullError               this pull gave no new version; the last good snapshot stays
        ├── NotDueError         the source was not asked: what it gave last is good for longer than a tick
        ├── SourceError         the source could not be read
        └── DocumentError       it was read, and the gate refuses what it gave

``PullError`` is decided on in one place, :meth:`livefeed.intake.puller.Puller.tick`.
Whatever else ends the start ends it as a ``StartError``.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

_SHOWN_LENGTH = 100


class LivefeedError(Exception):
    """The root of the tree."""


class ConfigurationError(LivefeedError):
    """A setting can never work. The message names the setting and says what is allowed.

    :param why: what is wrong, and what is allowed.
    :param setting: the setting's name; ``""`` if the message is about none, or names it itself.
    :param place: where it was set, which the message then begins with; by default, its option on the command line.
    """

    def __init__(self, why: str, setting: str = "", place: str = "") -> None:
        place = place or (option_of(setting) if setting else "")
        super().__init__(f"{place}: {why}" if place else why)
        self.why = why
        self.setting = setting


def option_of(setting: str) -> str:
    """Gives the option of the command line that a setting has."""
    return f"--{setting.replace('_', '-')}"


def shown(value: object) -> str:
    """Gives a value as a message may show it: on one line, not too long, and without the password of a URL."""
    try:
        text = repr(value)
    except ValueError:
        # A whole number of more than 4300 digits.
        return "a number that is far too large"
    if "@" in text:
        text = f"***{text[text.rindex('@') :]}"
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."


def closest(name: str, names: Iterable[str], prefix: str = "") -> str:
    """Gives the end of a message about a name that there is not: the one that is most like it, if one is.

    :param name: the wrong name; of one longer than 64 characters, the rest is not looked at.
    :param names: those that there are.
    :param prefix: what each name begins with besides.
    :returns: such as ``; did you mean --interval?``, or nothing.
    """
    found = get_close_matches(name[:64], names, n=1)
    return f"; did you mean {prefix}{found[0]}?" if found else ""


class JournalError(LivefeedError):
    """The file in which versions are kept cannot be used. The message says which, and why."""


class StartError(SystemExit, Exception):
    """The start fails, and the process ends with one line and exit code 1.

    It is an ``Exception`` as well, since of nothing else twistd tells the process that a daemon was started by.
    """


def forget_frames(error: BaseException | None) -> None:
    """Takes the frames from an error that has been dealt with, and from all that it came from.

    A traceback holds frames, those that called them, and whatever their variables name: often the error itself, which
    is a cycle that only a full collection would free. A frame that still runs is left alone, so that this is to be
    called once the stack has unwound.
    """
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        trace, error.__traceback__ = error.__traceback__, None
        while trace is not None:
            frame: FrameType | None = trace.tb_frame
            while frame is not None:
                caller = frame.f_back
                # It is raised for one that runs.
                with suppress(RuntimeError):
                    frame.clear()
                frame = caller
            trace = trace.tb_next
        origin = error.__cause__ or error.__context__
        error.__cause__ = error.__context__ = None
        error = origin


@dataclass(slots=True)
class SpentErrors:
    """Errors that have been dealt with, until the next attempt begins: their frames may have run until then."""

    _errors: list[BaseException] = field(default_factory=list)

    def add(self, error: BaseException | None) -> None:
        """Keeps an error until the next attempt."""
        if error is not None:
            self._errors.append(error)

    def forget(self) -> None:
        """Frees what the errors of the last attempt hold."""
        while self._errors:
            forget_frames(self._errors.pop())


def first_line(said: object) -> str:
    """Gives the first line of what an error says, or the name of its type if that is nothing."""
    lines = str(said).strip().splitlines() or [type(said).__name__]
    return lines[0]


class PullError(LivefeedError):
    """A pull gave no new version. The message is fit for a log: it holds no credentials."""


class SourceError(PullError):
    """The source could not be read: it is away, too slow, or answers with an error."""


class NotDueError(PullError):
    """The source was not asked, since it has said for how long the document holds: no failure, and no confirmation.

    The feed stays as it is.
    """


class DocumentError(PullError):
    """The document was read, and is not one that may be served."""
