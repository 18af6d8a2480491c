"""The exceptions of livefeed, one tree.

    LivefeedError
    ├── ConfigurationError      a setting can never work; raised before anything is started
    ├── JournalError            the file in which versions are kept cannot be used
    ├── RecordingError          a recording cannot be read or written
    ├── StoreError              the embedded store of a feed cannot be read or written
    ├── DeskError               the file of an operator's decisions about a feed cannot be used
    ├── LinkError               the other end of the link between parent and worker breaks its protocol
    ├── RuntimeDirError         the runtime directory cannot be used
    ├── CommandError            a command of the operator failed
    ├── SecretFileError         a file with secrets cannot be read, or every user may read it
    │   └── MissingSecretError  there is no such file
    ├── FollowError             a client cannot follow a feed
    ├── MissingExtraError       a package of an extra is not installed
    └── PullError               a pull gave no new version; the last good snapshot stays
        ├── NotDueError         the source was not asked, because its last answer holds for longer than a tick
        │   └── EndedError      the source has said that no more versions will come
        ├── SourceError         the source could not be read
        └── DocumentError       the source was read, and the gate refuses its document

``PullError`` is handled in one place, :meth:`livefeed.intake.puller.Puller.tick`.
All other errors that end the start become a ``StartError``.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING

from livefeed import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

_SHOWN_LENGTH = 100
"""The largest number of characters of a value in a message."""


class LivefeedError(Exception):
    """The root of the tree."""


class ConfigurationError(LivefeedError):
    """A setting can never work. The message names the setting and says which values are allowed.

    :param why: the error, and the allowed values.
    :param setting: the setting's name; ``""`` if the message is about no setting, or names it itself.
    :param place: the place where it was set, with which the message begins; by default, its option on the command line.
    """

    def __init__(self, why: str, setting: str = "", place: str = "") -> None:
        place = place or (option_of(setting) if setting else "")
        super().__init__(f"{place}: {why}" if place else why)
        self.why = why
        self.setting = setting
        self.place = place


def option_of(setting: str) -> str:
    """Gives the command-line option of a setting."""
    return f"--{setting.replace('_', '-')}"


def shown(value: object) -> str:
    """Gives a value as text for a message: on one line, not too long, and without the password of a URL."""
    try:
        text = repr(value)
    except ValueError:
        # An integer of more than 4300 digits.
        return "a number that is far too large"
    if "@" in text:
        text = f"***{text[text.rindex('@') :]}"
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}..."


def closest(name: str, names: Iterable[str], prefix: str = "") -> str:
    """Gives the end of a message about an unknown name: the known name that is most similar.

    :param name: the unknown name. Only its first 64 characters are compared.
    :param names: the known names.
    :param prefix: text that the message puts before the known name.
    :returns: text such as ``; did you mean --interval?``; empty if no name is similar.
    """
    found = get_close_matches(name[:64], names, n=1)
    return f"; did you mean {prefix}{found[0]}?" if found else ""


def newer_format(path: object, found: object, known: object, remedy: str) -> str:
    """Gives the message about a file that a newer livefeed has written, and that is left as it is.

    :param path: the file.
    :param found: the format of the file.
    :param known: the newest format that this livefeed reads.
    :param remedy: the way to start this livefeed all the same.
    """
    return (
        f"{path}: has format {found}, of a newer livefeed, and livefeed {__version__} reads formats up to {known}; the "
        f"file was not changed; start the newer livefeed again, or {remedy}"
    )


class JournalError(LivefeedError):
    """The file in which versions are kept cannot be used. The message names the file and the reason."""


class RecordingError(LivefeedError):
    """A recording cannot be read or written. The message names the file, the place in it, and the reason.

    :param offset: where the file is damaged, in bytes from its beginning; ``None`` if that is not the reason.
    """

    def __init__(self, why: str, offset: int | None = None) -> None:
        super().__init__(why)
        self.offset = offset


class StoreError(LivefeedError):
    """The embedded store of a feed cannot be read or written. The message names the file and the reason.

    :param is_full: whether the disk, or the part of it that the user may fill, is full.
    """

    def __init__(self, why: str, *, is_full: bool = False) -> None:
        super().__init__(why)
        self.is_full = is_full


class DeskError(LivefeedError):
    """The file of an operator's decisions about a feed cannot be used. The message names the file and the reason.

    :param is_damaged: whether the file is not as it was written, so that it is not known what was decided.
    """

    def __init__(self, why: str, *, is_damaged: bool = False) -> None:
        super().__init__(why)
        self.is_damaged = is_damaged


class LinkError(LivefeedError):
    """The other end of the link between parent and worker breaks its protocol. The link ends."""


class RuntimeDirError(LivefeedError):
    """The runtime directory cannot be used. The message names it and the reason."""


class CommandError(LivefeedError):
    """A command of the operator failed. The message is shown to the operator, and contains no credentials."""


class SecretFileError(LivefeedError):
    """A file with secrets cannot be read, or can be read by every user. The message names it and the reason."""


class MissingSecretError(SecretFileError):
    """There is no such file."""


class FollowError(LivefeedError):
    """A client cannot follow a feed, and trying again does not help. The message names the reason.

    :param status: the status of the answer that says so; 0 without one.
    """

    def __init__(self, why: str, status: int = 0) -> None:
        super().__init__(why)
        self.status = status


class StartError(SystemExit, Exception):
    """The start fails, and the process ends with one line and exit code 1.

    It is also an ``Exception``: twistd reports only these to the process that started the daemon.
    """


def forget_frames(error: BaseException | None) -> None:
    """Removes the frames from a handled error, and from all its causes and contexts.

    A traceback refers to frames, to their callers, and to all their variables: often to the error itself. Only a full
    garbage collection would free such a cycle. Frames that are still running are left alone, so call this after the
    stack has unwound.
    """
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        trace, error.__traceback__ = error.__traceback__, None
        while trace is not None:
            frame: FrameType | None = trace.tb_frame
            while frame is not None:
                caller = frame.f_back
                # Raised for a frame that is running.
                with suppress(RuntimeError):
                    frame.clear()
                frame = caller
            trace = trace.tb_next
        origin = error.__cause__ or error.__context__
        error.__cause__ = error.__context__ = None
        error = origin


@dataclass(slots=True)
class SpentErrors:
    """Errors that were handled, kept until the next attempt begins: until then, their frames may still be running."""

    _errors: list[BaseException] = field(default_factory=list)

    def add(self, error: BaseException | None) -> None:
        """Keeps an error until the next attempt; ``None`` is ignored."""
        if error is not None:
            self._errors.append(error)

    def forget(self) -> None:
        """Frees everything that the errors of the last attempt refer to."""
        while self._errors:
            forget_frames(self._errors.pop())


def first_line(said: object) -> str:
    """Gives the first line of an error's text; the name of its type if the text is empty.

    Characters that cannot be printed are escaped. The text may come from a server, and terminals, which
    display logs, obey control characters.
    """
    lines = str(said).strip().splitlines() or [type(said).__name__]
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in lines[0])


class MissingExtraError(LivefeedError, ModuleNotFoundError):
    """A package of an extra is not installed. The message has the command that installs it."""


class PullError(LivefeedError):
    """A pull gave no new version. The message may be logged: it contains no credentials."""


class SourceError(PullError):
    """The source could not be read: it cannot be reached, is too slow, or answers with an error."""


class NotDueError(PullError):
    """The source was not asked, because it has said that its last answer still holds.

    This is neither a failure nor a confirmation. The feed stays as it is.
    """


class EndedError(NotDueError):
    """The source has said that no more versions will come. The last one stays, whatever its age."""


class DocumentError(PullError):
    """The document was read, and must not be served."""
