"""OpenSSL, certificates and their checks; connections are in ``transport``.

- ``development``: a certificate authority for trying livefeed out on one machine.
- ``files``: PEM files, read from disk or given by another process.
- ``folder``: ``tls:FOLDER``, certificates that are chosen by the name in the handshake.
- ``handshake_cost``: the processor time of a handshake, measured at the start.
- ``openssl``: reading and writing TLS with as few calls as possible.
- ``options``: the options of server contexts, ALPN, and the dates of certificates.
- ``reloading``: the certificates of an endpoint, which can be replaced while it listens.
- ``symbols``: the address of a function in a library that is loaded.
- ``tickets``: the key of the session tickets, which all contexts share.
"""
