"""The operator's port: a site of its own, on a Unix socket and optionally on TCP, apart from the watchers.

Rule: everything that this site answers has passed :class:`.access.Access`. The page of the desk and the pages about
problems are the same on every machine, and pass without the token.
"""

from __future__ import annotations

from io import BytesIO
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.server import NOT_DONE_YET

from livefeed.admin.caller import caller_of
from livefeed.admin.commands import METHODS, OF_FEEDS, BusyError, NotOfferedError
from livefeed.admin.desk_page import is_page_file
from livefeed.admin.reports import NO_ORIGIN, json_answer, watch_end
from livefeed.delivery.problem_pages import SEGMENT, ProblemPages, is_problem_page
from livefeed.exceptions import LivefeedError
from livefeed.web import operator_problems, problems
from livefeed.web.answers import answer, refuse
from livefeed.web.channel import Channel
from livefeed.web.request import Request
from livefeed.web.resources import Node
from livefeed.web.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from twisted.internet.interfaces import IAddress, IReactorTime
    from twisted.web.resource import IResource

    from livefeed.admin.access import Access, Denial
    from livefeed.admin.commands import Commands
    from livefeed.admin.contents import Contents
    from livefeed.web.problem_type import ProblemType

MAX_CONNECTIONS = 64
"""Connections at a time to one endpoint of the operator's port. Each takes one of the 256 open files that are set aside
for everything but watchers. One more takes the place of the oldest one that is idle, and is closed if none is."""

UNKNOWN_IDLE_S = 5
"""Seconds for which a connection may be idle before one of its requests had access: everybody can open connections, and
the operator's clients send a request at once."""

MAX_CONTENT_BYTES = 64 * 1024
"""Size of the largest content of a command. It is a JSON object with a few members."""

CONTENT_TIMEOUT_S = 10
"""Seconds that the content of a command may take, after its head."""

_READS = (b"GET", b"HEAD")

MAX_ARGUMENT_CHARACTERS = 256
"""Characters of the longest argument in a path, such as a version."""

_log = Logger()


class OperatorRequest(Request):
    """A request to the operator's port.

    :ivar content_refusal: the type and the reason with which its content was refused; ``None`` if it was not.
    :ivar keeps_content: fires when the content is no longer needed; ``None`` if it is not needed after the request. A
        client that leaves does not free the memory of a document that waits for the disk.
    """

    keeps_content: Deferred[Any] | None = None
    content_refusal: tuple[ProblemType, str] | None = None
    _denial: Denial | None = None
    _was_judged = False

    def denial(self, access: Access, *, is_file: bool = False) -> Denial | None:
        """Gives the reason to refuse the request; ``None`` if it may be answered. A wrong token counts once.

        :param is_file: whether it asks for a file of the page.
        """
        if not self._was_judged:
            self._was_judged = True
            self._denial = access.denial_of_file(self) if is_file else access.denial(self)
        return self._denial

    def gotLength(self, length: int | None) -> None:
        """http.Request API. It would put content into a file: that of :class:`.Contents` is bounded in memory."""
        self.content = BytesIO()


