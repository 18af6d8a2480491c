"""The parts of the bench, each of which measures some rows.

- ``part``: the values that each part receives, and the form of a part.
- ``registry``: all parts, in their order; ``--only``, ``--quick`` and ``make bench`` read nothing else.
- ``requests``: requests by wrk, to all servers in turn.
- ``subscribers``: pushes to subscribers, and answers to long polls.
- ``memory``: of idle pollers, and of a crowd that comes and goes.
- ``ways``: the ways to follow livefeed: deltas, several items on a connection, bytes on the wire.
- ``workers``: livefeed in one process, and with workers.
"""
