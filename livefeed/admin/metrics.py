"""The metrics: the samples of this process, and the resource that answers with all samples.

Each request computes them anew.
"""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, get_args

from OpenSSL import SSL

from livefeed import __version__
from livefeed.admin.reports import NO_STORE, Reading
from livefeed.admin.samples import Labels, Sample
from livefeed.auth.grants import DenialReason
from livefeed.feed.state import State
from livefeed.feed.tally import DropReason, RefusalReason
from livefeed.web.answers import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from livefeed.admin.exposition import Exposition
    from livefeed.delivery.published_feed import PublishedFeed
    from livefeed.feed.feed import Feed
    from livefeed.intake.puller import Puller
    from livefeed.process.line_writer import LineWriter
    from livefeed.process.loop_lag import LoopLag
    from livefeed.process.memory import Collector as GarbageCollector
    from livefeed.tls.options import Validity
    from livefeed.transport.pool import Pool
    from livefeed.web.request import Request
    from livefeed.web.site import Site


class ServedFeed(Protocol):
    """A feed that clients follow."""

    @property
    def published(self) -> PublishedFeed:
        """The feed, and all ways to follow it."""


class PulledFeed(ServedFeed, Protocol):
    """A feed that this process pulls."""

    @property
    def puller(self) -> Puller:
        """Keeps the feed up to date, and counts its pulls."""


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """All samples of one process.

    :ivar served: the feeds that clients follow here; read again at each request.
    :ivar pulled: the feeds that this process pulls; empty in a worker.
    :ivar site: counts the answers.
    :ivar pool: the connections of the fast transport; ``None`` with Twisted's transport.
    :ivar garbage: runs the garbage collector; ``None`` if Python does.
    :ivar lag: measures the lag of the reactor's loop; ``None`` if nothing does.
    :ivar address_refusals: gives the number of connections that were refused for their address, by reason.
    :ivar certificates: the certificates in use; read again at each request.
    :ivar tickets_shared: tells whether all TLS contexts share the key of their session tickets; gives ``None`` without
        TLS.
    :ivar started_at: when the process was started, in seconds since 1970.
    :ivar lines: writes the access log; ``None`` if there is none.
    :ivar certificate_refusals: gives the reasons why changed files of certificates cannot be used.
    """

    served: Iterable[ServedFeed]
    pulled: Iterable[PulledFeed]
    site: Site
    pool: Pool | None
    garbage: GarbageCollector | None = None
    lag: LoopLag | None = None
    address_refusals: Callable[[], Mapping[str, int]] = dict
    certificates: Iterable[Validity] = ()
    tickets_shared: Callable[[], bool | None] = lambda: None
    started_at: float = 0.0
    lines: LineWriter | None = None
    certificate_refusals: Callable[[], Sequence[str]] = tuple

    def samples(self) -> list[Sample]:
        """Gives all samples, as of now."""
        return [
            *self._of_process(),
            *(sample for each in self.served for sample in _of_served(each.published)),
            *(sample for each in self.pulled for sample in _of_puller(each.published.feed, each.puller)),
        ]

    def _of_process(self) -> Iterator[Sample]:
        yield Sample("build_info", _BUILD, 1.0)
        yield Sample("start_time_seconds", (), self.started_at)
        for (status, scheme, coding), count in self.site.counts().items():
            yield Sample("answers_total", (("status", str(status)), ("scheme", scheme), ("coding", coding)), count)
        for validity in self.certificates:
            labels = (("file", str(validity.file)),)
            yield Sample("certificate_not_after_timestamp_seconds", labels, validity.not_after)
        yield Sample("certificates_refused", (), len(self.certificate_refusals()))
        if (is_shared := self.tickets_shared()) is not None:
            yield Sample("session_tickets_shared", (), is_shared)
        if self.pool is not None:
            yield Sample("connections", (), self.pool.count)
            yield Sample("max_connections", (), self.pool.capacity)
            yield Sample("connections_accepted_total", (), self.pool.accepted)
            yield Sample("connections_refused_total", (), self.pool.refused)
            yield Sample("sent_bytes_total", (), self.pool.traffic.sent)
            yield Sample("received_bytes_total", (), self.pool.traffic.received)
            yield Sample("handshakes_total", (), self.pool.handshakes)
            yield Sample("failed_handshakes_total", (), self.pool.failed_handshakes)
        if self.lines is not None:
            yield Sample("access_log_dropped_lines_total", (), self.lines.dropped)
        for reason, count in self.address_refusals().items():
            yield Sample("address_refusals_total", (("reason", reason),), count)
        if self.lag is not None:
            yield Sample("loop_lag_measurements_total", (), self.lag.measured)
            yield Sample("loop_lag_seconds_total", (), self.lag.late_s)
            yield Sample("loop_lag_longest_seconds", (), self.lag.latest_s)
        if self.garbage is not None:
            yield Sample("full_collections_total", (), self.garbage.full)
            yield Sample("full_collection_seconds_total", (), self.garbage.paused_s)
            yield Sample("full_collection_longest_seconds", (), self.garbage.longest_s)


def _openssl_version() -> str:
    """Gives the number of the OpenSSL that serves TLS, without its date."""
    words = SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode("ascii", "replace").split(" ")
    return words[1] if len(words) > 1 else words[0]


_BUILD: Labels = (
    ("version", __version__),
    ("python", platform.python_version()),
    ("openssl", _openssl_version()),
)


