"""The watchers of one process: arrival, pace, limits of time, reports."""

from __future__ import annotations

import json
import time
from threading import Event
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Frame, Opcode

from livefeed.client.items import version_of
from livefeed.load import run as module
from livefeed.load.kinds import Kind
from livefeed.load.poller import Poller, Waiter
from livefeed.load.run import Run, interleaved
from livefeed.load.subscriber import EventWatcher, WebSocketWatcher
from tests.helpers.load_targets import DOCUMENT, Answering, answer, plan_for, ran, sending, switched, until_gone
from tests.helpers.threaded_server import ThreadedServer

if TYPE_CHECKING:
    from livefeed.load.figures import Report

OTHER = b'{"n": 2}'


def reference_message(content: bytes) -> bytes:
    """Gives the message with which a watcher learns of a document and its time."""
    message = {
        "type": "document",
        "path": "/feed",
        "version": version_of(content),
        "at": "2025-11-30T01:00:00.250Z",
        "text": content.decode(),
    }
    return Frame(Opcode.TEXT, json.dumps(message).encode()).serialize(mask=False)


class RunTests(SynchronousTestCase):
    def run_of(self, **named: object) -> tuple[Run, list[Report]]:
        """Gives a run that does not run yet."""
        reports: list[Report] = []
        run = Run(plan_for(1, **named), reports.append)  # type: ignore[arg-type]
        self.addCleanup(run.close)
        return run, reports

    def test_kinds(self) -> None:
        """Each kind has its own watcher, and all arrive during the whole ramp."""
        run, _ = self.run_of(watchers={Kind.POLL: 4, Kind.WAIT: 2, Kind.EVENTS: 1, Kind.WS: 1})
        self.assertEqual([watcher.number for watcher in run.watchers], list(range(8)))
        names = {type(watcher) for watcher in run.watchers}
        self.assertEqual(names, {EventWatcher, Poller, Waiter, WebSocketWatcher})
        self.assertEqual(interleaved({Kind.POLL: 3, Kind.WS: 1}), [Kind.POLL, Kind.POLL, Kind.WS, Kind.POLL])

    def test_ramp(self) -> None:
        """Watchers arrive one after the other."""
        began_ns = time.monotonic_ns()
        with Answering(lambda head, number: answer()) as server:
            done = ran(plan_for(server.port, {Kind.POLL: 5}, ramp_s=0.1, requests=5))
        for number, watcher in enumerate(done.run.watchers):
            # Later on a machine with other work, and never earlier.
            self.assertGreaterEqual(watcher.began_ns - began_ns, number * 20_000_000)

    def test_reports(self) -> None:
        """There is one at the beginning of the figures, one per second, and one at the end."""
        self.patch(module, "REPORT_S", 0.01)
        with Answering(lambda head, number: answer()) as server:
            done = ran(plan_for(server.port, requests=None, duration_s=0.1))
        phases = [report.phase for report in done.reports]
        self.assertEqual(phases, sorted(phases))
        self.assertEqual({*phases}, {"arriving", "measuring"})
        self.assertGreaterEqual(len(done.reports), 3)
        self.assertEqual([report.is_last for report in done.reports], [False] * (len(phases) - 1) + [True])
        self.assertTrue(0.05 < sum(report.seconds for report in done.reports) < 30)

    def test_begins_once(self) -> None:
        """A second command to begin changes nothing."""
        run, reports = self.run_of()
        run.begin()
        run.begin()
        self.assertEqual(len(reports), 1)

    def test_nothing_to_do(self) -> None:
        """A process that has no requests left ends."""
        with Answering(lambda head, number: answer()) as server:
            done = ran(plan_for(server.port, requests=0))
        self.assertEqual(done.measured.answers, 0)

    def test_stalled(self) -> None:
        """A run by a number of requests ends when nothing is answered any more."""
        self.patch(module, "REPORT_S", 0.01)
        self.patch(module, "STALL_S", 0.05)
        with Answering(lambda head, number: answer() if number == 0 else until_gone) as server:
            done = ran(plan_for(server.port, timeout_s=0.01))
        self.assertEqual(done.measured.answers, 0)
        self.assertIn("timed out", done.measured.errors)

    def test_open_loop_by_time(self) -> None:
        """Nothing falls due after the end."""
        with Answering(lambda head, number: answer()) as server:
            done = ran(plan_for(server.port, rate=1000.0, requests=None, duration_s=0.05))
        self.assertEqual(done.measured.answers + done.measured.unanswered, 50)

    def test_open_loop_without_pollers(self) -> None:
        """Watchers that are sent documents have no pace."""
        begun = Event()
        frames = [Frame(Opcode.TEXT, content).serialize(mask=False) for content in (DOCUMENT, OTHER)]
        reply = sending(switched(), frames[0], begun, frames[1])
        with Answering(lambda head, number: reply) as server:
            done = ran(plan_for(server.port, {Kind.WS: 1}, rate=5.0, requests=1), begun=begun)
        self.assertEqual(done.figures(Kind.WS).deliveries, 1)

    def test_reference(self) -> None:
        """One more watcher tells the times of versions, and which ones there are; it counts nowhere."""
        begun, told = Event(), Event()
        frames = [Frame(Opcode.TEXT, content).serialize(mask=False) for content in (DOCUMENT, OTHER)]

        def reply(head: bytes, number: int) -> object:
            if b"livefeed.delta.v2" in head:
                pieces: list[bytes | Event] = [switched("Sec-WebSocket-Protocol: livefeed.delta.v2"), begun]
                return sending(*pieces, reference_message(DOCUMENT), reference_message(OTHER), then=tell)
            return sending(switched(), frames[0], begun, told, frames[1])

        def tell(sock: object) -> None:
            told.set()
            until_gone(sock)  # type: ignore[arg-type]

        with Answering(reply) as server:
            plan = plan_for(
                server.port, {Kind.WS: 1}, has_reference=True, verifies=True, requests=None, duration_s=60.0
            )
            done = ran(plan, begun=begun, until=lambda figures: figures.deliveries and figures.verified)
        figures = done.figures(Kind.WS)
        self.assertEqual((figures.connects, figures.deliveries, figures.delay.count), (1, 1, 1))
        self.assertEqual(done.reports[-1].arrived, 1)
        self.assertGreaterEqual(figures.verified, 1)

    def test_time_limits(self) -> None:
        """The reference is given up, too, when its server says nothing."""
        self.patch(module, "REPORT_S", 0.01)
        with ThreadedServer(until_gone) as server:
            plan = plan_for(server.port, has_reference=True, timeout_s=0.02, requests=None, duration_s=0.1)
            done = ran(plan)
        reference = done.run._reference
        assert reference is not None
        self.assertEqual(reference.figures.errors, {"timed out": 1})
        self.assertEqual(done.figures().errors, {"timed out": 1})
