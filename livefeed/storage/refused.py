"""The last documents of a feed that the gate or a rule has refused, in a file for the operator.

Rules: nothing reads the file again but people, by ``livefeed recording``. It is opened by the first document that is
appended, so that a feed whose documents are all shown has none. The file is for one process, which has the journal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livefeed.document.recording import FORMAT
from livefeed.document.stored_version import NewerFormatError
from livefeed.exceptions import RecordingError, newer_format
from livefeed.storage.ring import Ring

if TYPE_CHECKING:
    from pathlib import Path

    from livefeed.storage.ring import Kept

MAX_DOCUMENTS, MAX_BYTES = 60, 4 * 1024 * 1024
"""The number of documents that are kept, and the size in bytes of those besides the newest one. As soon as one was
refused, they are in memory, too."""


@dataclass(eq=False)
class RefusedFile:
    """The file.

    :ivar path: its path.
    :ivar feed: the name of the feed.
    """

    # required parameters
    path: Path
    feed: str

    # internal state
    _ring: Ring = field(init=False)

    def __post_init__(self) -> None:
        self._ring = Ring(self.path, MAX_DOCUMENTS, MAX_BYTES, self.feed)

    def append(self, document: Kept) -> None:
        """Writes a document behind the others. It blocks.

        A damaged file is kept beside it under a name that ends with ``.damaged``.

        :raises OSError: if it cannot be written.
        :raises RecordingError: if a newer livefeed has written the file, which stays as it is.
        """
        ring = self._ring
        if not ring.is_open:
            try:
                found, is_whole = ring.read(max(MAX_BYTES, len(document.data)))
            except NewerFormatError as error:
                why = newer_format(self.path, error.format, FORMAT, "move the file away")
                raise RecordingError(why) from None
            if not is_whole:
                self.path.replace(self.path.with_name(f"{self.path.name}.damaged"))
            ring.fill(found)
        ring.append(document)

    def close(self) -> None:
        """Closes the file, and forgets the documents; the next one that is appended opens it again."""
        self._ring.close()
        self._ring.kept.clear()