def _of_served(published: PublishedFeed) -> Iterator[Sample]:
    """Gives the samples of a feed that clients follow here."""
    feed = published.feed
    labels: Labels = (("feed", feed.name),)
    snapshot = feed.snapshot
    for state in State:
        yield Sample("state", (*labels, ("state", state.value)), feed.state is state)
    if snapshot is not None:
        yield Sample("confirmed_timestamp_seconds", labels, feed.confirmed_at)
        yield Sample("age_seconds", labels, feed.age_s())
    yield Sample("document_bytes", labels, 0 if snapshot is None else len(snapshot.data))
    # Not the number of the sequence: a version of an earlier process has a greater one than the next versions.
    yield Sample("versions_total", labels, feed.versions)
    yield Sample("codings_made_total", labels, feed.codings_made)
    yield Sample("hashes_made_total", labels, feed.hashes_made)
    yield Sample("patches_made_total", labels, feed.history.made)
    made = published.delivery.messages.made + published.delivery.item_messages.made
    yield Sample("messages_made_total", labels, made)
    yield from _of_watchers(feed, labels)
    yield Sample("parts", labels, sum(1 for _ in published.parts))
    yield Sample("max_subscribers", labels, published.max_subscribers)
    if published.guard is not None:
        for denied in get_args(DenialReason):
            yield Sample("denied_total", (*labels, ("why", denied)), published.feed.tally.denied[denied])
    for transport, count in published.watchers().items():
        yield Sample("subscribers", (*labels, ("by", transport)), count)


def _of_watchers(feed: Feed, labels: Labels) -> Iterator[Sample]:
    """Gives the samples about the subscribers of a feed."""
    times, tally = feed.fanout.times, feed.tally
    yield Sample("pushes_total", labels, times.ended)
    yield Sample("push_seconds_total", labels, times.spread_s)
    yield Sample("push_longest_seconds", labels, times.longest_s)
    yield Sample("push_work_seconds_total", labels, times.work_s)
    yield Sample("deliveries_total", labels, tally.delivered)
    yield Sample("skipped_versions_total", labels, feed.fanout.skipped)
    # From the start, so that an increase from nothing to one can be seen.
    yield Sample("dropped_subscribers_total", (*labels, ("reason", "error")), feed.dropped)
    for dropped in get_args(DropReason):
        yield Sample("dropped_subscribers_total", (*labels, ("reason", dropped)), tally.dropped[dropped])
    for refused in get_args(RefusalReason):
        yield Sample("refusals_total", (*labels, ("reason", refused)), tally.refused[refused])


def _of_puller(feed: Feed, puller: Puller) -> Iterator[Sample]:
    """Gives the samples of a feed that this process pulls."""
    labels: Labels = (("feed", feed.name),)
    yield Sample("good_pulls_total", labels, puller.good)
    yield Sample("failed_pulls_total", labels, puller.failed)
    yield Sample("source_failing_seconds", labels, feed.failing_s())
    times = puller.times
    yield Sample("not_due_pulls_total", labels, times.not_due)
    yield Sample("pull_seconds_total", labels, times.pulls_s)
    yield Sample("pull_longest_seconds", labels, times.longest_s)
    yield Sample("ticks_total", labels, times.ticks)
    yield Sample("tick_lateness_seconds_total", labels, times.late_s)
    yield Sample("tick_lateness_longest_seconds", labels, times.latest_s)
    desk, waiting = puller.desk, puller.desk.waiting
    yield Sample("waiting_seconds", labels, 0 if waiting is None else waiting.since.age_s(desk.now()))
    yield Sample("overlay_entries", labels, len(desk.overlay.edits))
    yield Sample("overlay_entries_unfit", labels, len(desk.overlay.alarms))
    # From the start, so that an increase from nothing to one can be seen.
    for spec in desk.rules.specs:
        of_rule: Labels = (*labels, ("rule", spec.name), ("action", spec.action))
        yield Sample("rule_violations_total", of_rule, desk.violations[spec.name, spec.action])


def of_workers(reports: Iterable[Mapping[str, Any]]) -> Iterator[Sample]:
    """Gives the samples about worker processes, from the reports that ``/status`` has of them.

    Workers of earlier generations, which end, are only counted.
    """
    reports = [*reports]
    newest = max((report["generation"] for report in reports), default=0)
    states: Counter[str] = Counter()
    for report in reports:
        states[str(report["state"])] += 1
        if report["generation"] != newest:
            continue
        labels: Labels = (("index", str(report["index"])),)
        yield Sample("worker_restarts_total", labels, report["restarts"])
        if report["canary_s"] is not None:
            yield Sample("canary_seconds", labels, report["canary_s"])
    for state, count in states.items():
        yield Sample("workers", (("state", state),), count)


class MetricsResource(Reading):
    """``/metrics``.

    :param samples: gives the samples of all processes, to which those of the system about this process are added.
    """

    def __init__(self, samples: Callable[[], Iterable[Sample]]) -> None:
        super().__init__()
        self._samples = samples
        self._exposition: Exposition | None = None

    def read(self, request: Request) -> int:
        """Reading API."""
        from livefeed.admin.exposition import CONTENT_TYPE, Exposition  # noqa: PLC0415 - not every process is asked

        if self._exposition is None:
            self._exposition = Exposition(self._samples)
        fields = [(b"Content-Type", CONTENT_TYPE), NO_STORE]
        return answer(request, 200, fields, self._exposition.text())
