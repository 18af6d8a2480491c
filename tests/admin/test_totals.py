"""The samples of several processes together: sums that never decrease."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin import totals as totals_module
from livefeed.admin.samples import Sample
from livefeed.admin.totals import Totals, received, sent
from livefeed.workers.messages import Heartbeat, message_of

COUNTER = "answers_total"
LABELS = (("status", "200"),)


def counter(value: float) -> list[Sample]:
    return [Sample(COUNTER, LABELS, value)]


def value_of(samples: list[Sample], name: str = COUNTER) -> float | None:
    """Gives the value of the only sample of a family; ``None`` if there is none."""
    values = [sample.value for sample in samples if sample.name == name]
    assert len(values) <= 1, values
    return values[0] if values else None


class TotalsTests(SynchronousTestCase):
    """Workers that come and go."""

    def setUp(self) -> None:
        self.totals = Totals()

    def total(self, own: float = 0.0) -> float | None:
        return value_of(self.totals.combined(counter(own)))

    def test_sum(self) -> None:
        """The newest report of each worker counts, and what this process counts itself."""
        self.totals.report(0, 1, counter(1))
        self.totals.report(0, 1, counter(3))
        self.totals.report(1, 1, counter(10))
        self.assertEqual(self.total(own=100), 113)

    def test_ended(self) -> None:
        """The counts of a worker that has ended stay, and its successor adds to them."""
        self.totals.report(0, 1, counter(5))
        self.totals.end(0, 1)
        self.totals.end(0, 1)
        self.assertEqual(self.total(), 5)
        self.totals.report(0, 2, counter(1))
        self.assertEqual(self.total(), 6)

    def test_successor_ends_its_predecessor(self) -> None:
        """Nothing else may tell of the end; a report of the ended one that comes late is ignored."""
        self.totals.report(0, 1, counter(5))
        self.totals.report(0, 2, counter(1))
        self.totals.report(0, 1, counter(7))
        self.totals.end(0, 1)
        self.assertEqual(self.total(), 6)
        self.assertEqual(value_of(self.totals.of_worker(0)), 1)
        self.assertEqual(self.totals.of_worker(1), [])

    def test_ended_before_it_reported(self) -> None:
        """A report that comes after the end is ignored."""
        self.totals.end(0, 3)
        self.totals.report(0, 3, counter(5))
        self.assertEqual(self.total(), 0)

    def test_counter_that_begins_again(self) -> None:
        """A feed that is removed and added again counts from 0; one that is missing keeps its count."""
        self.totals.report(0, 1, counter(5))
        self.totals.report(0, 1, [])
        self.assertEqual(self.total(), 5)
        self.totals.report(0, 1, counter(2))
        self.assertEqual(self.total(), 7)

    def test_samples_are_bounded(self) -> None:
        """A worker that invents labels adds series up to a limit; those that are there go on, and so do its ends."""
        self.patch(totals_module, "MAX_SERIES", 3)

        def invented(*names: str) -> list[Sample]:
            return [Sample(COUNTER, (("feed", name),), 2.0) for name in names]

        self.totals.report(0, 1, invented("a", "b"))
        self.totals.report(0, 1, invented("c", "d", "e", "f"))
        self.assertEqual(len(self.totals.of_worker(0)), 3)
        for incarnation in range(2, 5):
            self.totals.report(0, incarnation, invented("c", f"x{incarnation}", f"y{incarnation}"))
        self.totals.end(0, 5)
        self.assertEqual(len(self.totals.combined([])), 3)
        self.totals.report(0, 6, [Sample(COUNTER, (), float("nan"))])
        self.assertEqual(self.totals.of_worker(0), [])
        self.assertEqual(sent([Sample(COUNTER, (), float("inf"))]), [])

    def test_values_that_are_no_counters(self) -> None:
        """They are added or compared, those of ended workers do not count, and some count only of this process."""
        for index, value in ((0, 2.0), (1, 3.0)):
            names = (
                "connections",
                "full_collection_longest_seconds",
                "certificate_not_after_timestamp_seconds",
                "age_seconds",
            )
            self.totals.report(index, 1, [Sample(name, (), value) for name in names])
        own = [Sample("age_seconds", (), 9.0), Sample("full_collection_longest_seconds", (), 1.0)]

        def found() -> list[float | None]:
            samples = self.totals.combined(own)
            return [
                value_of(samples, name)
                for name in (
                    "connections",
                    "full_collection_longest_seconds",
                    "certificate_not_after_timestamp_seconds",
                    "age_seconds",
                )
            ]

        self.assertEqual(found(), [5, 3, 2, 9])
        self.totals.end(1, 1)
        self.assertEqual(found(), [2, 2, 2, 9])

    def test_counts_of_the_parent(self) -> None:
        """A worker repeats some of them, which are not added."""
        versions = [Sample("versions_total", (("feed", "a"),), 4.0)]
        self.totals.report(0, 1, versions)
        self.totals.report(0, 2, versions)
        self.assertEqual(value_of(self.totals.combined(versions), "versions_total"), 4)

    def test_of_workers(self) -> None:
        """The sum of one family, with all labels, and with the counts of workers that have ended."""
        self.totals.report(0, 1, counter(5))
        self.totals.report(1, 1, [*counter(7), Sample("subscribers", (("feed", "a"), ("by", "events")), 3.0)])
        self.totals.report(2, 1, [Sample("subscribers", (("feed", "b"), ("by", "websocket")), 4.0)])
        self.totals.end(0, 1)
        self.totals.end(2, 1)
        self.assertEqual((self.totals.of_workers(COUNTER), self.totals.of_workers("subscribers")), (12.0, 3.0))

    def test_forgotten_feed(self) -> None:
        """The counts of a removed feed are gone, and those of others are not."""
        for feed in ("a", "b"):
            self.totals.report(0, 1, [Sample("messages_made_total", (("feed", feed),), 1.0)])
        self.totals.end(0, 1)
        self.totals.report(0, 2, [Sample("messages_made_total", (("feed", "a"),), 1.0)])
        self.totals.forget_feed("a")
        self.assertEqual(self.totals.combined([]), [Sample("messages_made_total", (("feed", "b"),), 1.0)])

    def test_handover(self) -> None:
        """The next parent continues the sums, with the workers that go on."""
        self.totals.report(0, 1, counter(5))
        self.totals.end(0, 1)
        self.totals.report(1, 1, counter(7))
        own = [*counter(100), Sample("versions_total", (), 3.0), Sample("connections", (), 9.0)]
        before = value_of(self.totals.combined(own))
        following = Totals.continuing(received(json.loads(json.dumps(self.totals.handover(own)))))
        following.report(1, 1, counter(7))
        after = following.combined([*counter(0), Sample("versions_total", (), 1.0)])
        self.assertEqual((before, value_of(after), value_of(after, "versions_total")), (112, 112, 4))
        self.assertIsNone(value_of(after, "connections"))

    def test_take_over(self) -> None:
        """The counts of an earlier parent are added to those that there are."""
        totals = Totals.continuing([Sample("versions_total", (("feed", "a"),), 5)])
        totals.take_over([Sample("versions_total", (("feed", "a"),), 2), Sample("age_seconds", (("feed", "a"),), 9)])
        own = [Sample("versions_total", (("feed", "a"),), 1)]
        self.assertEqual(totals.combined(own), [Sample("versions_total", (("feed", "a"),), 8)])

    def test_truth_values_are_sent_as_numbers(self) -> None:
        """A link that checks the types of its messages takes a figure that is true or false."""
        shared = [Sample("session_tickets_shared", (), is_shared) for is_shared in (True, False)]
        texts = json.loads(json.dumps(sent(shared)))
        self.assertEqual([type(value) for _, _, value in texts], [float, float])
        self.assertEqual([value for _, _, value in texts], [1.0, 0.0])

    def test_sent_and_received(self) -> None:
        """Samples survive the way through JSON; unknown families and those of the parent are left out."""
        samples = [*counter(5), Sample("connections", (), 2.0)]
        message = json.loads(json.dumps(sent([*samples, Sample("age_seconds", (), 1.0)])))
        self.assertEqual(received([*message, ["of_a_later_release", [], 1.0]]), samples)

    def test_values_in_a_heartbeat(self) -> None:
        """The parent reads every kind of value: a truth value that it refused would end the link."""
        samples = [Sample("session_tickets_shared", (), True), Sample("connections", (), 2)]
        beat = message_of("heartbeat", Heartbeat(sent(samples), 0, 0, {})).read(Heartbeat)
        self.assertEqual(received(beat.samples), samples)
        self.assertEqual([type(value) for *_, value in sent(samples)], [float, float])


@st.composite
def events(draw: st.DrawFn) -> list[tuple[str, int, int, float]]:
    """Reports and ends of workers, in which each process counts up and incarnations may come late."""
    counts: dict[tuple[int, int], float] = {}
    happened = []
    for _ in range(draw(st.integers(0, 40))):
        index, incarnation = draw(st.integers(0, 2)), draw(st.integers(0, 3))
        if draw(st.booleans()):
            key = (index, incarnation)
            counts[key] = counts.get(key, 0.0) + draw(st.integers(0, 5))
            happened.append(("report", index, incarnation, counts[key]))
        else:
            happened.append(("end", index, incarnation, 0.0))
    return happened


class PropertyTests(SynchronousTestCase):
    """Whatever happens, in any order."""

    @given(events())
    @settings(max_examples=200, deadline=None)
    def test_counters_never_decrease(self, happened: list[tuple[str, int, int, float]]) -> None:
        """The sum after each event is at least that before it, and never more than all that was counted."""
        totals, before = Totals(), 0.0
        counted: dict[tuple[int, int], float] = {}
        for what, index, incarnation, value in happened:
            if what == "report":
                totals.report(index, incarnation, counter(value))
                counted[index, incarnation] = value
            else:
                totals.end(index, incarnation)
            now = value_of(totals.combined([])) or 0.0
            self.assertGreaterEqual(now, before)
            self.assertLessEqual(now, sum(counted.values()))
            before = now

    @given(events())
    @settings(max_examples=100, deadline=None)
    def test_handover_loses_nothing(self, happened: list[tuple[str, int, int, float]]) -> None:
        """The next parent has the same sum, once the workers that go on have reported to it."""
        totals = Totals()
        for what, index, incarnation, value in happened:
            if what == "report":
                totals.report(index, incarnation, counter(value))
            else:
                totals.end(index, incarnation)
        following = Totals.continuing(totals.handover([]))
        for index, worker in totals._workers.items():
            following.report(index, worker.incarnation, totals.of_worker(index))
        self.assertEqual(value_of(following.combined([])), value_of(totals.combined([])))
