"""The fast transport: bytes of many connections of one small answer each, with TLS or without, on Twisted's reactor.

Nothing here knows HTTP. Endpoints of plug-ins that end TLS above a plain connection need neither ``tls_connection`` nor
``answer``.

- ``answer``: answers as bytes that are written again.
- ``connection``: one connection, which a protocol writes to, and the answers that are repeated in its place.
- ``endpoint``: the part of a reactor that Twisted's server endpoints listen with.
- ``interfaces``: the requirements of these modules and of ``web`` on each other.
- ``pool``: all connections of a process in one epoll, and its limits.
- ``rooms``: requests that wait for the same answer.
- ``sockets``: addresses and options of a socket.
- ``tls_connection``: a connection with TLS, and groups of them.
"""
