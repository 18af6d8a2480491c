"""``/feeds/NAME`` on the operator's port: the stored document of a feed, which publishers read, write and change.

The resource is the *stored* document: its entity tag, conditions and patches refer to it. ``Livefeed-Version`` names
the version that watchers are shown.

Rule: 200 and 201 say that the document is durable and that watchers are shown it, or a later one. 202 says that it is
durable, and that they are not: the answer has the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, TimeoutError  # noqa: A004
from twisted.logger import Logger
from twisted.web.server import NOT_DONE_YET

from livefeed.admin.caller import caller_of
from livefeed.admin.embargoes import EmbargoedFeed, SetAside, set_aside
from livefeed.admin.publish_edits import (
    JSON_PATCH,
    MERGE_PATCH,
    Conditions,
    EditRefusedError,
    deletion,
    patching,
    replacement,
)
from livefeed.admin.reports import NO_ORIGIN, NO_STORE, json_answer, watch_end
from livefeed.admin.strictness import APPLIED, RuleRefusedError, strictly, wants_strictness
from livefeed.document.timestamps import timestamp
from livefeed.exceptions import StoreError
from livefeed.feed.state import State
from livefeed.intake.puller import PullOutcome
from livefeed.storage.shared_writes import BusyStoreError, ClosedStoreError
from livefeed.web import operator_problems, problems
from livefeed.web.answers import answer, refuse, retry_after
from livefeed.web.conditional import is_another, listed_tags, matching_tag
from livefeed.web.resources import Node

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from twisted.internet.interfaces import IReactorTime
    from twisted.web.resource import IResource

    from livefeed.document.stored_write import StoredWrite
    from livefeed.feed.feed import Feed
    from livefeed.intake.desk import Desk
    from livefeed.storage.shared_writes import SharedWrites
    from livefeed.storage.store import Kept, Outcome, Unchanged, View
    from livefeed.web.problem_type import ProblemType
    from livefeed.web.request import Request

LIVE_S = 15.0
"""Seconds for which the answer to a write waits until watchers are shown the document. A pull may take 10."""

RETRY_S = 1.0
"""``Retry-After`` in seconds if the store takes no writes: a successor takes over in less."""

MIN_PREFIX = 6
"""The smallest number of characters of a version by which one of the last writes is named."""

PUBLISH_AT = b"Livefeed-Publish-At"
"""The field of a request with the time at which its document is to be published."""

ACCEPT_PATCH = (b"Accept-Patch", b", ".join((MERGE_PATCH, JSON_PATCH)))
"""The media types of patches (RFC 5789, 3.1)."""

_NO_CONTENT = "A request of this kind has no content."
_DOCUMENT_METHODS = b"GET, HEAD, PUT, PATCH, DELETE, OPTIONS"

_log = Logger()


class StoredFeed(EmbargoedFeed, Protocol):
    """A feed whose document may be in a store."""

    @property
    def feed(self) -> Feed:
        """The feed."""

    @property
    def store(self) -> SharedWrites | None:
        """The store; ``None`` if the document comes from another source."""

    @property
    def desk(self) -> Desk:
        """Its desk, which may hold documents back."""

    @property
    def source_name(self) -> str:
        """The name of the source, without credentials."""

    @property
    def max_bytes(self) -> int:
        """The size in bytes of the largest document."""

    def pull_soon(self) -> Deferred[PullOutcome]:
        """Pulls, and gives the outcome of a pull that began after the call."""


def limit_of(feeds: Mapping[str, StoredFeed], path: bytes) -> int | None:
    """Gives the size in bytes of the largest document at a path of the operator's port; ``None`` if there is none."""
    folder, slash, name = path.removeprefix(b"/").partition(b"/")
    found = feeds.get(name.decode("ascii", "replace")) if folder == b"feeds" and slash else None
    return None if found is None or found.store is None else found.max_bytes


