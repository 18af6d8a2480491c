"""The signed statements in a recording: whether each version was signed, for this feed and in this order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from livefeed.client.trust import read_verifying_keys
from livefeed.client.verification import Trust, Verifier
from livefeed.document.signature import SignatureError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from livefeed.storage.record_file import Entry


@dataclass(slots=True)
class RecordedStatements:
    """Verifies the versions of a recording by their statements, in their order. Times are not judged: they are past.

    :ivar keys: verify signatures, by the ids of the keys.
    :ivar verified: the number of versions that were signed.
    :ivar why: why the first version that was not signed is refused; ``""`` if all were.
    """

    # required parameters
    keys: Mapping[str, Callable[[bytes, bytes], object]]

    # internal state
    verified: int = 0
    why: str = ""
    _verifier: Verifier | None = None

    @classmethod
    def of(cls, path: Path) -> RecordedStatements:
        """Reads the keys of a file.

        :raises FollowError: if it cannot be used.
        """
        return cls(read_verifying_keys(path))

    def take(self, entry: Entry) -> None:
        """Takes the next record. After a version that is refused, no other one counts."""
        head = entry.head
        if head.kind == "beginning":
            self._verifier = Verifier(Trust(self.keys, head.feed))
        if self.why or self._verifier is None or entry.data is None:
            return
        try:
            self._verifier.take(head.facts.signed, entry.data, entry.elapsed_s)
        except SignatureError as error:
            self.why = f"the version {entry.number}, {head.version}, is not verified: {error}"
        else:
            self.verified += 1
