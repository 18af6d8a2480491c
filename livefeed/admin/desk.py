"""The desk on the operator's port: its commands, and ``/-/desk/NAME`` with the documents that are shown and that wait.

Rule: each answer about a document has its version as the entity tag, and no cache keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from livefeed.admin.commands import OF_THE_DESK
from livefeed.admin.reports import NO_ORIGIN, NO_STORE, Reading, json_answer
from livefeed.exceptions import CommandError, closest
from livefeed.intake.overlaying import OverlayChange
from livefeed.web.answers import answer, refuse
from livefeed.web.conditional import listed_tags, matching_tag
from livefeed.web.operator_problems import NO_DOCUMENT
from livefeed.web.resources import Node

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from twisted.web.resource import IResource

    from livefeed.admin.commands import Arguments, Commands
    from livefeed.feed.feed import Feed
    from livefeed.intake.desk import Desk
    from livefeed.web.request import Request

MAX_ARGUMENT_CHARACTERS = 256
"""The largest number of characters of an argument that is a text. A reason is shorter, and has a limit of its own."""

LONG = ("pointer", "value", "expect")
"""The arguments of an overlay that may be longer. They have limits of their own, and the content of a command has one.
"""

_TYPES: dict[str, type | tuple[type, ...]] = {
    "feed": str,
    "by": str,
    "reason": str,
    "version": str,
    "rule": str,
    "once": bool,
    "preview": bool,
    "for_s": (int, float),
    "action": str,
    **dict.fromkeys(LONG, str),
}
_WORDS = {str: "a text", bool: "true or false"}


class DeskFeed(Protocol):
    """A feed with a desk."""

    @property
    def feed(self) -> Feed:
        """The feed."""

    @property
    def desk(self) -> Desk:
        """The desk."""


@dataclass(frozen=True, slots=True)
class _Command:
    """A command of the desk.

    :ivar run: runs it, with its arguments.
    :ivar takes: the names of the arguments that it may have, besides ``feed``, ``by`` and ``reason``.
    :ivar needs: those that it must have.
    """

    run: Callable[..., Awaitable[dict[str, Any]]]
    takes: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()


def _commands_of(desk: Desk) -> dict[str, _Command]:
    return {
        "hold": _Command(desk.hold),
        "release": _Command(desk.release, frozenset({"once", "rule", "for_s", "version"})),
        "pin": _Command(desk.pin, frozenset({"version"}), frozenset({"version"})),
        "unpin": _Command(desk.unpin),
        "rollback": _Command(desk.rollback),
        "withdraw": _Command(desk.withdraw),
        "end": _Command(desk.end),
        "resume": _Command(desk.resume),
        "overlay": _Command(
            partial(_edit_overlay, desk), frozenset({"action", "preview", *LONG}), frozenset({"action"})
        ),
    }


async def _edit_overlay(
    desk: Desk, *, by: str, reason: str = "", preview: bool = False, **change: str
) -> dict[str, Any]:
    run = desk.preview_overlay if preview else desk.edit_overlay
    return await run(OverlayChange(**change), by=by, reason=reason)


@dataclass(frozen=True, slots=True)
class DeskCommands:
    """Runs the commands of the desks.

    :ivar feeds: the feeds, by their names; read again at each command.
    """

    feeds: Mapping[str, DeskFeed]

    def register(self, commands: Commands) -> None:
        """Offers all commands of :data:`OF_THE_DESK` to the operator."""
        for name in OF_THE_DESK:
            commands.register(name, partial(self.run, name))

    async def run(self, name: str, arguments: Arguments) -> dict[str, Any]:
        """Runs a command.

        :param arguments: ``feed`` may be left out if there is one feed; ``by`` is the operator.
        :raises CommandError: if it fails.
        """
        served = self._feed_of(arguments)
        command = _commands_of(served.desk)[name]
        given = {key: value for key, value in arguments.items() if key != "feed" and value is not None}
        known = {"by", "reason"} | command.takes
        for key, value in given.items():
            if key not in known:
                hint = closest(key, (each for each in known if each != "by"))
                raise CommandError(f"the command {name} has no argument {key!r}{hint}")
            _check_type(key, value)
        for key in command.needs - given.keys():
            raise CommandError(f"the command {name} needs the argument {key!r}")
        if given.keys() & {"rule", "for_s"} and not {"rule", "for_s"} <= given.keys():
            raise CommandError("the arguments 'rule' and 'for_s' go together")
        return await command.run(**given)

    def _feed_of(self, arguments: Arguments) -> DeskFeed:
        name = arguments.get("feed")
        names = ", ".join(self.feeds)
        if name is None:
            if len(self.feeds) != 1:
                raise CommandError(f"there are several feeds: name one of {names}")
            return next(iter(self.feeds.values()))
        _check_type("feed", name)
        found = self.feeds.get(name)
        if found is None:
            raise CommandError(f"there is no feed {name!r}; there are: {names}")
        return found


def _check_type(key: str, value: object) -> None:
    wanted = _TYPES[key]
    # A bool is an int.
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        words = _WORDS.get(wanted, "a number") if isinstance(wanted, type) else "a number"
        raise CommandError(f"the argument {key!r} is not {words}")
    if isinstance(value, str) and len(value) > MAX_ARGUMENT_CHARACTERS and key not in LONG:
        raise CommandError(f"the argument {key!r} has more than {MAX_ARGUMENT_CHARACTERS} characters")


class DesksResource(Node):
    """``/-/desk``: the desks by the names of their feeds.

    :param feeds: the feeds, by their names; read again at each request.
    """

    def __init__(self, feeds: Mapping[str, DeskFeed]) -> None:
        super().__init__(NO_ORIGIN)
        self._feeds = feeds

    def getChild(self, path: bytes, request: Request) -> IResource:
        """IResource API."""
        found = self._feeds.get(path.decode("ascii", "replace"))
        return super().getChild(path, request) if found is None else DeskResource(found)


class DeskResource(Reading):
    """``/-/desk/NAME``, with ``shown`` and ``waiting`` below.

    :param served: the feed.
    """

    def __init__(self, served: DeskFeed) -> None:
        super().__init__()
        self._served = served

    def getChild(self, path: bytes, request: Request) -> IResource:
        """IResource API."""
        match path:
            case b"shown":
                return DocumentResource(self._served, "shown")
            case b"waiting":
                return DocumentResource(self._served, "waiting")
        return super().getChild(path, request)

    def read(self, request: Request) -> int:
        """Reading API."""
        return json_answer(request, 200, self._served.desk.report())


class DocumentResource(Reading):
    """The document that is shown, or the one that waits.

    :param served: the feed.
    :param which: which of them.
    """

    isLeaf = True

    def __init__(self, served: DeskFeed, which: Literal["shown", "waiting"]) -> None:
        super().__init__()
        self._served = served
        self._which = which

    def read(self, request: Request) -> int:
        """Reading API."""
        found = self._served.feed.snapshot if self._which == "shown" else self._served.desk.waiting
        fields = [NO_STORE, (b"Livefeed-State", self._served.feed.state.value.encode())]
        if found is None:
            why = "Nothing was shown yet." if self._which == "shown" else "No document waits."
            return refuse(request, NO_DOCUMENT, why, fields)
        etag = b'"%b"' % found.version.encode()
        fields.append((b"ETag", etag))
        given = request.requestHeaders.getRawHeaders(b"If-None-Match", [])
        if matching_tag(listed_tags(b", ".join(given)), [etag]) is not None:
            return answer(request, 304, fields, None)
        return answer(request, 200, [*fields, (b"Content-Type", b"application/json")], found.data)