class FeedsResource(Node):
    """``/feeds``: the feeds that can be published here, and the documents below.

    :param feeds: the feeds, by their names; read again at each request.
    :param clock: limits the time of an answer.
    """

    def __init__(self, feeds: Mapping[str, StoredFeed], clock: IReactorTime) -> None:
        super().__init__(NO_ORIGIN)
        self._feeds = feeds
        self._clock = clock

    def getChild(self, path: bytes, request: Request) -> IResource:
        """IResource API."""
        found = self._feeds.get(path.decode("ascii", "replace"))
        if found is None:
            names = ", ".join(sorted(name for name, feed in self._feeds.items() if feed.store is not None)) or "none"
            why = f"There is no feed by this name; those with the source store: are {names}."
            return _Refused(problems.NOT_FOUND, why)
        if found.store is None:
            why = f"The document of this feed comes from {found.source_name}. Only a feed with the source store: is "
            return _Refused(operator_problems.NOT_PUBLISHED_HERE, f"{why}published here.")
        return DocumentResource(found, found.store, self._clock)

    def render(self, request: Request) -> int:
        """IResource API."""
        if request.method == b"OPTIONS":
            return answer(request, 204, [(b"Allow", b"GET, HEAD, OPTIONS")], None)
        if request.method not in (b"GET", b"HEAD"):
            return refuse(
                request, problems.METHOD_NOT_ALLOWED, "This is only read.", [(b"Allow", b"GET, HEAD, OPTIONS")]
            )
        stores = {name: each.store for name, each in self._feeds.items()}
        report = [
            {
                "feed": name,
                "version": store.newest.version or None if store.newest else None,
                "write": store.newest.number if store.newest else None,
                "commits": store.commits,
            }
            for name, store in stores.items()
            if store is not None
        ]
        return json_answer(request, 200, report)


class _Refused(Node):
    """Refuses each request."""

    isLeaf = True

    def __init__(self, kind: ProblemType, why: str) -> None:
        super().__init__(NO_ORIGIN)
        self._kind, self._why = kind, why

    def render(self, request: Request) -> int:
        """IResource API."""
        return refuse(request, self._kind, self._why)


@dataclass(frozen=True, slots=True)
class _Result:
    """The answer to a request."""

    status: int
    report: Any
    fields: tuple[tuple[bytes, bytes], ...] = ()


