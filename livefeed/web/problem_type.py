"""The type of a problem (RFC 9457): a kind of refusal, with everything that its page says.

Rule: this file is pure, and knows no single type. ``problems`` and ``operator_problems`` have the tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = "/-/problems/"
"""The path of the list of all types. The page of each type is below it, on the public port and on the operator's."""


Place = Literal[
    "any request",
    "a feed",
    "a WebSocket",
    "a protected feed",
    "the operator's port",
    "a command",
    "a published document",
]
"""The kinds of requests that have problems of their own."""

_SECTIONS = ("What it means", "What the client should do", "What the operator should do")


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A type of problems. The texts are whole sentences in plain text, with code between backquotes.

    :ivar name: the last segment of the path of its page.
    :ivar status: the status code of all answers of this type.
    :ivar where: the kind of requests that are answered so.
    :ivar title: a few words that are the same in all answers of this type (RFC 9457, 3.1.3).
    :ivar meaning: what has happened.
    :ivar client: what the client should do.
    :ivar operator: what the operator should do.
    """

    name: str
    status: int
    where: Place
    title: str
    meaning: str
    client: str
    operator: str

    @property
    def path(self) -> str:
        """The path of its page: the member ``type`` of its answers (RFC 9457, 3.1.1)."""
        return FOLDER + self.name

    def sections(self) -> list[tuple[str, str]]:
        """Gives the sections of its page in their order, each with its title and its text."""
        return [*zip(_SECTIONS, (self.meaning, self.client, self.operator), strict=True)]

    def as_text(self) -> str:
        """Gives its page as plain text."""
        head = f"{self.title}\nStatus {self.status}, type {self.path}, of {self.where}"
        return "\n\n".join([head, *(f"{title}\n{text}" for title, text in self.sections())]) + "\n"


def types_in(module: Mapping[str, object]) -> tuple[ProblemType, ...]:
    """Gives the types that a module defines, in the order of their definitions.

    :param module: the names of the module, with their values.
    """
    return tuple(each for each in module.values() if isinstance(each, ProblemType))
