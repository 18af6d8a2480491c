"""The metrics, in the text format of Prometheus. Each request computes them anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from livefeed.feed.feed import State
from livefeed.web.answers import answer, refuse
from livefeed.web.cors import Origins
from livefeed.web.resources import METHODS, Node

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.core import Metric

    from livefeed.delivery.published_feed import PublishedFeed
    from livefeed.intake.puller import Puller
    from livefeed.process.memory import Collector as GarbageCollector
    from livefeed.tls.options import Validity
    from livefeed.transport.pool import Pool
    from livefeed.web.request import Request
    from livefeed.web.site import Site

PREFIX = "livefeed_"

_NO_ORIGIN = Origins(frozenset())


class MeasuredFeed(Protocol):
    """A feed, as far as metrics need it."""

    @property
    def puller(self) -> Puller:
        """Keeps the feed up to date, and counts its pulls."""

    @property
    def published(self) -> PublishedFeed:
        """The feed, and all ways to follow it."""


@dataclass(frozen=True, slots=True)
class _Figure:
    """One metric with a value for each feed.

    :ivar name: without the prefix of all names; that of a counter ends with ``_total``.
    :ivar text: the description, with the unit.
    :ivar value: gives the value; ``None`` before there is one, and then nothing is exported.
    """

    name: str
    text: str
    value: Callable[[Puller, PublishedFeed], float | None]

    def family(self) -> GaugeMetricFamily | CounterMetricFamily:
        """Gives the empty metric, to which the values of all feeds are added."""
        kind = CounterMetricFamily if self.name.endswith("_total") else GaugeMetricFamily
        return kind(PREFIX + self.name, self.text, labels=["feed"])


_FIGURES = (
    _Figure(
        "confirmed_timestamp_seconds",
        "Time of the last good pull; missing before the first.",
        lambda _, published: published.feed.confirmed_at if published.feed.snapshot else None,
    ),
    _Figure(
        "age_seconds",
        "Seconds since the last good pull; missing before the first, since 0 would look fresh.",
        lambda _, published: published.feed.age_s() if published.feed.snapshot else None,
    ),
    _Figure(
        "document_bytes",
        "Size of the newest version; 0 before the first.",
        lambda _, published: len(published.feed.snapshot.data) if published.feed.snapshot else 0,
    ),
    _Figure(
        "versions_total",
        "Number of versions since the start.",
        # Not the number of the sequence: a version of an earlier process has a greater one than the next versions.
        lambda _, published: published.feed.versions,
    ),
    _Figure("good_pulls_total", "Number of pulls that gave the document.", lambda puller, _: puller.good),
    _Figure(
        "failed_pulls_total",
        "Number of pulls that failed, or gave a document that was refused.",
        lambda puller, _: puller.failed,
    ),
    _Figure(
        "codings_made_total",
        "Number of times that a version was compressed, counted for each coding.",
        lambda _, published: published.feed.codings_made,
    ),
    _Figure(
        "patches_made_total",
        "Number of patches of the whole document that were made.",
        lambda _, published: published.feed.history.made,
    ),
    _Figure(
        "messages_made_total",
        "Number of messages of livefeed.delta.v1 about the whole document that were made.",
        lambda _, published: published.delivery.messages.made,
    ),
    _Figure(
        "dropped_subscribers_total",
        "Number of subscribers of the whole document that were disconnected after an error with their message.",
        lambda _, published: published.feed.dropped,
    ),
    _Figure(
        "parts",
        "Number of parts of the document that are kept up to date.",
        lambda _, published: sum(1 for _ in published.parts),
    ),
    _Figure(
        "max_subscribers",
        "Largest number of subscribers; 0 for no limit.",
        lambda _, published: published.max_subscribers,
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class Figures(Collector):
    """All metrics of a process.

    :ivar feeds: the feeds; read again at each request.
    :ivar site: counts the answers.
    :ivar pool: the connections of the fast transport; ``None`` with Twisted's transport.
    :ivar garbage: runs the garbage collector; ``None`` if Python does.
    :ivar certificates: the certificates in use; read again at each request.
    """

    feeds: Iterable[MeasuredFeed]
    site: Site
    pool: Pool | None
    garbage: GarbageCollector | None = None
    certificates: Iterable[Validity] = ()

    def collect(self) -> Iterator[Metric]:
        """Collector API."""
        for figure in _FIGURES:
            family = figure.family()
            for feed in self.feeds:
                value = figure.value(feed.puller, feed.published)
                if value is not None:
                    family.add_metric([feed.published.feed.name], value)
            yield family
        yield from (self._states(), self._subscribers(), self._answers())
        if certificates := [*self.certificates]:
            family = GaugeMetricFamily(
                PREFIX + "certificate_not_after_timestamp_seconds",
                "Time at which a certificate expires.",
                labels=["file"],
            )
            for validity in certificates:
                family.add_metric([str(validity.file)], validity.not_after)
            yield family
        if self.pool is not None:
            yield GaugeMetricFamily(PREFIX + "connections", "Number of open connections.", len(self.pool.connections))
            yield GaugeMetricFamily(
                PREFIX + "max_connections", "Largest number of open connections.", self.pool.capacity
            )
            yield CounterMetricFamily(
                PREFIX + "connections_accepted_total",
                "Number of accepted connections since the start.",
                self.pool.accepted,
            )
            yield CounterMetricFamily(
                PREFIX + "connections_refused_total",
                "Number of connections that were refused since there were too many.",
                self.pool.refused,
            )

        if self.garbage is not None:
            yield from self._pauses(self.garbage)

    def _pauses(self, garbage: GarbageCollector) -> Iterator[Metric]:
        name = PREFIX + "full_collection"
        yield CounterMetricFamily(
            name + "s_total", "Number of full collections of the garbage collector.", garbage.full
        )
        yield CounterMetricFamily(
            name + "_seconds_total",
            "Total seconds of these collections, during which nothing else was done.",
            garbage.paused_s,
        )
        yield GaugeMetricFamily(
            name + "_longest_seconds", "Seconds of the longest of these collections since the start.", garbage.longest_s
        )

    def _states(self) -> Metric:
        family = GaugeMetricFamily(
            PREFIX + "state", "1 for the current state of the feed, 0 for the others.", labels=["feed", "state"]
        )
        for measured in self.feeds:
            feed = measured.published.feed
            for state in State:
                family.add_metric([feed.name, state.value], feed.state is state)
        return family

    def _subscribers(self) -> Metric:
        family = GaugeMetricFamily(
            PREFIX + "subscribers", "Number of subscribers of a feed and its parts.", labels=["feed", "by"]
        )
        for measured in self.feeds:
            published = measured.published
            total = sum(delivery.followers() for delivery in published)
            streams = sum(len(delivery.streams.open) for delivery in published)
            waiting = sum(delivery.polls.count() for delivery in published)
            by = {"websocket": total - streams - waiting, "events": streams, "waiting": waiting}
            for transport, count in by.items():
                family.add_metric([published.feed.name, transport], count)
        return family

    def _answers(self) -> Metric:
        family = CounterMetricFamily(
            PREFIX + "answers_total", "Number of requests that were answered.", labels=["status", "scheme", "coding"]
        )
        for label, count in self.site.counts().items():
            family.add_metric([str(part) for part in label], count)
        return family


class MetricsResource(Node):
    """``/metrics``.

    :param figures: the metrics of livefeed, to which those of the process are added.
    """

    def __init__(self, figures: Figures) -> None:
        super().__init__(_NO_ORIGIN)
        self._registry = CollectorRegistry()
        self._registry.register(figures)
        ProcessCollector(registry=self._registry)

    def render(self, request: Request) -> int:
        """IResource API."""
        if request.method == b"OPTIONS":
            return answer(request, 204, [(b"Allow", METHODS)], None)
        if request.method not in (b"GET", b"HEAD"):
            return refuse(request, 405, "Figures are only read.", [(b"Allow", METHODS)])
        fields = [(b"Content-Type", CONTENT_TYPE_PLAIN_1_0_0.encode()), (b"Cache-Control", b"no-store")]
        return answer(request, 200, fields, generate_latest(self._registry))


def metrics_root(figures: Figures) -> Node:
    """Gives the root of the resources on the endpoint of ``--metrics``."""
    root = Node(_NO_ORIGIN)
    root.putChild(b"metrics", MetricsResource(figures))
    return root
