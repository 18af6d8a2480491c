"""Everything that limits livefeed on this machine: ``livefeed doctor``.

- ``clock``: the clock of the machine, and the time that a look at it takes.
- ``examination``: the list of all checks, each with its readings, in threads and with a time limit.
- ``feeds``: the settings, with the packages that they need, and the documents of the sources.
- ``finding``: the result of a check.
- ``folders``: the folder of the last versions, and notifications about files.
- ``machine``: readings of ``/proc`` and ``/sys``.
- ``memory``: memory for the watchers, swap, the allocator and huge pages.
- ``network``: the queue of new connections, ports, and the kernel's tables of connections.
- ``probes``: readings that are no files: short, and without a trace.
- ``processes``: open files, processors, and the version of Python.
- ``tls``: OpenSSL, the transport, and certificates.

Rule: ``machine`` and ``probes`` read and do not judge; all others judge values, and read nothing.
"""
