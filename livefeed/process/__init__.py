"""The operating system's process: addresses, certificates, signals, the end, limits, memory, log.

- ``access``: the tokens and keys of protected feeds, as a part of a reload.
- ``adopting``: listening on a socket that the process before an upgrade has bound.
- ``capacity``: the number of connections, by open files and memory, and its parts for workers.
- ``certificates``: the choice of the default certificates, their reload, and the daily check for expiry.
- ``descriptions``: descriptions of endpoints: their parts, and common mistakes.
- ``drain``: the orderly end of all connections, in three phases.
- ``drain_command``: the operator's command that begins or undoes a drain.
- ``endpoints``: from descriptions to endpoints, with or without TLS.
- ``instance``: the instance that the process is, and its claim to the runtime directory.
- ``journald``: log lines with priorities, for systemd's journal.
- ``limits``: the limit of open files.
- ``line_writer``: lines to a file or a socket, by a thread of their own.
- ``listener``: listening on one endpoint: binding, messages about failures, the announcement.
- ``log_level``: the least important lines that are logged.
- ``loop_lag``: by how much the reactor's timers are late.
- ``memory``: Python's garbage collector and the C library's allocator.
- ``notify``: messages to the service manager: ready, alive, reloading, stopping, status.
- ``program``: how the process was started, and the command line of its successor.
- ``reload``: new settings for a process that runs, completely or not at all.
- ``renewal``: certificates that are renewed while the process runs.
- ``runtime_dir``: the runtime directory: its place, its owner, and its lock.
- ``signals``: SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGUSR2, and the log files.
- ``signing``: the signer of statements, and its keys at a reload.
- ``signing_keys``: the file with the keys that sign statements.
- ``socket_file``: the file of a Unix socket, taken over from a killed process.
- ``tickets``: the rotation of the key of TLS session tickets.
"""
