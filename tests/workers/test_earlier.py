"""Workers of earlier generations: with links and processes in memory."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.workers.earlier import END_S, LONGEST_S, UNHEARD_S, EarlierWorker, EarlierWorkers
from livefeed.workers.locks import RunningWorker
from livefeed.workers.messages import PROTOCOL, Hello, Message
from livefeed.workers.supervisor import HEARTBEAT_S, LATE_S

if TYPE_CHECKING:
    from collections.abc import Mapping

BEAT: dict[str, Any] = {"samples": [], "connections": 2, "capacity": 9, "watchers": {"feed": {"events": 1}}}


class FakeLink:
    def __init__(self, pid: int) -> None:
        self.pid, self.receiver, self.is_closed = pid, None, False
        self.sent: list[str] = []

    def send(self, message: Message) -> None:
        self.sent.append(message.type)

    def close(self) -> None:
        self.is_closed = True


class EarlierTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.alive = {7, 8, 9}
        self.signals: list[tuple[int, int]] = []
        self.messages: list[Message] = []
        self.fed: list[object] = []
        self.heard, self.forgotten = 0, list[int]()
        self.earlier = EarlierWorkers(self.clock, self, self)
        self.logged: Any = self.enterContext(capturedLogs())

    # The parent

    def hold(self, pid: int) -> bool:
        return pid in self.alive

    def kill(self, pid: int, number: signal.Signals) -> None:
        self.signals.append((pid, int(number)))

    def welcome_earlier(self, worker: EarlierWorker, hello: Hello) -> None:
        assert worker.link is not None
        worker.link.send(Message("welcome"))
        self.fed.append(worker.link)

    def take_message(self, worker: EarlierWorker, message: Message) -> None:
        self.messages.append(message)

    def part_from(self, link: object) -> None:
        if link in self.fed:
            self.fed.remove(link)

    def note_heard(self) -> None:
        self.heard += 1

    def forget(self, worker: EarlierWorker) -> None:
        self.forgotten.append(worker.place)

    # Helpers

    def expect(self, pid: int, places: Mapping[str, int] | None = None) -> EarlierWorker:
        worker = self.earlier.expect(RunningWorker(3, pid - 7, pid), places)
        assert worker is not None
        return worker

    def hello(self, pid: int, *, is_draining: bool = False) -> Any:
        link: Any = FakeLink(pid)
        hello = Hello(PROTOCOL, "1", pid, pid - 7, generation=3, is_draining=is_draining)
        self.assertTrue(self.earlier.greet(link, hello))
        return link

    def run_for(self, seconds: float, *beating: Any) -> None:
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self.clock.advance(0.5)
            for link in beating:
                link.receiver.receive(link, Message("heartbeat", BEAT))

    def lines(self) -> list[str]:
        return [formatEvent(event) for event in self.logged]


class LinkTests(EarlierTestCase):
    def test_sent_away(self) -> None:
        """A worker that accepts is told to drain, and one that drains is not told again."""
        self.expect(7)
        self.expect(8)
        self.assertEqual(self.hello(7).sent, ["welcome", "drain"])
        self.assertEqual(self.hello(8, is_draining=True).sent, ["welcome"])
        self.assertEqual(self.heard, 2)
        self.assertIn("worker 0 of generation 3 runs (process 7), and is sent away", self.lines())

    def test_unknown_process(self) -> None:
        """It is none of these workers, whatever it says."""
        self.expect(7)
        link: Any = FakeLink(9)
        self.assertFalse(self.earlier.greet(link, Hello(PROTOCOL, "1", 7, 0, generation=3)))
        self.assertEqual(link.sent, [])

    def test_process_that_has_ended(self) -> None:
        """It is not waited for; one that runs is watched once."""
        self.assertIsNone(self.earlier.expect(RunningWorker(3, 0, 99)))
        self.expect(7)
        self.assertIsNone(self.earlier.expect(RunningWorker(3, 0, 7)))
        self.assertEqual(len([*self.earlier]), 1)

    def test_second_link(self) -> None:
        """It takes the place of the first one, whose late end changes nothing."""
        self.expect(7)
        first = self.hello(7)
        second = self.hello(7, is_draining=True)
        self.assertEqual((first.is_closed, self.fed, self.heard), (True, [second], 1))
        first.receiver.lost(first)
        self.assertEqual(self.fed, [second])
        self.assertIsNotNone(self.earlier.of_link(second))
        second.receiver.lost(second)
        self.assertEqual((self.fed, self.earlier.of_link(second)), ([], None))

    def test_report(self) -> None:
        """The figures are those of the last heartbeat."""
        self.expect(8)
        self.expect(7)
        link = self.hello(7)
        self.run_for(1.0, link)
        first, second = self.earlier.report()
        self.assertEqual((first["index"], first["generation"], first["pid"], first["state"]), (0, 3, 7, "draining"))
        self.assertEqual((first["connections"], first["watchers"]), (2, {"feed": {"events": 1}}))
        self.assertEqual((first["age_s"], first["heartbeat_age_s"], second["heartbeat_age_s"]), (1.0, 0.0, None))
        self.assertEqual([each.type for each in self.messages], ["heartbeat"] * 2)

    def test_places_in_the_figures(self) -> None:
        """Each has a number of its own; those of ended ones are used again, so that the numbers stay few."""
        first, second = self.expect(7), self.expect(8)
        self.assertEqual((first.place, second.place), (-1, -2))
        self.assertTrue(self.earlier.ended(7))
        self.assertEqual((self.expect(9).place, self.forgotten), (-1, [-1]))

    def test_untold_places(self) -> None:
        """The places of limited feeds are known once all workers have told, or nobody has to."""
        self.expect(7, {"feed": 3})
        self.assertFalse(self.earlier.untold())
        self.expect(8)
        self.assertTrue(self.earlier.untold())
        self.hello(8)
        self.assertFalse(self.earlier.untold())


class EndTests(EarlierTestCase):
    def test_ended(self) -> None:
        """The link is closed, nothing is fed any more, and no timer is left over."""
        self.expect(7)
        link = self.hello(7)
        self.assertTrue(self.earlier.ended(7))
        self.assertEqual((link.is_closed, self.fed, self.forgotten, self.heard), (True, [], [-1], 1))
        self.assertFalse(self.earlier.ended(7))
        self.assertEqual((self.clock.getDelayedCalls(), self.earlier.report()), ([], []))

    def test_ended_before_its_hello(self) -> None:
        """It is not waited for any more."""
        self.expect(7)
        self.earlier.ended(7)
        self.assertEqual((self.heard, self.earlier.unheard()), (1, []))

    def test_never_heard_of(self) -> None:
        """It is killed, once."""
        self.expect(7)
        self.run_for(UNHEARD_S - 1.0)
        self.assertEqual(self.signals, [])
        self.run_for(3.0)
        self.assertEqual(self.signals, [(7, signal.SIGKILL)])
        self.assertIn("worker 0 of generation 3 (process 7) is killed: it does not answer", self.lines())

    def test_hanging(self) -> None:
        """It is killed when its heartbeat is late, also without a link."""
        self.expect(7)
        self.expect(8)
        self.expect(9)
        beating, silent, lost = self.hello(7), self.hello(8), self.hello(9)
        lost.receiver.lost(lost)
        self.run_for(HEARTBEAT_S + LATE_S + 0.5, beating)
        self.assertEqual(self.signals, [(8, signal.SIGKILL), (9, signal.SIGKILL)])
        self.assertFalse(silent.is_closed)

    def test_slow_end(self) -> None:
        """A worker without connections is not killed because its process takes some seconds to end."""
        self.expect(7)
        link = self.hello(7)
        last = BEAT | {"connections": 0, "drain": {"phase": "stopped"}}
        link.receiver.receive(link, Message("heartbeat", last))
        link.receiver.lost(link)
        self.run_for(END_S)
        self.assertEqual(self.signals, [])
        self.run_for(1.0)
        self.assertEqual(self.signals, [(7, signal.SIGKILL)])

    def test_pause_of_this_process(self) -> None:
        """While it did not run, it read no heartbeats either."""
        self.expect(7)
        link = self.hello(7)
        self.clock.advance(60.0)
        self.assertEqual(self.signals, [])
        self.run_for(1.0, link)
        self.assertEqual(self.signals, [])

    def test_drain_without_end(self) -> None:
        """It is killed although it beats."""
        self.expect(7)
        link = self.hello(7)
        for _ in range(int(LONGEST_S / 2.0) + 1):
            self.clock.advance(1.0)
            self.clock.advance(1.0)
            link.receiver.receive(link, Message("heartbeat", BEAT))
        self.assertEqual(self.signals, [(7, signal.SIGKILL)])
        self.assertTrue(any("it has not ended in time" in line for line in self.lines()))

    def test_sweep_that_breaks(self) -> None:
        """The next one follows."""
        self.expect(7)
        self.patch(EarlierWorker, "shift", lambda *_: 1 / 0)
        self.clock.advance(0.5)
        self.patch(EarlierWorker, "shift", lambda *_: None)
        self.run_for(UNHEARD_S + 1.0)
        self.assertEqual(self.signals, [(7, signal.SIGKILL)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class StopTests(EarlierTestCase):
    def test_stop(self) -> None:
        """All are told to hurry, and the stop waits for their end."""
        self.expect(7)
        link = self.hello(7)
        stopped = self.earlier.stop()
        self.assertEqual(self.signals, [(7, signal.SIGTERM)])
        self.run_for(5.0, link)
        self.assertNoResult(stopped)
        self.earlier.ended(7)
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_to_stop(self) -> None:
        """There is nothing to wait for."""
        self.successResultOf(self.earlier.stop())

    def test_no_end(self) -> None:
        """Workers that do not end are killed after some seconds; at once if there is a hurry."""
        self.expect(7)
        link = self.hello(7)
        self.earlier.hurry()  # before the stop, it means nothing yet
        self.earlier.stop()
        self.run_for(11.0, link)
        self.assertEqual(self.signals, [(7, signal.SIGTERM), (7, signal.SIGKILL)])
        self.expect(8)
        self.earlier.hurry()
        self.assertEqual(self.signals[2:], [(8, signal.SIGKILL)])

    def test_left(self) -> None:
        """The next parent looks after them."""
        self.expect(7)
        link = self.hello(7)
        self.earlier.leave()
        self.assertEqual((link.is_closed, [*self.earlier], self.clock.getDelayedCalls()), (True, [], []))
