"""``file:``: a document in a file that another program rewrites.

- ``source``: reading the file.
- ``watch``: the kernel's notifications of its changes (inotify).
"""

from livefeed.sources.file.source import FileSource

__all__ = ["FileSource"]
