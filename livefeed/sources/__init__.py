"""The sources of documents.

- ``connectors``: client connections of Twisted that leave no reference cycles behind.
- ``demo``: a demonstration, computed from the time of day.
- ``file``: a file, and the kernel's notifications of its changes.
- ``http``: an HTTP origin.
- ``mongo``: a query of MongoDB.
- ``names``: resolving host names, and connecting to hosts.
- ``recording``: a recording of a feed.
- ``redis``: a key of Redis or Valkey.
- ``registry``: from URLs to sources, also to those of other packages.
- ``source``: the interface of sources.
- ``store``: a document that publishers write to livefeed itself.

Other packages add sources by entry points of the group ``livefeed.sources``. They import the interface from here.
"""

from livefeed.sources.registry import GROUP, STORE, is_recording, is_store, make_source, needs_state_dir, split_url
from livefeed.sources.source import MakeSource, Source

__all__ = [
    "GROUP",
    "STORE",
    "MakeSource",
    "Source",
    "is_recording",
    "is_store",
    "make_source",
    "needs_state_dir",
    "split_url",
]