class DocumentResource(Node):
    """``/feeds/NAME``, and ``/feeds/NAME/versions`` below it.

    :param stored: the feed.
    :param store: its store.
    :param clock: limits the time of an answer.
    """

    isLeaf = True

    def __init__(self, stored: StoredFeed, store: SharedWrites, clock: IReactorTime) -> None:
        super().__init__(NO_ORIGIN)
        self._stored = stored
        self._store = store
        self._clock = clock

    def render(self, request: Request) -> int:
        """IResource API."""
        rest = [each.decode("ascii", "replace") for each in request.postpath or []]
        methods: dict[bytes, Callable[[Request], int]]
        match rest:
            case []:
                methods = {
                    b"GET": self._get,
                    b"HEAD": self._get,
                    b"PUT": self._put,
                    b"PATCH": self._patch,
                    b"DELETE": self._delete,
                }
            case ["versions"]:
                methods = dict.fromkeys((b"GET", b"HEAD"), self._list)
            case ["versions", version]:
                methods = dict.fromkeys((b"GET", b"HEAD"), lambda it: self._get_version(it, version))
            case ["versions", version, "restore"]:
                methods = {b"POST": lambda it: self._restore(it, version)}
            case _:
                return refuse(request, problems.NOT_FOUND, "There is nothing at this path.")
        allowed = [(b"Allow", b", ".join([*methods, b"OPTIONS"]))]
        if not rest:
            allowed.append(ACCEPT_PATCH)
        if request.method == b"OPTIONS":
            return answer(request, 204, allowed, None)
        respond = methods.get(request.method)
        if respond is None:
            return refuse(request, problems.METHOD_NOT_ALLOWED, "The resource does not have this method.", allowed)
        return self._refuse_content(request) or respond(request)

    @staticmethod
    def _refuse_content(request: Any) -> int | None:
        """Refuses a request whose content was not read."""
        if not request.has_content:
            return None
        kind, why = request.content_refusal or (problems.UNEXPECTED_CONTENT, _NO_CONTENT)
        return refuse(request, kind, why, [retry_after(RETRY_S)] if kind is operator_problems.TOO_MANY_UPLOADS else [])

    # Reading

    def _get(self, request: Request) -> int:
        newest = self._store.newest
        if newest is None and not self._store.is_open:
            # This process takes over from another one, and does not know yet.
            return refuse(
                request, operator_problems.STORE_NOT_OPEN, "The store is not open yet.", [retry_after(RETRY_S)]
            )
        if newest is None or newest.data is None:
            return refuse(
                request, operator_problems.NO_DOCUMENT, "There is no document. PUT stores one.", self._shown()
            )
        return self._answer_document(request, newest.data, newest.version, [ACCEPT_PATCH, *self._shown()])

    @staticmethod
    def _answer_document(request: Request, data: bytes, version: str, fields: list[tuple[bytes, bytes]]) -> int:
        etag = b'"%b"' % version.encode()
        fields = [*fields, (b"ETag", etag), NO_STORE]
        if is_another(request.fields.if_match, etag):
            return refuse(
                request, problems.PRECONDITION_FAILED, "The document is not the one that If-Match names.", fields
            )
        if matching_tag(listed_tags(_field(request, b"If-None-Match")), [etag]) is not None:
            return answer(request, 304, fields, None)
        return answer(request, 200, [*fields, (b"Content-Type", b"application/json")], data)

    def _list(self, request: Request) -> int:
        async def respond() -> _Result:
            return _Result(200, [_described(each) for each in reversed(await self._store.versions())])

        return self._respond(request, respond())

    def _get_version(self, request: Request, version: str) -> int:
        async def respond() -> _Result | None:
            found, data = await self._store.read(lambda kept: _find(kept, version))
            if not ended:
                self._answer_document(request, data, found.version, [])
            return None

        ended = watch_end(request)
        return self._respond(request, respond(), ended)

    # Writing

    def _put(self, request: Request) -> int:
        kind = _media_type(request)
        if kind and kind != b"application/json" and not kind.endswith(b"+json"):
            return refuse(
                request, operator_problems.WRONG_MEDIA_TYPE, "The Content-Type of a document is application/json."
            )
        document = _content(request)
        return self._write(request, replacement(document, self._stored.max_bytes), document=document)

    def _patch(self, request: Request) -> int:
        kind = _media_type(request)
        if kind not in (MERGE_PATCH, JSON_PATCH):
            why = "The Content-Type of a patch is application/merge-patch+json or application/json-patch+json."
            return refuse(request, operator_problems.WRONG_MEDIA_TYPE, why, [ACCEPT_PATCH])
        return self._write(request, patching(kind, _content(request), self._stored.max_bytes))

    def _delete(self, request: Request) -> int:
        return self._write(request, deletion, is_deletion=True)

    def _restore(self, request: Request, version: str) -> int:
        if request.has_content:
            return refuse(request, problems.UNEXPECTED_CONTENT, _NO_CONTENT)

        def restore(view: View) -> bytes | Unchanged:
            found = _find(self._store.store.kept, version)
            return replacement(view.read(found), self._stored.max_bytes)(view)

        return self._write(request, restore)

    def _write(
        self,
        request: Any,
        edit: Callable[[View], bytes | Unchanged | None],
        *,
        document: bytes | None = None,
        is_deletion: bool = False,
    ) -> int:
        """Edits the stored document, or sets a document aside.

        :param document: the document, if the request sends a whole one.
        """
        if self._stored.feed.decision is State.ENDED:
            why = "The feed has ended: no more versions will come."
            return refuse(request, operator_problems.FEED_ENDED, why, self._shown())
        if _field(request, b"Content-Encoding", b"identity").strip().lower() != b"identity":
            why = "The content of a request has no content coding."
            return refuse(request, operator_problems.WRONG_MEDIA_TYPE, why, [(b"Accept-Encoding", b"identity")])
        conditions = Conditions.of(request.fields.if_match, _field(request, b"If-None-Match") or None)
        if conditions is None:
            why = "If-Match or If-None-Match is no list of entity tags."
            return refuse(request, operator_problems.MALFORMED_CONDITION, why)
        given, at = conditions, _field(request, PUBLISH_AT)
        if request.requestHeaders.hasHeader(PUBLISH_AT) and document is None:
            # To pass over it would publish now what is not to be seen yet.
            why = "Only a document that is sent by PUT can be set aside (Livefeed-Publish-At)."
            return refuse(request, operator_problems.MALFORMED_TIME, why)

        def checked(view: View) -> bytes | Unchanged | None:
            given.check(view)
            return edit(view)

        is_strict = wants_strictness(_field(request, b"Prefer"))
        judged = strictly(checked, self._stored.desk.checker()) if is_strict else checked
        durable: Deferred[None] = Deferred()
        request.keeps_content = durable

        async def respond() -> _Result:
            try:
                if document is not None and request.requestHeaders.hasHeader(PUBLISH_AT):
                    wish = SetAside(at.decode("utf-8", "replace"), given, caller_of(request), self._stored.max_bytes)
                    report = await set_aside(self._stored, document, wish)
                    return _Result(202, report, tuple(self._shown()))
                outcome = await self._store.edit(judged)
            finally:
                durable.callback(None)
            if is_deletion:
                return _Result(204, None, tuple(self._shown()))
            result = self._written(outcome, await self._pull())
            return replace(result, fields=(*result.fields, APPLIED)) if is_strict else result

        return self._respond(request, respond())

    async def _pull(self) -> PullOutcome:
        """Has the source pulled, and gives the outcome. The document is durable, so nothing here is a failure."""
        pulling = self._stored.pull_soon()
        try:
            return await pulling.addTimeout(LIVE_S, self._clock)
        except TimeoutError:
            return PullOutcome(is_shown=False, why=f"no pull has ended within {LIVE_S:g} s")

    def _written(self, outcome: Outcome, pulled: PullOutcome) -> _Result:
        """Gives the answer to a write that is durable."""
        assert outcome.after is not None
        is_new = outcome.before is None or outcome.before.data is None
        snapshot = self._stored.feed.snapshot
        status = 202 if not pulled.is_shown else 201 if is_new else 200
        report = {
            "feed": self._stored.feed.name,
            "version": outcome.after.version,
            "write": outcome.after.number,
            "changed": outcome.after is not outcome.before,
            "live": pulled.is_shown,
            "why": pulled.why or None,
            "rule": None if pulled.violation is None else pulled.violation.rule,
            "pointer": None if pulled.violation is None else pulled.violation.pointer,
            "shown": None if snapshot is None else snapshot.version,
            "sequence": None if snapshot is None else str(snapshot.sequence),
        }
        return _Result(status, report, (*_etag(outcome.after), *self._shown()))

    def _shown(self) -> list[tuple[bytes, bytes]]:
        """Gives the fields about the version that watchers are shown."""
        feed = self._stored.feed
        fields = [(b"Livefeed-State", feed.state.value.encode())]
        if feed.snapshot is not None:
            fields += [
                (b"Livefeed-Version", feed.snapshot.version.encode()),
                (b"Livefeed-Sequence", str(feed.snapshot.sequence).encode()),
            ]
        return fields

    # Answers

    def _respond(
        self, request: Request, work: Coroutine[Any, Any, _Result | None], ended: list[bool] | None = None
    ) -> int:
        """Answers with the result of some work, unless the client has left by then. The work goes on in any case."""
        Deferred.fromCoroutine(self._answer(request, work, watch_end(request) if ended is None else ended))
        return NOT_DONE_YET

    async def _answer(self, request: Request, work: Coroutine[Any, Any, _Result | None], ended: list[bool]) -> None:
        fields: list[tuple[bytes, bytes]] = []
        more: dict[str, str] = {}
        try:
            result = await work
        except RuleRefusedError as error:
            kind, why, fields = error.kind, str(error), [*self._shown(), APPLIED, *_etag(self._store.newest)]
            more = {"rule": error.violation.rule, "pointer": error.violation.pointer}
        except EditRefusedError as error:
            kind, why = error.kind, str(error)
            fields = [*self._shown(), *_etag(self._store.newest)]
        except (ClosedStoreError, BusyStoreError) as error:
            kind, why, fields = operator_problems.STORE_NOT_OPEN, str(error), [retry_after(RETRY_S)]
        except StoreError as error:
            kind = operator_problems.STORE_FULL if error.is_full else operator_problems.STORE_FAILED
            why = str(error)
        except Exception:
            _log.failure("a request to the store of the feed {feed} broke", feed=self._stored.feed.name)
            kind, why = problems.INTERNAL_ERROR, "The request broke. The log has the reason."
        else:
            if result is None or ended:
                return
            if result.report is None:
                answer(request, result.status, [NO_STORE, *result.fields], None)
            else:
                json_answer(request, result.status, result.report, result.fields)
            return
        if not ended:
            refuse(request, kind, why, fields, more)


