"""Answers to the polls of a client, and their fields."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin

from livefeed.client.messages import MAX_MS, MAX_REASON_LENGTH, is_version, pointers_of, sequence_of
from livefeed.client.update import State, name_of, state_of
from livefeed.document.exact_json import DeltaError, parse
from livefeed.document.signature import Signed
from livefeed.document.splices import apply_splices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livefeed.client.items import Item

SPLICES = "livefeed-splices"
"""The instance manipulation (RFC 3229) of splices."""

_PAGES = ("text/html", "application/xhtml+xml")
_WHOLE = re.compile(r"[0-9]{1,12}\Z")
_PAGE = re.compile(r"/-/problems/[a-z-]{1,64}")
_MAX_TAG_LENGTH = 200
_STRING = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\]){,2400})"\Z')
"""A string (RFC 8941, 3.3.3). A character of a reason takes twelve characters at most, percent-encoded."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a poll, without content coding.

    :ivar status: its status.
    :ivar fields: its fields, by names in lower case.
    :ivar content: its content.
    """

    status: int
    fields: Mapping[str, str]
    content: bytes = b""

    @property
    def version(self) -> str | None:
        """The version that the server names; ``None`` if it names none."""
        version = self.fields.get("livefeed-version")
        return version if is_version(version) else None

    @property
    def sequence(self) -> str | None:
        """The order of the version."""
        return sequence_of(self.fields.get("livefeed-sequence"))

    @property
    def state(self) -> State:
        """The state."""
        return state_of(self.fields.get("livefeed-state"))

    @property
    def unknown_state(self) -> str:
        """The name of the state, if it is not known; otherwise ``""``."""
        return name_of(self.fields.get("livefeed-state"))

    @property
    def at(self) -> str | None:
        """The time of the last confirmation, by the server's clock."""
        return (self.fields.get("livefeed-at") or "")[:64] or None

    @property
    def age_ms(self) -> int | None:
        """Milliseconds since the last confirmation. A cache in between adds an age of its own."""
        age = self._whole("livefeed-age")
        return None if age is None else (age + (self._whole("age") or 0)) * 1000

    @property
    def next_ms(self) -> int | None:
        """Milliseconds until the next tick."""
        return self._whole("livefeed-next")

    @property
    def lifetime_ms(self) -> int | None:
        """Milliseconds for which the document may be shown without another answer; ``None`` for no limit."""
        lifetime = self._whole("livefeed-lifetime")
        return None if lifetime is None else max(0, lifetime - 1000 * (self._whole("age") or 0))

    @property
    def reason(self) -> str:
        """Why the document is in its state; ``""`` if the server does not say it."""
        found = _STRING.match(self.fields.get("livefeed-reason", "").strip())
        return "" if found is None else unquote(re.sub(r"\\(.)", r"\1", found[1]))[:MAX_REASON_LENGTH]

    @property
    def overlay(self) -> tuple[str, ...]:
        """Pointers to the values that an editor has put in the place of those of the source."""
        field = self.fields.get("livefeed-overlay", "").strip()
        if not field:
            return ()
        found = [_STRING.match(each.strip()) for each in field.split(",")]
        # A server percent-encodes commas and quotation marks in pointers.
        return pointers_of([None if each is None else unquote(each[1]) for each in found])

    @property
    def waiting_ms(self) -> int | None:
        """Milliseconds for which a newer document has been held back; ``None`` if none waits. A cache adds its age."""
        waiting = self._whole("livefeed-waiting")
        return None if waiting is None else (waiting + (self._whole("age") or 0)) * 1000

    @property
    def retry_after_s(self) -> float | None:
        """Seconds after which the server wants the next request."""
        return self._whole("retry-after")

    @property
    def signed(self) -> Signed | None:
        """The signed statement, which is not verified yet; ``None`` for none."""
        return Signed.of_fields(self.fields)

    @property
    def tag(self) -> str | None:
        """The tag that the next request names."""
        if self.version is not None:
            return f'"{self.version}"'
        tag = self.fields.get("etag", "")
        return tag if tag and len(tag) <= _MAX_TAG_LENGTH else None

    @property
    def detail(self) -> str:
        """The reason of an error, as the server says it (RFC 9457); ``""`` without one."""
        return self._problem.get("detail", "")[:500]

    @property
    def page(self) -> str:
        """The path of the page of the server about an error (RFC 9457, 3.1.1); ``""`` without one."""
        path = self._problem.get("type", "")
        return path if _PAGE.fullmatch(path) else ""

    @property
    def _problem(self) -> dict[str, str]:
        """The texts in the problem; empty if the answer is none."""
        if "problem+json" not in self.fields.get("content-type", ""):
            return {}
        try:
            problem = json.loads(self.content)
        except (ValueError, RecursionError):
            return {}
        members = problem.items() if isinstance(problem, dict) else ()
        return {name: value for name, value in members if isinstance(value, str)}

    def why_no_document(self, url: str) -> str:
        """Gives the reason why the content cannot be a document, such as a page; ``""`` if it can.

        A content whose version livefeed names is one, and so is JSON of any server.

        :param url: the URL that was asked for.
        """
        if self.status != 200 or self.version is not None:  # noqa: PLR2004
            return ""
        try:
            parse(self.content)
        except (DeltaError, RecursionError):
            # Only now: some servers send JSON with the type of pages.
            kind = self.fields.get("content-type", "").partition(";")[0].strip().lower()
            what = "a page, not a document" if kind in _PAGES else "not a document in JSON"
            return f"{url} is {what}: name the feed, such as {urljoin(url, '/feed')}"
        return ""

    def document(self, item: Item, max_bytes: int) -> bytes | None:
        """Gives the document that the answer makes of the item; ``None`` if it does not fit the item.

        :param max_bytes: the largest document.
        """
        if self.status != 226:  # noqa: PLR2004
            return self.content
        base = self.fields.get("delta-base", "").removeprefix("W/").strip('"')[:32]
        if self.fields.get("im") != SPLICES or item.content is None or base != item.version or self.version is None:
            return None
        try:
            return apply_splices(item.content, json.loads(self.content), max_bytes)
        except (DeltaError, ValueError, RecursionError):
            return None

    def _whole(self, name: str) -> int | None:
        value = self.fields.get(name, "").strip()
        return min(int(value), MAX_MS) if _WHOLE.match(value) else None


def is_older(sequence: str | None, known: str | None) -> bool:
    """Tells whether a sequence is older than a known one of the same epoch, as an old answer of a cache has it."""
    if sequence is None or known is None:
        return False
    epoch, _, number = sequence.partition(".")
    known_epoch, _, known_number = known.partition(".")
    return epoch == known_epoch and int(number) < int(known_number)
