"""Answers of the operator's port: JSON that no cache keeps, and that no page of another origin may read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from livefeed.web.answers import answer, refuse
from livefeed.web.cors import Origins
from livefeed.web.problems import METHOD_NOT_ALLOWED
from livefeed.web.resources import METHODS, Node

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.python.failure import Failure

    from livefeed.web.request import Request

NO_ORIGIN = Origins(frozenset())
"""The origins whose pages may read answers: none."""

NO_STORE = (b"Cache-Control", b"no-store")


class Reading(Node):
    """A resource that is only read."""

    def __init__(self) -> None:
        super().__init__(NO_ORIGIN)

    def read(self, request: Request) -> int:
        """Answers ``GET`` and ``HEAD``."""
        raise NotImplementedError

    def render(self, request: Request) -> int:
        """IResource API."""
        if request.method == b"OPTIONS":
            return answer(request, 204, [(b"Allow", METHODS)], None)
        if request.method not in (b"GET", b"HEAD"):
            return refuse(request, METHOD_NOT_ALLOWED, "This is only read.", [(b"Allow", METHODS)])
        return self.read(request)


def json_answer(request: Request, status: int, report: Any, fields: Iterable[tuple[bytes, bytes]] = ()) -> int:
    """Answers with a report in JSON, with one line for each part of it, so that it can be read by people as well.

    :param report: converted by msgspec: dataclasses are objects.
    :param fields: more fields of the answer.
    """
    body = msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
    return answer(request, status, [(b"Content-Type", b"application/json"), NO_STORE, *fields], body)


def watch_end(request: Request) -> list[bool]:
    """Gives a list that is no longer empty once the client has left: its answer cannot be written any more."""
    ended: list[bool] = []

    def end(_: Failure) -> None:
        ended.append(True)

    request.notifyFinish().addErrback(end)
    return ended
