"""WebSocket subscribers (RFC 6455).

- ``protocol``: the handshake and the connection. The only module that imports Autobahn.
- ``resource``: the path at which WebSockets are opened.
"""
