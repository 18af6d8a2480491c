"""The source of the demonstration: a document of each second, computed from the time of day."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs

from livefeed.exceptions import ConfigurationError
from livefeed.sources.demo.election import Election
from livefeed.sources.demo.small import SmallElection

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult


class Night(Protocol):
    """An election night."""

    def document(self, second: int) -> bytes:
        """Gives the document of a second, counted from 1970."""


KINDS: dict[str, Callable[[int], Night]] = {"election": Election, "small": SmallElection}
"""The election nights, which are made with a seed, by their names in the URL."""


@dataclass(slots=True)
class DemoSource:
    """An election night that repeats.

    The document is a function of the kind, the seed and the second, so that all processes serve the same document.

    :ivar wall: gives the time of day, in seconds since 1970.
    :ivar seed: another seed is another election.
    :ivar kind: a key of :data:`KINDS`.
    """

    # required parameters
    wall: Callable[[], float] = time.time
    seed: int = 1
    kind: str = "election"

    # internal state
    _night: Night = field(init=False)

    def __post_init__(self) -> None:
        self._night = KINDS[self.kind](self.seed)

    @classmethod
    def from_url(cls, parts: SplitResult) -> DemoSource:
        """Makes the source of ``demo:``, ``demo:?seed=N`` or ``demo:?kind=KIND``, or with both parameters.

        :raises ConfigurationError: if the URL contains anything else.
        """
        options = parse_qs(parts.query, keep_blank_values=True)
        seed, kind = options.pop("seed", ["1"])[-1], options.pop("kind", ["election"])[-1]
        if options or parts.netloc or parts.path or parts.fragment or not (seed.isascii() and seed.isdigit()):
            raise ConfigurationError("demo: takes nothing but ?seed=N, a whole number, and ?kind=KIND", "source")
        if kind not in KINDS:
            raise ConfigurationError(f"demo: has no kind of that name; there are {', '.join(KINDS)}", "source")
        return cls(seed=int(seed[:18]), kind=kind)

    def __str__(self) -> str:
        return "demo:"

    def watch(self, changed: Callable[[], None]) -> None:
        """Source API."""

    async def fetch(self) -> bytes:
        """Source API."""
        return self.document(int(self.wall()))

    def close(self) -> None:
        """Source API."""

    def document(self, second: int) -> bytes:
        """Gives the document of a second, counted from 1970."""
        return self._night.document(second)