class OperatorChannel(Channel):
    """A connection of HTTP whose requests may have content: the arguments of a command, or a document.

    :ivar is_known: whether one of its requests had access.
    :ivar number: counts the connections of the site in their order.
    """

    reads_whole_heads = False  # the path and the content decide about a request before it is processed
    is_known = False
    number = 0
    site: OperatorSite
    _content_s: float = CONTENT_TIMEOUT_S  # that the content of the present request may take

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way, apart from one whose head or content has not arrived."""
        return not self._handlingRequest

    def setTimeout(self, period: float | None) -> float | None:
        """TimeoutMixin API. Clients without access get little time to begin with a request."""
        if period is not None and not (self.is_known or self._in_head):
            period = min(period, UNKNOWN_IDLE_S)
        if period is not None and self._in_head:
            period = max(period, self._content_s)
        return super().setTimeout(period)

    def takes_content(self) -> bool:
        """Channel API. Only content whose length is known, so that a request that is too large is refused at once."""
        if self._command == b"POST":
            return self.length is not None and self.length <= MAX_CONTENT_BYTES
        contents, request = self.site.contents, self.requests[-1]
        if contents is None or self._command not in contents.METHODS or request.denial(self.site.access) is not None:
            return False
        length = self.length
        request.content_refusal = contents.refusal(self._path, length)
        if request.content_refusal is not None or length is None:
            return False
        contents.reserve(length)

        def release(_: object) -> None:
            kept = request.keeps_content
            if kept is None or kept.called:
                contents.release(length)
            else:
                kept.addBoth(lambda _: contents.release(length))

        request.notifyFinish().addBoth(release)
        self._content_s = CONTENT_TIMEOUT_S + length / contents.LEAST_RATE
        if request.requestHeaders.hasHeader(b"Expect") and len(self.requests) == 1:
            # The clients that ask for it wait up to a second for the permission (RFC 9110, 10.1.1).
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def requestDone(self, request: Any) -> None:
        """HTTPChannel API. No answer of this port is repeated for another request."""
        request.select = None
        super().requestDone(request)

    def allContentReceived(self) -> None:
        """HTTPChannel API."""
        self._in_head = False  # the time of the content is limited as that of a head
        self._content_s = CONTENT_TIMEOUT_S
        super().allContentReceived()


class OperatorSite(Site):
    """The connections to one endpoint of the operator's port.

    :param resource: the root of the resources.
    :param contents: decides which documents are taken as content; ``None`` for none.
    :ivar access: decides which requests are answered.
    """

    protocol = OperatorChannel
    requestFactory = OperatorRequest

    def __init__(self, resource: OperatorRoot, *, reactor: IReactorTime, contents: Contents | None = None) -> None:
        super().__init__(resource, reactor=reactor, head_timeout_s=CONTENT_TIMEOUT_S)
        self.access = resource.access
        self.contents = contents
        self._numbers: Iterator[int] = count()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """IProtocolFactory API. A connection too many takes the place of an idle one, or is closed."""
        if len(self.channels) >= MAX_CONNECTIONS and not self._make_room():
            return None
        channel: Any = super().buildProtocol(addr)
        channel.number = next(self._numbers)
        return channel

    def _make_room(self) -> bool:
        """Ends the oldest idle connection, first of those that never had access. Returns whether there was one."""
        channels: set[Any] = self.channels
        idle = min((each for each in channels if each.is_idle), key=lambda it: (it.is_known, it.number), default=None)
        if idle is None:
            return False
        # Before its end arrives: the next connection must not find it again.
        channels.discard(idle)
        idle.forceAbortClient()
        return True


class OperatorRoot(Node):
    """The root of the resources, which refuses requests that have no access to any of them.

    :param access: decides which requests have.
    :param paths: the resources, by their paths: ``metrics``, ``-/live``.
    """

    def __init__(self, access: Access, paths: Mapping[str, IResource]) -> None:
        super().__init__(NO_ORIGIN)
        self.access = access
        below = Node(NO_ORIGIN)
        below.putChild(SEGMENT, ProblemPages(NO_ORIGIN, is_shared=False))
        self.putChild(b"-", below)
        for path, resource in paths.items():
            first, slash, rest = path.encode().partition(b"/")
            if slash:
                below.putChild(rest, resource)
            else:
                self.putChild(first, resource)

    def getChildWithDefault(self, path: bytes, request: Any) -> Any:
        """IResource API."""
        is_file = path == b"-" and request.method in _READS and _is_public(request.postpath)
        denial = request.denial(self.access, is_file=is_file)
        if denial is not None:
            return _Denied(denial)
        channel: Any = request.channel
        channel.is_known = channel.is_known or not is_file
        return super().getChildWithDefault(path, request)


def _is_public(segments: list[bytes] | None) -> bool:
    """Tells whether the segments of a path behind ``/-/`` lead to a file that says nothing about this machine."""
    return is_page_file(segments) or is_problem_page(segments)


class _Denied(Node):
    """Refuses each request."""

    isLeaf = True

    def __init__(self, denial: Denial) -> None:
        super().__init__(NO_ORIGIN)
        self._denial = denial

    def render(self, request: Request) -> int:
        """IResource API."""
        return refuse(request, self._denial.kind, self._denial.why, self._denial.fields)


class CommandResource(Node):
    """``/-/reload`` and the other commands.

    A command that changes something is a ``POST`` whose content is a JSON object with the arguments: no form of a web
    page can send one. The others are read by ``GET``; the rest of the path, if any, is their argument ``version``.

    :param name: the command.
    :param commands: runs it.
    """

    isLeaf = True

    def __init__(self, name: str, commands: Commands) -> None:
        super().__init__(NO_ORIGIN)
        self._name = name
        self._commands = commands

    def render(self, request: Request) -> int:
        """IResource API."""
        method = METHODS[self._name].encode()
        allowed = method + (b", OPTIONS" if method == b"POST" else b", HEAD, OPTIONS")
        if request.method == b"OPTIONS":
            return answer(request, 204, [(b"Allow", allowed)], None)
        if request.method != method and not (request.method == b"HEAD" and method == b"GET"):
            why = f"The command {self._name} is a {method.decode()}."
            return refuse(request, problems.METHOD_NOT_ALLOWED, why, [(b"Allow", allowed)])
        if request.has_content:
            why = f"The content must have a Content-Length of {MAX_CONTENT_BYTES} at most."
            return refuse(request, problems.CONTENT_TOO_LARGE, why)
        arguments = _arguments_in_content(request) if method == b"POST" else _arguments_in_path(request)
        if isinstance(arguments, str):
            is_type = arguments == _WRONG_TYPE
            kind = operator_problems.WRONG_MEDIA_TYPE if is_type else operator_problems.MALFORMED_COMMAND
            return refuse(request, kind, arguments)
        if self._name in OF_FEEDS:
            arguments["by"] = caller_of(request)
        ended = watch_end(request)
        Deferred.fromCoroutine(self._run(request, arguments, ended))
        return NOT_DONE_YET

    async def _run(self, request: Request, arguments: dict[str, Any], ended: list[bool]) -> None:
        try:
            report = await self._commands.run(self._name, arguments)
        except LivefeedError as error:
            kind, why = _kind_of(error), str(error)
        except Exception:
            _log.failure("the command {name} broke", name=self._name)
            kind, why = problems.INTERNAL_ERROR, f"The command {self._name} broke. The log has the reason."
        else:
            if not ended:
                json_answer(request, 200, report)
            return
        if not ended:
            refuse(request, kind, why)


def _kind_of(error: LivefeedError) -> ProblemType:
    """Gives the type of the answer to a command that has failed."""
    if isinstance(error, NotOfferedError):
        return operator_problems.COMMAND_NOT_OFFERED
    return operator_problems.COMMAND_REFUSED_NOW if isinstance(error, BusyError) else operator_problems.COMMAND_FAILED


_WRONG_TYPE = "The Content-Type of a command is application/json."


def _arguments_in_content(request: Request) -> dict[str, Any] | str:
    """Gives the arguments in the content of a request, or the reason why there are none."""
    assert request.content is not None
    kind = request.requestHeaders.getRawHeaders(b"Content-Type", [b""])[0]
    if kind.partition(b";")[0].strip().lower() != b"application/json":
        return _WRONG_TYPE
    try:
        return msgspec.json.decode(request.content.read() or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "The content of a command is a JSON object."


def _arguments_in_path(request: Request) -> dict[str, Any] | str:
    """Gives the argument in the rest of the path, or the reason why there is none."""
    rest = b"/".join(request.postpath or []).decode("utf-8", "replace")
    if len(rest) > MAX_ARGUMENT_CHARACTERS:
        return f"The argument of a command has {MAX_ARGUMENT_CHARACTERS} characters at most."
    return {"version": rest} if rest else {}
