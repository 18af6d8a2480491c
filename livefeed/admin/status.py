"""``/status``: the state of the process and of its feeds, with the reasons, for people and for ``livefeed ctl``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from livefeed import __version__
from livefeed.admin.desk import DeskFeed
from livefeed.admin.reports import Reading, json_answer
from livefeed.admin.samples import total_of
from livefeed.document.timestamps import timestamp
from livefeed.intake.desk_report import alarms_of, decision_of, failing_of, waiting_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from livefeed.admin.health import Health, ServedFeed
    from livefeed.admin.samples import Sample
    from livefeed.feed.feed import Feed
    from livefeed.tls.options import Validity
    from livefeed.web.request import Request

WAYS = ("websocket", "events", "waiting")
"""The ways to follow a feed, as the metrics name them."""


class SourcedFeed(DeskFeed, Protocol):
    """A feed that this process pulls."""

    @property
    def source_name(self) -> str:
        """The name of the source, without credentials."""


@dataclass(slots=True)
class Status:
    """Makes the report.

    :ivar instance: the name of the instance.
    :ivar feeds: the feeds; read again at each request.
    :ivar health: decides whether livefeed is ready.
    :ivar samples: gives the samples of all processes.
    :ivar certificates: the certificates in use; read again at each request.
    :ivar started_at: when the process was started, in seconds since 1970.
    :ivar uptime_s: gives the seconds since then, by the monotonic clock.
    :ivar workers: gives a report of each worker: an object with ``index``, ``state``, ``restarts``, ``canary_s`` and
        any other members that JSON has.
    :ivar is_draining: tells whether a drain has begun.
    :ivar desks: the feeds that this process pulls, by their names; read again at each request.
    :ivar certificate_refusals: gives the reasons why changed files of certificates cannot be used.
    :ivar listen: the descriptions of the endpoints for watchers, as the settings have them.
    """

    instance: str
    feeds: Iterable[ServedFeed]
    health: Health
    samples: Callable[[], Sequence[Sample]]
    started_at: float
    uptime_s: Callable[[], float]
    certificates: Iterable[Validity] = ()
    workers: Callable[[], list[Any]] = field(default=list)
    is_draining: Callable[[], bool] = field(default=lambda: False)
    desks: Mapping[str, SourcedFeed] = field(default_factory=dict)
    certificate_refusals: Callable[[], Sequence[str]] = tuple
    listen: Sequence[str] = ()

    def report(self) -> dict[str, Any]:
        """Gives the report, as of now."""
        samples = self.samples()
        reasons = self.health.why_not_ready()
        return {
            "livefeed": __version__,
            "instance": self.instance,
            "pid": os.getpid(),
            "started_at": timestamp(self.started_at),
            "uptime_s": round(self.uptime_s(), 1),
            "ready": not reasons,
            "not_ready_because": reasons,
            "draining": self.is_draining(),
            "listen": list(self.listen),
            "feeds": [self._feed(each, samples) for each in self.feeds],
            "connections": {
                "open": _whole(total_of(samples, "connections")),
                "most": _whole(total_of(samples, "max_connections")),
                "refused": _whole(total_of(samples, "connections_refused_total")),
            },
            "answers": _whole(total_of(samples, "answers_total")) or 0,
            "workers": self.workers(),
            "certificates": [
                {"file": str(each.file), "expires_at": timestamp(each.not_after)} for each in self.certificates
            ],
            "certificate_refusals": list(self.certificate_refusals()),
        }

    def _desk(self, name: str) -> dict[str, Any]:
        found = self.desks.get(name)
        if found is None:
            return {"source": None, "decision": None, "waiting": None, "alarms": [], "overlay": None}
        desk = found.desk
        overlay = desk.overlay
        return {
            "source": found.source_name,
            "decision": decision_of(desk.decision),
            "waiting": waiting_of(desk),
            "alarms": alarms_of(desk),
            "overlay": {
                "entries": len(overlay.edits),
                "unfit": [{"pointer": pointer, "why": why} for pointer, why in overlay.alarms.items()],
            },
        }

    def _feed(self, served: ServedFeed, samples: Sequence[Sample]) -> dict[str, Any]:
        feed = served.published.feed
        snapshot = feed.snapshot
        return {
            "name": feed.name,
            "state": feed.state.value,
            "reason": feed.reason or None,
            "failing": failing_of(feed),
            "version": None if snapshot is None else snapshot.version,
            "sequence": None if snapshot is None else str(snapshot.sequence),
            "bytes": None if snapshot is None else len(snapshot.data),
            "age_s": None if snapshot is None else round(feed.age_s(), 3),
            "confirmed_at": None if snapshot is None else timestamp(feed.confirmed_at),
            "interval_s": feed.interval_s,
            "versions": feed.versions,
            **self._desk(feed.name),
            "last_error": _last_error(feed),
            "watchers": {way: _whole(total_of(samples, "subscribers", feed=feed.name, by=way)) or 0 for way in WAYS},
            "max_subscribers": served.published.max_subscribers or None,
        }


def _last_error(feed: Feed) -> dict[str, Any] | None:
    """Gives the last error of the source, with the seconds since a pull was good again; ``None`` for none."""
    error = feed.last_error
    if error is None:
        return None
    recovered_at_s = error.recovered_at_s
    since_s = None if recovered_at_s is None else round(feed.clock.seconds() - recovered_at_s, 3)
    return {"why": error.why, "at": timestamp(error.at), "recovered_since_s": since_s}


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


class StatusResource(Reading):
    """``/status``.

    :param status: makes the report.
    """

    def __init__(self, status: Status) -> None:
        super().__init__()
        self._status = status

    def read(self, request: Request) -> int:
        """Reading API."""
        return json_answer(request, 200, self._status.report())
