"""The records that earlier releases have written into the files of versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from livefeed.document.stored_version import StoredVersion


def earlier_record(version: StoredVersion) -> bytes:
    """Gives the record of a version in the format 1."""
    head = version.confirmation().partition(b" ")[2]
    return b"%b%b\n" % (head, version.data)
