"""WebSocket subscribers (RFC 6455).

- ``close_codes``: close codes, and the slots in which closed clients come back.
- ``handshake``: judges a request, and agrees on extension and subprotocol. Knows no Autobahn.
- ``outlets``: the frames that subscribers are sent, past Autobahn.
- ``protocol``: the connection. The only module that imports Autobahn.
- ``resource``: the path at which WebSockets are opened.
"""
