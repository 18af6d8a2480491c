"""The requests, made once: a request of the hot path is bytes that are there already."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from livefeed import __version__
from livefeed.load.handshake import fields_for
from livefeed.load.kinds import WEBSOCKETS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from livefeed.load.plan import Plan

USER_AGENT = f"livefeed-bench/{__version__}"

_NUMBER = "\0"
"""The place of the number in the fields of a browser. No field can have this character."""

BROWSER = {
    "Connection": "keep-alive",
    "sec-ch-ua": '"Chromium";v="156", "Not-A.Brand";v="24"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Linux"',
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 "
    f"Safari/537.36 {_NUMBER}",
    "Accept": "*/*",
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
    "Referer": f"https://www.example.org/results?{_NUMBER}",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9",
    "Cookie": f"session={_NUMBER}",
}
"""The fields of a browser. The number is another one in each request, as no two browsers send the same head."""

_OWN_CONNECTION = frozenset({Kind.WAIT, Kind.EVENTS, *WEBSOCKETS})
"""The kinds that keep their connection in any case."""


@dataclass(slots=True, eq=False)
class Requests:
    """The requests of a process.

    :param plan: its task.
    :param first_number: the first number of a browser.
    """

    # required parameters
    plan: Plan
    first_number: int

    # internal state
    _made: dict[tuple[Kind, bytes | None], bytes] = field(default_factory=dict)
    _numbers: Iterator[int] = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = count(self.first_number)

    def of(self, kind: Kind, tag: bytes | None = None) -> bytes:
        """Gives the request of a kind.

        :param tag: the entity tag that the watcher has; ``None`` for none.
        """
        request = self._made.get((kind, tag))
        if request is None:
            # The tags of earlier versions are not needed any more.
            self._made = {key: each for key, each in self._made.items() if key[1] is None or key[1] == tag}
            request = self._made[kind, tag] = self._head(kind, tag)
        if kind is Kind.BROWSER:
            return request.replace(_NUMBER.encode(), b"%d" % next(self._numbers))
        return request

    def _head(self, kind: Kind, tag: bytes | None) -> bytes:
        fields = {"Host": self.plan.target.authority, **self._fields(kind)}
        if tag is not None:
            fields["If-None-Match"] = tag.decode("latin-1")
        if not self.plan.is_kept and kind not in _OWN_CONNECTION:
            fields["Connection"] = "close"
        lines = "".join(f"{name}: {value}\r\n" for name, value in _merged(fields, self.plan.fields).items())
        return f"GET {self.plan.target.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")

    def _fields(self, kind: Kind) -> dict[str, str]:
        if kind is Kind.BROWSER:
            return BROWSER
        fields = {"User-Agent": USER_AGENT}
        if kind in WEBSOCKETS:
            return {**fields, **fields_for(kind)}
        if kind is Kind.EVENTS:
            return {**fields, "Accept": "text/event-stream"}
        if kind is Kind.WAIT:
            return {**fields, "Prefer": f"wait={self.plan.wait_s}"}
        return fields


def _merged(fields: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    """Gives fields with others, which replace those of the same name."""
    replaced = {name.lower() for name in others}
    return {**{name: value for name, value in fields.items() if name.lower() not in replaced}, **others}
