"""The metrics, in the text format of Prometheus. The text is put together when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from prometheus_client.core import Metric

    from livefeed.delivery.published_feed import PublishedFeed
    from livefeed.intake.puller import Puller
    from livefeed.process.memory import Collector as GarbageCollector
    from livefeed.tls.options import Validity
    from livefeed.transport.pool import Pool
    from livefeed.web.request import Request
    from livefeed.web.site import Site

PREFIX = "livefeed_"

_NOBODY = Origins(frozenset())


@dataclass(frozen=True, slots=True)
class _Figure:
    """One figure of each feed.

    :ivar name: without what all names begin with; that of a counter ends with ``_total``.
    :ivar text: what it is, and in which unit.
    :ivar value: gives it; ``None`` if there is none yet, and then nothing is exported.
    """

    name: str
    text: str
    value: Callable[[Puller, PublishedFeed], float | None]

    def family(self) -> GaugeMetricFamily | CounterMetricFamily:
        """Gives what the values of all feeds are put into."""
        kind = CounterMetricFamily if self.name.endswith("_total") else GaugeMetricFamily
        return kind(PREFIX + self.name, self.text, labels=["feed"])


_FIGURES = (
    _Figure(
        "confirmed_timestamp_seconds",
        "When a pull last gave the document; missing before the first.",
        lambda _, served: served.feed.confirmed_at if served.feed.snapshot else None,
    ),
    _Figure(
        "age_seconds",
        "How long that is ago; missing before the first: 0 would be younger than any alarm.",
        lambda _, served: served.feed.age_s() if served.feed.snapshot else None,
    ),
    _Figure(
        "document_bytes",
        "The newest version, as it was pulled; 0 before the first.",
        lambda _, served: len(served.feed.snapshot.data) if served.feed.snapshot else 0,
    ),
    _Figure(
        "versions_total",
        "Versions since the start.",
        # Not the sequence's number: that of a version which an earlier process has left is greater than those to come.
        lambda _, served: served.feed.versions,
    ),
    _Figure("good_pulls_total", "Pulls that gave the document.", lambda poller, _: poller.good),
    _Figure(
        "failed_pulls_total",
        "Pulls that failed, or gave what may not be served.",
        lambda poller, _: poller.failed,
    ),
    _Figure(
        "codings_made_total",
        "Times that a version was compressed, in one coding each.",
        lambda _, served: served.feed.codings_made,
    ),
    _Figure(
        "patches_made_total",
        "Patches made of the whole document.",
        lambda _, served: served.feed.history.made,
    ),
    _Figure(
        "messages_made_total",
        "Messages of livefeed.delta.v1 made of the whole document.",
        lambda _, served: served.delivery.messages.made,
    ),
    _Figure(
        "dropped_subscribers_total",
        "Subscribers of the whole that were disconnected since what they were to be sent could not be made or written.",
        lambda _, served: served.feed.dropped,
    ),
    _Figure("parts", "Parts of the document that are looked after.", lambda _, served: sum(1 for _ in served.parts)),
    _Figure(
        "max_subscribers",
        "So many may follow at a time; 0 for no limit.",
        lambda _, served: served.max_subscribers,
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class Figures(Collector):
    """All figures of a process.

    :ivar feeds: what pulls each feed, and what is served of it.
    :ivar site: what counts the answers.
    :ivar pool: what holds the connections; ``None`` if Twisted does.
    :ivar garbage: what looks after the garbage collector; ``None`` if nothing does.
    :ivar certificates: those that are served with.
    """

    feeds: Sequence[tuple[Puller, PublishedFeed]]
    site: Site
    pool: Pool | None
    garbage: GarbageCollector | None = None
    certificates: Iterable[Validity] = ()

    def collect(self) -> Iterator[Metric]:
        """Collector API."""
        for figure in _FIGURES:
            family = figure.family()
            for poller, served in self.feeds:
                value = figure.value(poller, served)
                if value is not None:
                    family.add_metric([served.feed.name], value)
            yield family
        yield from (self._states(), self._subscribers(), self._answers())
        if certificates := [*self.certificates]:
            family = GaugeMetricFamily(
                PREFIX + "certificate_not_after_timestamp_seconds", "When a certificate expires.", labels=["file"]
            )
            for validity in certificates:
                family.add_metric([str(validity.file)], validity.not_after)
            yield family
        if self.pool is not None:
            yield GaugeMetricFamily(PREFIX + "connections", "Those that are open.", len(self.pool.connections))
            yield GaugeMetricFamily(PREFIX + "max_connections", "So many may be open at a time.", self.pool.capacity)
            yield CounterMetricFamily(
                PREFIX + "connections_accepted_total", "Connections since the start.", self.pool.accepted
            )
            yield CounterMetricFamily(
                PREFIX + "connections_refused_total",
                "Those that were told to come back, since there were too many.",
                self.pool.refused,
            )

        if self.garbage is not None:
            yield from self._pauses(self.garbage)

    def _pauses(self, garbage: GarbageCollector) -> Iterator[Metric]:
        name = PREFIX + "full_collection"
        yield CounterMetricFamily(name + "s_total", "Looks of the garbage collector at all objects.", garbage.full)
        yield CounterMetricFamily(
            name + "_seconds_total", "How long nothing else was done meanwhile, all together.", garbage.paused_s
        )
        yield GaugeMetricFamily(
            name + "_longest_seconds", "How long that took at most, since the start.", garbage.longest_s
        )

    def _states(self) -> Metric:
        family = GaugeMetricFamily(PREFIX + "state", "1 for the state that the feed is in.", labels=["feed", "state"])
        for _, served in self.feeds:
            for state in State:
                family.add_metric([served.feed.name, state.value], served.feed.state is state)
        return family

    def _subscribers(self) -> Metric:
        family = GaugeMetricFamily(
            PREFIX + "subscribers", "Those who follow a feed or a part of it.", labels=["feed", "by"]
        )
        for _, served in self.feeds:
            everybody = sum(delivery.followers() for delivery in served)
            streams = sum(len(delivery.streams.open) for delivery in served)
            waiting = sum(delivery.polls.count() for delivery in served)
            by = {"websocket": everybody - streams - waiting, "events": streams, "waiting": waiting}
            for way, count in by.items():
                family.add_metric([served.feed.name, way], count)
        return family

    def _answers(self) -> Metric:
        family = CounterMetricFamily(
            PREFIX + "answers_total", "Requests that were answered.", labels=["status", "scheme", "coding"]
        )
        for label, count in self.site.counts().items():
            family.add_metric([str(part) for part in label], count)
        return family


class MetricsResource(Node):
    """``/metrics``.

    :param figures: what it shows, besides what the process uses.
    """

    def __init__(self, figures: Figures) -> None:
        super().__init__(_NOBODY)
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
    """Gives what is served on the endpoint of ``--metrics``."""
    root = Node(_NOBODY)
    root.putChild(b"metrics", MetricsResource(figures))
    return root
