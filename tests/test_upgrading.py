"""The wiring of an upgrade: two parents in memory, of which one takes over from the other."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.config.settings import Settings
from livefeed.exceptions import CommandError, ConfigurationError, LinkError, StartError
from livefeed.process.instance import Instance
from livefeed.process.listener import Listener
from livefeed.process.program import Program
from livefeed.service import make_service
from livefeed.testing import publish
from livefeed.upgrading import Later, ParentEstate, ParentHoldings, SucceedingServices, write_pidfile
from livefeed.workers.messages import Decoder, Message
from livefeed.workers.succeeding import Succession
from livefeed.workers.succession import CommitFacts
from livefeed.workers.upgrade import Upgrade
from tests.helpers.links import MemoryLink
from tests.helpers.succession import inheritance_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.application.service import MultiService

    from livefeed.workers.channel import Inheritance

LOCAL = "tcp:0:interface=127.0.0.1"


def memory_link() -> Any:
    """Gives a channel in memory."""
    return MemoryLink()


class Reactor(MemoryReactorClock):
    """A reactor whose files are in memory, and that notes the ports that it adopts."""

    def callWhenRunning(self, callable: Any, *args: Any, **kwargs: Any) -> None:  # noqa: A002
        """IReactorCore API. Workers are not started in these tests."""


class UpgradingTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.program = Program(("python3", "twistd"), self.folder, {}, pidfile=self.folder / "twistd.pid")
        self.old = self.make()
        self.start(self.old)
        self.addCleanup(self.close, self.old)

    def make(self, inheritance: Inheritance | None = None, **options: Any) -> MultiService:
        given = {"listen": [LOCAL], "workers": "2", "runtime_dir": str(self.folder / "run")}
        reactor: Any = Reactor()
        return make_service(Settings.read(given | options, {}), reactor, None, self.program, inheritance)

    def start(self, services: MultiService) -> None:
        """Starts the parts that an upgrade touches, without workers."""
        for service in services:
            if isinstance(service, Instance | Listener):
                service.privilegedStartService()
        self.holdings(services).parent.has_begun = True

    def close(self, services: MultiService) -> None:
        for endpoint in self.holdings(services).parent.endpoints:
            endpoint.group.stopListening()
        self.holdings(services).operating.instance.directory.release()
        for service in self.holdings(services).feeds.feeds.values():
            service.feed.stop_watching()

    def holdings(self, services: MultiService) -> ParentHoldings:
        (upgrade,) = (each for each in services if isinstance(each, Upgrade))
        assert isinstance(upgrade.holdings, ParentHoldings)
        return upgrade.holdings

    def succeed(self, **options: Any) -> tuple[MultiService, ParentEstate]:
        """Makes the next parent, which follows the feeds of the old one."""
        inheritance, ours = inheritance_of(self.holdings(self.old).offer())
        self.addCleanup(ours.close)
        self.addCleanup(inheritance.sock.close)
        self.addCleanup(inheritance.close_rest)
        self.channel = ours
        services = self.make(inheritance, **options)
        self.addCleanup(self.close, services)
        (succession,) = (each for each in services if isinstance(each, Succession))
        assert isinstance(succession.estate, ParentEstate)
        self.link = memory_link()
        self.holdings(self.old).follow(self.link)
        self.settle(succession.estate)
        return services, succession.estate

    def settle(self, estate: ParentEstate) -> None:
        answers: Any = MemoryLink()
        while self.link.deliver(lambda message: estate.receive(answers, message)):
            pass

    def feed(self, services: MultiService) -> Any:
        return self.holdings(services).feeds.feeds["feed"].feed

    def let_go(self) -> Message:
        """Has the old parent let go, and gives the commit."""
        return self.successResultOf(Deferred.fromCoroutine(self.holdings(self.old).let_go(self.link)))


class OldParentTests(UpgradingTestCase):
    def test_obstacles(self) -> None:
        """A drain, a reload and a start come first."""
        holdings = self.holdings(self.old)
        self.assertEqual(holdings.obstacle(), "")
        self.patch(holdings.reloading, "_is_under_way", True)
        self.assertIn("a reload runs", holdings.obstacle())
        Deferred.fromCoroutine(holdings.drain.begin())
        self.assertIn("being drained", holdings.obstacle())

    def test_parent_that_starts(self) -> None:
        """It has nothing to offer yet."""
        holdings = self.holdings(self.old)
        holdings.parent.has_begun = False
        self.assertIn("has not started completely", holdings.obstacle())
        holdings.parent.has_begun = True
        holdings.operating.instance.directory.release()
        holdings.operating.instance.await_predecessor()
        self.assertIn("runtime directory", holdings.obstacle())

    def test_refused_commands(self) -> None:
        """Neither a reload nor a drain begins until the upgrade has failed."""
        holdings = self.holdings(self.old)
        holdings.begin()
        for text in (holdings.operating.commands.refusal, holdings.reloading.refusal):
            self.assertIn("an upgrade runs", text)
        with capturedLogs() as logs:
            holdings.reloading.hang_up()
        self.assertIn("SIGHUP has changed nothing", formatEvent(logs[0]) or "")
        holdings.take_back(None)
        self.assertEqual((holdings.operating.commands.refusal, holdings.reloading.refusal), ("", ""))

    def test_drain_before_the_commit(self) -> None:
        """It wins."""
        holdings = self.holdings(self.old)
        Deferred.fromCoroutine(holdings.drain.begin())
        error = self.failureResultOf(Deferred.fromCoroutine(holdings.let_go(MemoryLink())), CommandError)  # type: ignore[arg-type]
        self.assertIn("drained", error.getErrorMessage())

    def test_service_manager(self) -> None:
        """Without one, nothing follows another process, and there is nothing to tell."""
        holdings = self.holdings(self.old)
        self.assertEqual((holdings.can_be_followed(), holdings.environment()), (False, {}))

    def test_taken_back(self) -> None:
        """The lock, the file of the process id and the parent are as before."""
        self.succeed()
        self.let_go()
        holdings = self.holdings(self.old)
        self.assertTrue(holdings.parent.supervisor.has_resigned)
        lock = self.folder / "run" / "lock"
        lock.write_text("4711\n")
        holdings.take_back(self.link)
        self.assertEqual(int(lock.read_text().split()[0]), os.getpid())
        self.assertEqual((self.folder / "twistd.pid").read_text(), str(os.getpid()))
        self.assertFalse(holdings.parent.supervisor.has_resigned)
        holdings.take_back(None)

    def test_taken_back_on_a_full_disk(self) -> None:
        """The parent goes on although the lock cannot be written."""
        self.succeed()
        self.let_go()
        holdings = self.holdings(self.old)

        def fail(*_: object) -> int:
            raise OSError(28, "No space left on device")

        self.patch(os, "pwrite", fail)
        holdings.take_back(self.link)
        self.assertFalse(holdings.parent.supervisor.has_resigned)
        self.assertEqual(holdings.operating.commands.refusal, "")

    def test_handed_over(self) -> None:
        """Nothing is stopped at the end, not even by a second signal."""
        self.holdings(self.old).hand_over(4711)
        self.successResultOf(self.old.stopService())
        for endpoint in self.holdings(self.old).parent.endpoints:
            self.assertTrue(endpoint.group.sockets)


class NewParentTests(UpgradingTestCase):
    def test_take_over(self) -> None:
        """It has the sockets, the lock, the counters and the sequence of the old one, and takes commands."""
        publish(self.feed(self.old), b"[1]")
        services, estate = self.succeed()
        own = self.holdings(services)
        self.assertFalse(own.operating.instance.directory.is_ours)
        self.assertIn("has not taken over", own.operating.commands.refusal)
        before = [sock.getsockname() for sock in self.holdings(self.old).parent.endpoints[0].group.sockets.values()]
        after = [sock.getsockname() for sock in own.parent.endpoints[0].group.sockets.values()]
        self.assertEqual((after, own.parent.generation, own.parent.has_sockets), (before, 1, False))
        commit = self.let_go()
        self.settle(estate)
        taken: list[Any] = []
        self.patch(own.parent, "take_over", taken.append)
        estate.take(commit)
        self.assertEqual((taken, own.operating.instance.directory.is_ours), ([[]], True))
        self.assertEqual(self.feed(services).next_sequence(), self.feed(self.old).next_sequence())
        values = {each.name: each.value for each in own.operating.samples()}
        self.assertEqual((values["versions_total"], values["generation"]), (1, 1))
        begun: list[str] = []
        for later in estate.later:
            self.patch(later, "begin", lambda: begun.append("begun"))
        estate.begin()
        self.assertEqual((own.operating.commands.refusal, own.reloading.refusal), ("", ""))
        self.assertEqual(len(begun), 4)
        self.assertEqual((self.folder / "twistd.pid").read_text(), str(os.getpid()))

    def test_lacking(self) -> None:
        """First the feeds of both parents, then the workers."""
        publish(self.feed(self.old), b"[1]")
        _, estate = self.succeed()
        self.assertEqual(estate.lacking(), "the workers 0, 1")
        estate.following.pictured.clear()
        self.assertEqual(estate.lacking(), "the feeds feed")

    def test_version_that_is_missing(self) -> None:
        """A commit that names another version than the newest one here fails."""
        services, estate = self.succeed()
        commit = self.let_go()
        self.settle(estate)
        facts = CommitFacts({"feed": (1, 1)})
        wrong = Message(commit.type, {"sequences": facts.sequences}, commit.payloads, commit.fds)
        self.assertIn("has not arrived", str(self.assertRaises(LinkError, estate.take, wrong)))
        self.assertFalse(self.holdings(services).operating.instance.directory.is_ours)
        bad = Message(commit.type, commit.facts, (b"{",), commit.fds)
        self.assertIn("cannot be read", str(self.assertRaises(LinkError, estate.take, bad)))

    def test_sockets_that_cannot_be_taken_over(self) -> None:
        """The reason is told in words."""
        services, estate = self.succeed()
        commit = self.let_go()
        self.settle(estate)

        def fail(_: object) -> None:
            raise OSError(28, "No space left on device")

        self.patch(self.holdings(services).parent, "take_over", fail)
        self.assertIn("No space left", str(self.assertRaises(LinkError, estate.take, commit)))

    def test_other_runtime_directory(self) -> None:
        """It would have other sockets and workers."""
        error = self.assertRaises(ConfigurationError, self.succeed, runtime_dir=str(self.folder / "other"))
        self.assertIn("that needs a restart", str(error))

    def test_without_workers(self) -> None:
        """The connections of the old workers could not be fed."""
        error = self.assertRaises(ConfigurationError, self.succeed, workers="0")
        self.assertIn("an upgrade needs workers", str(error))

    def test_new_and_missing_addresses(self) -> None:
        """A new one is the new parent's own, and one that is missing is closed after the commit."""
        other = "tcp:0:interface=127.0.0.2"
        services, estate = self.succeed(listen=[other])
        (endpoint,) = self.holdings(services).parent.endpoints
        self.assertEqual((endpoint.group.is_inherited, endpoint.group.sockets), (False, {}))
        estate.inheritance.close_rest()

    def test_part_that_does_not_begin(self) -> None:
        """The others begin all the same: this process is the only parent."""
        _, estate = self.succeed()

        def fail() -> None:
            raise StartError("livefeed: it does not work")

        self.patch(estate.later[0], "begin", fail)
        begun: list[str] = []
        for later in estate.later[1:]:
            self.patch(later, "begin", lambda: begun.append("begun"))
        estate.begin()
        self.assertEqual(len(begun), 3)
        self.assertEqual(len(self.flushLoggedErrors(StartError)), 1)


