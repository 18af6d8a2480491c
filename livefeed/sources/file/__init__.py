"""``file:``: a document in a file that another program rewrites.

- ``source``: reading the file.
- ``watch``: the changes of one file, wherever its path leads.
- ``notifications``: the kernel's notifications (inotify) for all files of a process.
"""

from livefeed.sources.file.source import FileSource

__all__ = ["FileSource"]
