"""The fast transport: bytes of many connections of one small answer each, with TLS or without, on Twisted's reactor.

Nothing here knows HTTP. Endpoints of plug-ins that end TLS above a plain connection need neither ``tls_connection`` nor
``answer``.

- ``address_limits``: new connections per second of each address, and the connections that are refused.
- ``addresses``: addresses as numbers, the address under which clients count, and networks.
- ``answer``: answers as bytes that are written again.
- ``closing``: the ends of a connection, and its deadline.
- ``connection``: one connection, which a protocol writes to, and the answers that are repeated in its place.
- ``connection_state``: the state of a connection, with the client's address; closing, writing, reading and connection
  build on it in this order.
- ``endpoint``: the part of a reactor that Twisted's server endpoints listen with.
- ``groups``: connections that are written the same data.
- ``interfaces``: the requirements of these modules and of ``web`` on each other.
- ``limits``: the limits of a pool, and the number of connections that follows from them.
- ``listeners``: the sockets that listen, and the rate at which they accept.
- ``logged``: connections for an access log.
- ``peer``: the client's address, packed into 32 bytes.
- ``pool``: all connections of a process in one epoll.
- ``proxy_header``: the PROXY header in front of a connection.
- ``reading``: data that comes in, and the end of the client's side.
- ``rooms``: requests that wait for the same answer.
- ``sockets``: addresses and options of a socket.
- ``tls_connection``: a connection with TLS, and groups of them.
- ``traffic``: the bytes that connections send and receive, as the kernel counts them.
- ``unreported``: connections with data that OpenSSL has, and the kernel does not report.
- ``writing``: data that goes out, and its producers.
"""
