"""The fast transport: many connections of one small answer, TLS or not, on Twisted's reactor.

``pool`` holds the sockets, ``connection`` is what a protocol writes to, ``tls`` the same with TLS, ``openssl`` the two
calls that cost most, ``sockets`` what a socket can be asked and told, ``replay`` the answers that twisted.web has given
and that are given again, ``endpoint`` what listens. Endpoints of plug-ins that end TLS above a plain connection do
without ``tls`` and ``replay``.
"""
