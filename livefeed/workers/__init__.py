"""Several processes: a parent that pulls, and workers that hold the connections. The link connects them.

- ``link``: the link as a Twisted protocol: a server in the parent, a client in each worker.
- ``messages``: the messages of the link as bytes. No I/O.
- ``sockets``: the listening sockets, which the parent binds and keeps, and on which the workers accept.
"""
