"""The parts of the bench, each of which measures some rows.

- ``part``: the values that each part receives, and the form of a part.
- ``registry``: all parts, in their order; ``--only``, ``--quick`` and ``make bench`` read nothing else.
- ``requests``: requests by wrk, to all servers in turn.
- ``connecting``: clients that come: full handshakes, WebSockets, event streams.
- ``pollers``: many clients that ask once a second each.
- ``subscribers``: pushes to subscribers by WebSocket and as events, also of large documents, and answers to long polls.
- ``idle``: crowds that follow a document that does not change.
- ``rest``: a process without clients, and livefeed with many feeds that change.
- ``memory``: of idle pollers, and of a crowd that comes and goes.
- ``ways``: the ways to follow livefeed: deltas, several items on a connection, bytes on the wire.
- ``claims``: livefeed with other pages, another Python, another OpenSSL.
- ``workers``: livefeed in one process, and with workers.
"""
