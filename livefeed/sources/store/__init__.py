"""``store:``: a document that publishers write to livefeed itself, through the operator's port.

- ``source``: the newest stored document.
"""

from livefeed.sources.store.source import StoredDocument, StoreSource

__all__ = ["StoreSource", "StoredDocument"]
