"""A part of the bench, and the values that it receives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.peers.server import Setting
    from tests.bench.results import Found


@dataclass(frozen=True)
class Plan:
    """How much a run measures.

    :ivar rounds: of each part but those of subscribers.
    :ivar seconds: of each measurement of requests.
    :ivar fan_out_rounds: of subscribers.
    :ivar fan_out_seconds: the versions that count in each of them.
    :ivar subscribers: the numbers of subscribers.
    :ivar waiting: the numbers of long polls at a time.
    :ivar words: a row of requests is measured if its title has one of these in it.
    :ivar is_quick: whether only the rows of ``--quick`` are measured.
    """

    rounds: int
    seconds: float
    fan_out_rounds: int
    fan_out_seconds: int
    subscribers: tuple[int, ...]
    waiting: tuple[int, ...]
    words: tuple[str, ...] = ("",)
    is_quick: bool = False

    def has(self, title: str) -> bool:
        """Gives whether a row is to be measured."""
        return any(word in title for word in self.words)


@dataclass(frozen=True)
class Bench:
    """One run of the bench.

    :ivar names: the servers that are installed, in the order of their turns.
    :ivar found: the figures so far, to which each part adds its own.
    """

    setting: Setting
    names: tuple[str, ...]
    plan: Plan
    found: Found


@dataclass(frozen=True)
class Part:
    """A part of the bench.

    :ivar name: for ``--only``.
    :ivar measure: measures the rows of the part.
    :ivar is_quick: whether it belongs to ``--quick``.
    """

    name: str
    measure: Callable[[Bench], None]
    is_quick: bool = False
