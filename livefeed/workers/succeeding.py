"""The new parent of an upgrade, until it has taken over: it proves that it serves, and takes everything at the commit.

Rules: before ``commit`` this process pulls nothing, writes nothing, takes no lock and no command. If it cannot go on,
it tells the old parent the reason, and ends. If the old parent is gone before that, it ends as well.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from livefeed.exceptions import LinkError, LivefeedError, StartError, first_line
from livefeed.workers.channel import open_channel
from livefeed.workers.messages import Message, message_of
from livefeed.workers.succession import (
    COMMIT,
    COMMITTED,
    FAILED,
    READY,
    STEP,
    FailedFacts,
    StepFacts,
)

if TYPE_CHECKING:
    from livefeed.workers.channel import Inheritance
    from livefeed.workers.link import Link
    from livefeed.workers.parent import ParentReactor


LOOK_S = 0.1
"""Seconds between two looks whether the workers serve."""

_log = Logger()


class Estate(Protocol):
    """The parts of this process that take something over."""

    def receive(self, link: Link, message: Message) -> bool:
        """Takes a message about feeds, and tells whether it was one."""

    def lacking(self) -> str:
        """Gives what is not ready yet, for the log; ``""`` if everything is."""

    def take(self, message: Message) -> None:
        """Takes everything over.

        :param message: ``commit``, with the lock. Its descriptor is closed afterwards.

        :raises LivefeedError: if something cannot be taken over. The old parent goes on then.
        :raises StartError: in the same case.
        """

    def begin(self) -> None:
        """Begins what must not fail, after the old parent was told that everything is taken over."""


@dataclass(eq=False)
class Succession(Service):
    """Takes the place of the old parent.

    :param inheritance: the channel and the offer.
    :param estate: the parts of this process.
    :param reactor: carries the channel, and ends the process.
    :ivar has_taken_over: whether this process is the parent.
    """

    # required parameters
    inheritance: Inheritance
    estate: Estate
    reactor: ParentReactor

    # internal state
    has_taken_over: bool = False
    _link: Link | None = None
    _is_ready: bool = False
    _is_ending: bool = False
    _lacking: str = ""
    _looking: LoopingCall = field(init=False)

    def __post_init__(self) -> None:
        self._looking = LoopingCall(self._look)
        self._looking.clock = self.reactor

    def startService(self) -> None:
        """IService API."""
        super().startService()
        # Once the reactor runs: it cannot be stopped before, and the workers start then, too.
        self.reactor.callWhenRunning(self._open)

    def stopService(self) -> None:
        """IService API."""
        super().stopService()
        self._is_ending = True
        if self._looking.running:
            self._looking.stop()
        if self._link is not None:
            self._link.close()

    def _open(self) -> None:
        if self.running:
            self._link = open_channel(self.reactor, self.inheritance.sock, self)
            self._tell("the configuration is checked, and the workers start")
            self._looking.start(LOOK_S, now=False)

    def _look(self) -> None:
        lacking = self.estate.lacking()
        if lacking != self._lacking and lacking:
            self._tell(f"waiting for {lacking}")
        self._lacking = lacking
        if not lacking:
            self._looking.stop()
            self._tell("the workers serve the newest versions")
            self._send(Message(READY))

    def _tell(self, text: str) -> None:
        self._send(message_of(STEP, StepFacts(text)))

    def _send(self, message: Message) -> None:
        if self._link is not None:
            self._link.send(message)

    # The channel

    def receive(self, link: Link, message: Message) -> None:
        """Receiver API."""
        if self._is_ending:
            message.close_fds()
        elif message.type == COMMIT:
            self._commit(message)
        elif not self.estate.receive(link, message):
            message.close_fds()
            raise LinkError(f"the old parent has sent a message {message.type[:64]}, which is not expected")

    def flushed(self, link: Link) -> None:
        """Receiver API."""

    def lost(self, link: Link) -> None:
        """Receiver API."""
        self._link = None
        if not self.has_taken_over:
            self._end("the old parent has gone before it has handed over")

    def _commit(self, message: Message) -> None:
        if len(message.fds) != 1:
            message.close_fds()
            raise LinkError("a message commit lacks the lock")
        try:
            self.estate.take(message)
        except (LivefeedError, StartError) as error:
            self._fail(first_line(error).removeprefix("livefeed: "))
            return
        except Exception:
            _log.failure("the new parent cannot take over")
            self._fail("an error inside livefeed; the log has it")
            return
        finally:
            message.close_fds()
        self.has_taken_over = True
        self._send(Message(COMMITTED))
        _log.info("this process ({pid}) has taken over", pid=os.getpid())
        if self._link is not None:
            self._link.close()
        self.estate.begin()

    def _fail(self, why: str) -> None:
        self._send(message_of(FAILED, FailedFacts(why)))
        self._end(why)

    def _end(self, why: str) -> None:
        if not self._is_ending:
            self._is_ending = True
            _log.error("this process cannot take over, and ends: {why}", why=why)
            self.reactor.stop()


def text_of_lacking(workers: list[dict[str, Any]], feeds: set[str]) -> str:
    """Gives what is not ready yet, for the log.

    :param workers: the report about the workers.
    :param feeds: the names of the feeds whose state is not known yet.
    """
    if feeds:
        return f"the feeds {', '.join(sorted(feeds))}"
    missing = [str(each["index"]) for each in workers if each["state"] != "ready"]
    return f"the workers {', '.join(missing)}" if missing else ""
