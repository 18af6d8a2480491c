"""All samples in the text format of Prometheus. The only module that imports prometheus_client.

It is imported at the first request for the metrics: a process that nobody asks keeps 1 MB, and starts 10 ms earlier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from livefeed.admin.samples import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.core import Metric

    from livefeed.admin.samples import Sample

PREFIX = "livefeed_"

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0.encode()
"""The media type of the text."""


def families_of(samples: Iterable[Sample]) -> Iterator[Metric]:
    """Gives samples as metrics of Prometheus, in the order of the table of families."""
    by_name: dict[str, list[Sample]] = {}
    for sample in samples:
        by_name.setdefault(sample.name, []).append(sample)
    for name, family in FAMILIES.items():
        found = by_name.get(name)
        if found:
            kind = CounterMetricFamily if family.is_counter else GaugeMetricFamily
            metric = kind(PREFIX + name, family.text, labels=family.labels)
            for sample in found:
                metric.add_metric([text for _, text in sample.labels], sample.value)
            yield metric


@dataclass(frozen=True, slots=True, eq=False)
class _Source(Collector):
    """Gives the samples to prometheus_client."""

    samples: Callable[[], Iterable[Sample]]

    def collect(self) -> Iterator[Metric]:
        """Collector API."""
        return families_of(self.samples())


class Exposition:
    """The samples as text.

    :param samples: gives the samples of all processes, to which those of the system about this process are added.
    """

    def __init__(self, samples: Callable[[], Iterable[Sample]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Source(samples))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """Gives all samples as they are now."""
        return generate_latest(self._registry)
