"""The operating system's process: addresses, certificates, signals, the end, limits, memory, log.

- ``capacity``: the number of connections, by open files and memory, and its parts for workers.
- ``certificates``: the choice of the default certificate, and the daily check for expiry.
- ``descriptions``: descriptions of endpoints: their parts, and common mistakes.
- ``drain``: the orderly end of all connections, in three phases.
- ``endpoints``: from descriptions to endpoints, with or without TLS.
- ``journald``: log lines with priorities, for systemd's journal.
- ``limits``: the limit of open files.
- ``listener``: listening on one endpoint: binding, messages about failures, the announcement.
- ``memory``: Python's garbage collector and the C library's allocator.
- ``signals``: SIGTERM, SIGINT, SIGHUP, SIGUSR1, and reopening the log files.
- ``socket_file``: the file of a Unix socket, taken over from a killed process.
"""
