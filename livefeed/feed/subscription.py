"""A subscription: the link between a feed and one subscriber.

Rules: this file knows no transport; a subscriber is an object with two methods. No queue grows here: a subscription
owes at most one thing, the newest version. A subscription that ends after an error also ends the subscriber's
connection, so that no client stays connected without receiving anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.document.snapshot import Snapshot


class Subscriber(Protocol):
    """A client that receives each new version, over any transport."""

    def send(self, snapshot: Snapshot, /) -> None:
        """Takes the newest snapshot. It is called only while the subscription is not paused.

        A subscriber that sends the state along also receives the snapshot of an expired feed. Its client must not show
        that document.
        """

    def drop(self) -> None:
        """Ends the connection after an error has ended the subscription, so that the client can reconnect."""


class Distributor(Protocol):
    """The requirements of a subscription on the fan-out that it belongs to.

    :ivar newest: the newest snapshot; ``None`` if there is none.
    :ivar is_withheld: whether the document must not be shown.
    :ivar pushes: the number of the push that is under way, or that was the last.
    :ivar skipped: the number of versions that slow subscribers were not sent.
    """

    newest: Snapshot | None
    is_withheld: bool
    pushes: int
    skipped: int

    def drop(self, subscription: Subscription, /) -> None:
        """Logs the exception that is being handled, and ends the subscription and its subscriber's connection."""

    def forget(self, subscription: Subscription, /) -> None:
        """Removes a subscription that has ended."""


class Membership(Protocol):
    """The requirements of a subscription on the batch that it is in."""

    def separate(self, subscription: Subscription, /) -> None:
        """Takes a member out of the batch's multicast. It stays in the batch."""

    def remove(self, subscription: Subscription, /) -> None:
        """Takes a member out of the batch."""


@dataclass(slots=True, eq=False)
class Subscription:
    """The link between a feed and one subscriber.

    A transport whose buffer is full calls :meth:`pause`, and :meth:`resume` when the buffer has drained. The versions
    in between are skipped: the subscriber then receives the newest one, and never a backlog.

    :ivar subscriber: the subscriber.
    :ivar with_state: whether the subscriber sends the state along with the snapshot.
    :ivar sent: the version that was sent last. While the subscription is in a multicast, its batch knows it instead.
    :ivar is_paused: whether the subscriber can take nothing now.
    :ivar batch: the batch that it is in; ``None`` if it is in none.
    :ivar in_multicast: whether the batch's multicast sends to it.
    """

    # required parameters
    _fanout: Distributor
    subscriber: Subscriber
    _repeats: bool = True
    with_state: bool = False
    _expire: Callable[[], object] | None = None  # released when it was called, and when the subscription ends

    # internal state; a batch reads these attributes without a call for each subscriber
    sent: str | None = None  # the version and not the snapshot, which the slowest subscriber would keep in memory
    is_paused: bool = False
    _owed: str | None = None  # the version that is owed; None if nothing is
    _is_cancelled: bool = False
    _push: int = 0  # the number of the push during which something was last delivered outside of its turn
    batch: Membership | None = None
    in_multicast: bool = False

    @property
    def size(self) -> int:
        """The number of subscribers; see :attr:`.fanout.Batch.size`."""
        return 1

    def offer(self, snapshot: Snapshot) -> None:
        """Sends the snapshot in its turn of a push, unless the subscriber does not need it; owes it while paused.

        It is called only while no multicast sends to the subscriber. A subscriber that raises is dropped.
        """
        if self._is_withheld():
            self.expire()
            return
        # A version that was delivered while the subscription waited for its turn is a sign of life already.
        repeats = self._repeats and self._push != self._fanout.pushes
        if self._is_cancelled or (snapshot.version == self.sent and not repeats and not self.with_state):
            return
        if not self.is_paused:
            self._send(snapshot)
        elif snapshot.version != self.sent or self.with_state:
            self._owe(snapshot)

    def deliver(self, snapshot: Snapshot) -> None:
        """Sends the snapshot now, even if it was sent before; owes it while paused or while it is withheld.

        A subscriber that raises is dropped.
        """
        self.leave_multicast()
        if self._is_cancelled:
            return
        if self.is_paused or self._is_withheld():
            self._owe(snapshot)
        else:
            self._push = self._fanout.pushes
            self._send(snapshot)

    def _owe(self, snapshot: Snapshot) -> None:
        # The version that was owed before is never sent.
        if self._owed is not None and self._owed not in (snapshot.version, self.sent):
            self._fanout.skipped += 1
        self._owed = snapshot.version

    def _send(self, snapshot: Snapshot) -> None:
        self.sent = snapshot.version
        self._owed = None
        try:
            self.subscriber.send(snapshot)
        except Exception:
            self._fanout.drop(self)

    def skip(self, snapshot: Snapshot) -> None:
        """Counts the snapshot as sent."""
        self.sent = snapshot.version

    def pause(self) -> None:
        """Takes note that the subscriber can take nothing more for now."""
        self.leave_multicast()
        self.is_paused = True

    def resume(self) -> None:
        """Takes note that the subscriber can take more, and delivers the newest snapshot if one is owed."""
        self.is_paused = False
        if self._owed is None or self._is_withheld():
            return
        self._owed = None
        snapshot = self._fanout.newest
        if snapshot is None:
            return  # No version of this part could be made. The next one is pushed.
        if snapshot.version == self.sent and not self.with_state:
            # The document has changed back to the version that the subscriber has.
            self.skip(snapshot)
        else:
            self.deliver(snapshot)

    def expire(self) -> None:
        """Tells a subscriber that does not send the state, once, that the document has expired.

        A subscriber that raises is dropped.
        """
        expire, self._expire = self._expire, None
        if expire is not None:
            try:
                expire()
            except Exception:
                self._fanout.drop(self)

    def _is_withheld(self) -> bool:
        """Tells whether the subscriber would show a document that must not be shown."""
        return self._fanout.is_withheld and not self.with_state

    def leave_multicast(self) -> None:
        """Has the subscriber sent to by itself. It may join the multicast again once it has taken a version."""
        if self.in_multicast and self.batch is not None:
            self.batch.separate(self)

    def note_batch(self, batch: Membership | None) -> None:
        """Takes note of the batch that the subscription is in from now on; ``None`` for no batch."""
        self.batch = batch

    def note_joined(self) -> None:
        """Takes note that the batch's multicast sends to the subscriber from now on."""
        self.in_multicast = True

    def note_separated(self, sent: str | None) -> None:
        """Takes note that the batch's multicast does not send to the subscriber any more.

        :param sent: the version that the multicast sent last.
        """
        self.in_multicast = False
        self.sent = sent

    def cancel(self) -> None:
        """Ends the subscription. A second call has no effect."""
        self._is_cancelled = True
        self._expire = None
        self._fanout.forget(self)