def _find(kept: tuple[Kept, ...], version: str) -> Kept:
    """Gives the newest of the last writes that a version or its beginning names.

    :raises EditRefusedError: if there is none, or if the beginning names several versions.
    """
    found = [each for each in kept if len(version) >= MIN_PREFIX and each.version.startswith(version)]
    if not found:
        why = "The version is not among those that the store keeps; /feeds/NAME/versions lists them."
        raise EditRefusedError(operator_problems.UNKNOWN_VERSION, why)
    if len({each.version for each in found}) > 1:
        raise EditRefusedError(operator_problems.AMBIGUOUS_VERSION, "Several versions begin like this.")
    return found[-1]


def _described(write: Kept) -> dict[str, Any]:
    return {
        "write": write.number,
        "version": write.version or None,
        "deleted": not write.version,
        "bytes": write.bytes,
        "at": timestamp(write.at),
    }


def _etag(write: StoredWrite | None) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"ETag", b'"%b"' % write.version.encode()),) if write is not None and write.version else ()


def _content(request: Request) -> bytes:
    assert request.content is not None
    data: bytes = request.content.read()
    return data


def _field(request: Request, name: bytes, default: bytes = b"") -> bytes:
    return b", ".join(request.requestHeaders.getRawHeaders(name, [default]))


def _media_type(request: Request) -> bytes:
    return _field(request, b"Content-Type").partition(b";")[0].strip().lower()
