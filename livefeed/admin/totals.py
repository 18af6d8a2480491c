"""The samples of all processes together: the parent's own, those of its workers, and the counts of ended ones.

Rule: a counter never decreases, in whatever order reports and ends arrive, and however often workers are replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from math import isfinite
from operator import add
from typing import TYPE_CHECKING, Any

from livefeed.admin.samples import FAMILIES, Labels, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAX_SERIES = 50_000
"""The number of different samples of one worker, and of all that have ended: 64 feeds have some 10,000. A worker that
invents labels would otherwise fill the memory of its parent."""

_Key = tuple[str, Labels]

_FOLDS: dict[str, Callable[[float, float], float]] = {"sum": add, "max": max, "min": min}


def sent(samples: Iterable[Sample]) -> list[Any]:
    """Gives samples as a worker sends them: lists and texts alone, without those that only count of the parent."""
    return [
        # A truth value would be `true`, which the receiver refuses as a number, with the whole message.
        [name, [list(label) for label in labels], float(value)]
        for name, labels, value in samples
        if FAMILIES[name].combine != "parent" and isfinite(value)  # JSON has no others
    ]


def received(samples: Iterable[Any]) -> list[Sample]:
    """Gives samples that a worker has sent. Those of unknown families, of another release, are left out."""
    return [
        Sample(str(name), tuple((str(label), str(text)) for label, text in labels), float(value))
        for name, labels, value in samples
        if name in FAMILIES and isfinite(value)
    ]


@dataclass(slots=True)
class _Worker:
    """The last values of one process."""

    incarnation: int
    values: dict[_Key, float] = field(default_factory=dict)


@dataclass(slots=True)
class Totals:
    """Keeps the last samples of each worker, and the counts of those that have ended.

    A worker is named by its index and its incarnation: a process that takes the place of another has the same index and
    a greater incarnation. Whatever arrives late from an ended process is ignored.
    """

    _base: dict[_Key, float] = field(default_factory=dict)  # counts of ended processes
    _workers: dict[int, _Worker] = field(default_factory=dict)
    _ended: dict[int, int] = field(default_factory=dict)  # the last incarnation that has ended, by index

    @classmethod
    def continuing(cls, counts: Iterable[Sample]) -> Totals:
        """Gives totals that continue those of an earlier parent; see :meth:`handover`."""
        totals = cls()
        totals.take_over(counts)
        return totals

    def take_over(self, counts: Iterable[Sample]) -> None:
        """Adds the counts of an earlier parent; see :meth:`handover`."""
        for sample in counts:
            self._add(sample)

    def report(self, index: int, incarnation: int, samples: Iterable[Any]) -> None:
        """Takes the samples of a worker, as :func:`sent` gives them.

        :param index: the place of the worker.
        :param incarnation: the number of the process in this place.
        :param samples: all samples of the process.
        """
        if incarnation <= self._ended.get(index, -1):
            return
        worker = self._workers.get(index)
        if worker is not None and worker.incarnation > incarnation:
            return
        if worker is not None and worker.incarnation < incarnation:
            self.end(index, worker.incarnation)
            worker = None
        if worker is None:
            worker = self._workers[index] = _Worker(incarnation)
        values = {(sample.name, sample.labels): sample.value for sample in islice(received(samples), MAX_SERIES)}
        for key, before in worker.values.items():
            if not FAMILIES[key[0]].is_counter:
                continue
            now = values.get(key)
            if now is None and len(values) < MAX_SERIES:
                now = values[key] = before
            if now is None:
                continue
            if now < before:
                # Such as those of a feed that was removed and added again.
                self._add_of_worker(key, before)
        worker.values = values

    def end(self, index: int, incarnation: int) -> None:
        """Takes note that a worker has ended. Its counts stay."""
        self._ended[index] = max(incarnation, self._ended.get(index, -1))
        worker = self._workers.get(index)
        if worker is None or worker.incarnation > incarnation:
            return
        del self._workers[index]
        for key, value in worker.values.items():
            self._add_of_worker(key, value)

    def forget_feed(self, name: str) -> None:
        """Forgets the counts of a feed that was removed, which would otherwise be kept for ever."""
        label = ("feed", name)
        for values in (self._base, *(worker.values for worker in self._workers.values())):
            for key in [key for key in values if label in key[1]]:
                del values[key]

    def handover(self, own: Iterable[Sample]) -> list[Sample]:
        """Gives the counts that the next parent continues when this one ends.

        Workers that go on are not in it: they report to the next parent.

        :param own: the samples of this process.
        """
        totals = Totals(dict(self._base))
        for sample in own:
            totals._add(sample)
        return [Sample(*key, value) for key, value in totals._base.items()]

    def combined(self, own: Iterable[Sample]) -> list[Sample]:
        """Gives the samples of all processes together.

        :param own: the samples of this process.
        """
        result: dict[_Key, float] = {}
        for sample in own:
            _fold(result, sample)
        for sample in self._others():
            _fold(result, sample)
        return [Sample(*key, value) for key, value in result.items()]

    def of_workers(self, name: str) -> float:
        """Gives the sum of a family over all workers, with the counts of those that have ended."""
        every = (self._base, *(worker.values for worker in self._workers.values()))
        return sum(value for values in every for (of, _), value in values.items() if of == name)

    def of_worker(self, index: int) -> list[Sample]:
        """Gives the last samples of one worker; none if there is no such worker."""
        worker = self._workers.get(index)
        return [] if worker is None else [Sample(*key, value) for key, value in worker.values.items()]

    def _others(self) -> Iterator[Sample]:
        for key, value in self._base.items():
            yield Sample(*key, value)
        for worker in self._workers.values():
            for key, value in worker.values.items():
                if FAMILIES[key[0]].combine != "parent":
                    yield Sample(*key, value)

    def _add_of_worker(self, key: _Key, value: float) -> None:
        # A worker repeats what it was told of the parent's counters, such as the number of versions.
        if FAMILIES[key[0]].combine != "parent":
            self._add(Sample(*key, value))

    def _add(self, sample: Sample) -> None:
        if sample.name in FAMILIES and FAMILIES[sample.name].is_counter:
            key = (sample.name, sample.labels)
            if key in self._base or len(self._base) < MAX_SERIES:
                self._base[key] = self._base.get(key, 0.0) + sample.value


def _fold(result: dict[_Key, float], sample: Sample) -> None:
    key = (sample.name, sample.labels)
    if key not in result:
        result[key] = sample.value
        return
    # Counters of the parent alone are added to those of earlier parents.
    combine = FAMILIES[sample.name].combine
    result[key] = _FOLDS["sum" if combine == "parent" else combine](result[key], sample.value)