class PartsTests(UpgradingTestCase):
    def test_later(self) -> None:
        """The service begins when it is told to, and stops only then."""
        calls: list[str] = []
        service = Service()
        for name in ("privilegedStartService", "startService", "stopService"):
            self.patch(service, name, self.note(calls, name))
        later = Later(service)
        later.privilegedStartService()
        later.startService()
        later.stopService()
        self.assertEqual(calls, [])
        later.begin()
        later.stopService()
        self.assertEqual(calls, ["privilegedStartService", "startService", "stopService"])

    @staticmethod
    def note(calls: list[str], name: str) -> Callable[[], None]:
        return lambda: calls.append(name)

    def test_failed_start(self) -> None:
        """The old parent is told the reason."""

        class Broken(Service):
            def privilegedStartService(self) -> None:
                raise StartError("livefeed: --listen: the address is in use")

            def startService(self) -> None:
                raise StartError("livefeed: --state-dir: the disk is full")

        inheritance, ours = inheritance_of(self.holdings(self.old).offer())
        self.addCleanup(ours.close)
        self.addCleanup(inheritance.sock.close)
        self.addCleanup(inheritance.close_rest)
        services = SucceedingServices(self.holdings(self.old).drain, inheritance)
        Broken().setServiceParent(services)
        self.assertRaises(StartError, services.privilegedStartService)
        self.assertRaises(StartError, services.startService)
        ours.settimeout(5)
        told = Decoder().feed(ours.recv(65_536))
        self.assertEqual(
            [each.facts["why"] for each in told],
            ["--listen: the address is in use", "--state-dir: the disk is full"],
        )

    def test_pidfile(self) -> None:
        """A file that cannot be written is no reason to end."""
        with capturedLogs() as logs:
            write_pidfile(self.folder / "missing" / "twistd.pid")
        self.assertIn("has the id of the process before", formatEvent(logs[0]) or "")
