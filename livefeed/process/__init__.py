"""The operating system's process: addresses, signals, memory, log.

- ``endpoints``: the addresses to listen on.
- ``journald``: log lines with priorities, for systemd's journal.
- ``memory``: Python's garbage collector and the C library's allocator.
"""
