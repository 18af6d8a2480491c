"""Everything of one feed that outlives the process: its last versions, its store, its decisions and its embargoes.

Rule: all of it is opened before anything is served or pulled, in one order: the versions, the decisions about
them, and then the embargoes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger

from livefeed.exceptions import StartError, StoreError
from livefeed.intake.stored_past import StoredPast

if TYPE_CHECKING:
    from livefeed.feed.embargoes import Embargoes
    from livefeed.feed.persistence import JournalService
    from livefeed.intake.desk import Desk
    from livefeed.storage.shared_writes import SharedWrites

_log = Logger()


@dataclass(eq=False)
class FeedStorage:
    """The files of one feed.

    :param place: where the state directory was set; messages about it begin with this.
    :param desk: the desk, which keeps decisions.
    :param journal: keeps the versions; ``None`` if they are not kept.
    :param store: the store; ``None`` if the document comes from another source. The owner may replace it.
    :param embargoes: the embargoes.
    """

    # required parameters
    place: str
    desk: Desk
    journal: JournalService | None
    store: SharedWrites | None
    embargoes: Embargoes

    # internal state
    _is_open: bool = False
    _past: StoredPast = field(init=False)

    def __post_init__(self) -> None:
        # Without a reference to the desk, which has it: no cycle keeps a feed that is removed.
        self._past = StoredPast(self.desk.archive.now, self.store)
        self.desk.archive.others = (self._past,)

    def open(self) -> None:
        """Restores versions and decisions, unless that was done since the start.

        :raises StartError: if they cannot be read.
        """
        if self._is_open:
            return
        try:
            self._open()
        except StartError:
            self.abandon()
            raise
        self._is_open = True

    def _open(self) -> None:
        if self.store is not None:
            try:
                self.store.open()
            except StoreError as error:
                raise StartError(f"livefeed: {self.place}: {error}") from None
        if self.journal is not None:
            self.journal.restored = self.desk.archive.recall
            self.journal.startService()
        self.desk.open()
        try:
            self.embargoes.open()
        except StoreError as error:
            raise StartError(f"livefeed: {self.place}: {error}") from None

    def close(self) -> Deferred[None]:
        """Closes the store once everything is durable that was accepted. The service of the journal stops by itself."""
        self._is_open = False
        return all_of([self.desk.idle(), *self._closing()])

    def pause(self) -> Deferred[None]:
        """Leaves all files to another process, until :meth:`resume`.

        :returns: fires when everything is written, and no command is under way.
        """
        closing = [self.desk.idle(), *self._closing()]
        if self.journal is not None:
            closing.append(maybeDeferred(self.journal.pause))
        return all_of(closing)

    def resume(self) -> None:
        """Goes on after :meth:`pause`. If the store cannot be used any more, the log says so."""
        if self.store is not None:
            try:
                self.store.open()
            except StoreError as error:
                text = 'feed "{feed}": its store cannot be used any more, and nothing can be published: {why}'
                _log.error(text, feed=self.desk.feed.name, why=str(error))
        if self.journal is not None:
            self.journal.resume()
        try:
            self.embargoes.open()
        except StoreError as error:
            text = 'feed "{feed}": its embargoes cannot be used any more, and none of them ends: {why}'
            _log.error(text, feed=self.desk.feed.name, why=str(error))

    def replace_store(self, store: SharedWrites | None) -> None:
        """Takes another store, and closes the one before."""
        if self.store is not None and store is not self.store:
            # It has accepted its last writes; the end of the process does not wait for them.
            self.store.close()
            self.embargoes.note_store(has_store=store is not None)
        self.store = self._past.store = store

    def abandon(self) -> None:
        """Closes the files of a feed that was not added after all."""
        self.embargoes.close()
        if self.store is not None:
            self.store.close()
        if self.journal is not None and self.journal.running:
            # Nothing is being written yet, so its stop is immediate.
            self.journal.stopService()

    def _closing(self) -> list[Deferred[Any]]:
        closing: list[Deferred[Any]] = [self.embargoes.close()]
        if self.desk.refused is not None:
            self.desk.refused.close()
        if self.store is not None:
            closing.append(maybeDeferred(self.store.close))
        return closing


def all_of(closings: list[Deferred[Any]]) -> Deferred[None]:
    """Gives a Deferred that fires when all others have fired."""
    return DeferredList(closings).addCallback(lambda _: None)
