"""The signer of statements, and the part of a reload that gives it other keys.

Rule: one process signs: the one that pulls. It signs once per tick and change of state, never per watcher.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.logger import Logger

from livefeed import clocks
from livefeed.document.signature import Signed, statement_text
from livefeed.document.snapshot import IDENTITY
from livefeed.document.timestamps import timestamp
from livefeed.process.reload import Change, as_json
from livefeed.process.signing_keys import read_keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from livefeed.config.settings import Settings
    from livefeed.document.snapshot import Snapshot
    from livefeed.process.signing_keys import SigningKeys

PROMISED_TICKS, PROMISED_S = 3, 5.0
"""A statement holds for so many intervals and so many seconds: a tick may fail, and a pull may take its time. After
that, a mirror that still shows it is frozen."""


_log = Logger()


@dataclass(eq=False)
class Signing:
    """Signs the statements of all feeds of a process.

    :ivar keys: the keys; ``None`` if nothing is signed.
    :ivar signed: the number of statements that were signed since the start.
    :ivar key_id: the id of the key that signs; empty without one.
    :ivar wall: the wall clock, by which verifiers judge the age of a statement.
    """

    # required parameters
    keys: SigningKeys | None = None
    wall: Callable[[], float] = clocks.wall

    # internal state
    signed: int = 0
    key_id: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.take(self.keys)

    def take(self, keys: SigningKeys | None) -> None:
        """Signs with other keys from the next statement on; ``None`` to sign no more."""
        self.keys = keys
        self.key_id = "" if keys is None else keys.key_id

    def log_key(self) -> None:
        """Logs the id of the key that signs, if there is one."""
        if self.key_id:
            _log.info("versions are signed by the key {key}", key=self.key_id)

    def key_set(self) -> bytes:
        """Gives the published keys as a set of JSON Web Keys; nothing if nothing is signed."""
        return b"" if self.keys is None else self.keys.key_set()

    def sign(self, feed: str, snapshot: Snapshot, state: str, confirmed_at: float, interval_s: float) -> Signed | None:
        """Signer API."""
        if self.keys is None:
            return None
        digest = snapshot.representations[IDENTITY].digest.decode("ascii")
        text = statement_text(feed, str(snapshot.sequence), digest, state, timestamp(confirmed_at))
        now = int(self.wall())
        expires = now + math.ceil(PROMISED_TICKS * interval_s + PROMISED_S)
        self.signed += 1
        return Signed.of(text, self.key_id, now, expires, self.keys.signing.sign)


def read_signing_keys(settings: Settings) -> SigningKeys | None:
    """Reads the keys that the settings name; ``None`` if they name none. It may block.

    :raises ConfigurationError: if they cannot be used.
    """
    if settings.signing_key is None:
        return None
    with settings.named():
        return read_keys(settings.signing_key)


@dataclass(eq=False)
class ReloadedSigning:
    """The keys as a part of a reload: the file is read again, also if the setting is the same.

    :ivar signing: the signer.
    :ivar show: publishes the set of keys.
    :ivar names: the settings that it takes.
    """

    # required parameters
    signing: Signing
    show: Callable[[bytes], object] = lambda _: None
    names: frozenset[str] = frozenset({"signing_key"})

    # internal state
    _looked: tuple[Path | None, SigningKeys | None] | None = None

    def look(self, settings: Settings) -> None:
        """Reads the keys for settings that :meth:`prepare` is given next. It may block.

        :raises ConfigurationError: if they cannot be used.
        """
        self._looked = None
        self._looked = settings.signing_key, read_signing_keys(settings)

    def prepare(self, before: Settings, after: Settings) -> _PreparedSigning:
        """Reloadable API."""
        looked, self._looked = self._looked, None
        keys = looked[1] if looked is not None and looked[0] == after.signing_key else read_signing_keys(after)
        return _PreparedSigning(self, before, after, keys)


@dataclass(frozen=True, slots=True)
class _PreparedSigning:
    """Keys that were read."""

    part: ReloadedSigning
    before: Settings
    after: Settings
    keys: SigningKeys | None

    def changes(self) -> list[Change]:
        """Prepared API. Keys are named by their ids."""
        files = [as_json(each.signing_key) for each in (self.before, self.after)]
        changes = [] if files[0] == files[1] else [Change("signing_key", *files)]
        old = self.part.signing.keys
        ids = [None if keys is None else keys.key_id for keys in (old, self.keys)]
        if ids[0] != ids[1]:
            changes.append(Change("the key that signs", *ids))
        return changes

    def commit(self) -> None:
        """Prepared API."""
        is_other = self.keys is not None and self.keys.key_id != self.part.signing.key_id
        self.part.signing.take(self.keys)
        if is_other:
            self.part.signing.log_key()
        self.part.show(self.part.signing.key_set())

    def abandon(self) -> None:
        """Prepared API. Keys hold nothing open."""
