"""Several processes: a parent that pulls and takes commands, and workers that hold the connections.

- ``sockets``: the listening sockets, which the parent binds and keeps, and on which the workers accept.
"""
