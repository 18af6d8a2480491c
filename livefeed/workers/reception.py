"""The reception of the messages that workers of all generations send alike: figures, lines of the log, and feeds.

Rule: a message that is none of these, and of an unknown type, is ignored: a newer worker may say more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from livefeed.workers.key_requests import KeysWanted
from livefeed.workers.messages import Heartbeat, Line, Readiness, message_of
from livefeed.workers.worker_log import log_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from livefeed.workers.accounts import Accounts
    from livefeed.workers.allowance import Allowance
    from livefeed.workers.link import Link
    from livefeed.workers.messages import Held, Message


class Feeds(Protocol):
    """The feeds of the parent, as they are sent to the workers."""

    def add(self, link: Link, held: Mapping[str, Held], /) -> None:
        """Sends everything to a worker from now on."""

    def remove(self, link: Link, /) -> None:
        """Sends a worker nothing more."""

    def receive(self, link: Link, message: Message, /) -> bool:
        """Takes a message of a worker, and tells whether it was about feeds."""


class Sender(Protocol):
    """A worker that sends messages."""

    told: bool | None
    """Whether it was told last that livefeed is ready; ``None`` if it was told nothing."""

    @property
    def link(self) -> Link | None:
        """The link to it; ``None`` if that has ended."""

    @property
    def allowance(self) -> Allowance:
        """Limits the number of its messages, and counts those that were left out."""


@dataclass(eq=False)
class Reception:
    """Takes the messages.

    :param feeds: takes those about feeds.
    :param accounts: takes the figures.
    :ivar is_livefeed_ready: tells whether clients may be sent here, for the public port; ``None`` to tell workers
        nothing.
    :ivar want_keys: has the keys of tokens fetched again from a URL; ``None`` if nothing fetches them.
    """

    # required parameters
    feeds: Feeds
    accounts: Accounts

    # internal state
    is_livefeed_ready: Callable[[], bool] | None = None
    want_keys: Callable[[str], object] | None = None

    def take(self, worker: Sender, place: int, name: str, message: Message) -> Heartbeat | None:
        """Takes a message without descriptors, which the allowance of the worker has let through.

        :param place: the number of the worker in the accounts.
        :param name: its name in the log.
        :returns: the heartbeat, if it is one.
        :raises LinkError: if the message cannot be read.
        """
        link = worker.link
        match message.type:
            case "heartbeat":
                beat = message.read(Heartbeat)
                self.accounts.take(place, name, beat)
                if link is not None and self.is_livefeed_ready is not None:
                    self._tell_readiness(worker, link, ready=self.is_livefeed_ready())
                return beat
            case "log":
                log_line(name, message.read(Line), worker.allowance)
            case "keys":
                if self.want_keys is not None:
                    self.want_keys(message.read(KeysWanted).url)
            case _:
                if link is not None:
                    self.feeds.receive(link, message)
        return None

    @staticmethod
    def _tell_readiness(worker: Sender, link: Link, *, ready: bool) -> None:
        """Tells a worker whether livefeed is ready, if it was not told so before."""
        if ready is not worker.told:
            link.send(message_of("readiness", Readiness(ready)))
            worker.told = ready
