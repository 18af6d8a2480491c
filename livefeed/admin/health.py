"""Live and ready: two questions of supervisors and balancers, on the operator's port and optionally on the public one.

A livefeed that is not live is started again. A livefeed that is not ready gets no new clients.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from livefeed.admin.reports import Reading, json_answer
from livefeed.feed.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from livefeed.delivery.published_feed import PublishedFeed
    from livefeed.feed.feed import Feed
    from livefeed.web.request import Request


class ServedFeed(Protocol):
    """A feed that clients follow."""

    @property
    def published(self) -> PublishedFeed:
        """The feed, and all ways to follow it."""


@dataclass(slots=True)
class Health:
    """Decides whether livefeed is ready.

    :ivar feeds: the feeds; read again at each request.
    :ivar obstacles: each gives the reason why livefeed is not ready, or ``None``. Other parts add theirs: workers that
        have not served their canaries, and a drain that has begun.
    """

    feeds: Iterable[ServedFeed]
    obstacles: list[Callable[[], str | None]] = field(default_factory=list)

    def why_not_ready(self) -> list[str]:
        """Gives the reasons why livefeed is not ready; none if it is."""
        feeds = [each.published.feed for each in self.feeds]
        # A decision is no fault of the process. Of an ended feed, pulls do not matter any more.
        reasons = [
            f'feed "{feed.name}" is {_standing_of(feed)}: {feed.why_not_live()}'
            for feed in feeds
            if feed.freshness is not State.LIVE and feed.decision is not State.ENDED
        ]
        return reasons + [reason for obstacle in self.obstacles if (reason := obstacle()) is not None]


def _standing_of(feed: Feed) -> str:
    """Gives the state that follows from pulls, and the one that hides it if there is such a decision."""
    if feed.state is feed.freshness:
        return feed.state.value
    return f"{feed.state.value}, and would be {feed.freshness.value}"


class LiveResource(Reading):
    """``/-/live``: 200 while the reactor turns."""

    def read(self, request: Request) -> int:
        """Reading API."""
        return json_answer(request, 200, {"live": True})


class ReadyResource(Reading):
    """``/-/ready``: 200 if livefeed is ready, otherwise 503.

    :param health: decides.
    :param is_public: whether the reasons, which may name the addresses of sources, are left out.
    """

    def __init__(self, health: Health, *, is_public: bool = False) -> None:
        super().__init__()
        self._health = health
        self._is_public = is_public

    def read(self, request: Request) -> int:
        """Reading API."""
        reasons = self._health.why_not_ready()
        report: dict[str, Any] = {"ready": not reasons}
        if not self._is_public:
            report["reasons"] = reasons
        return json_answer(request, 503 if reasons else 200, report)
