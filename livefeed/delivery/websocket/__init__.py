"""WebSocket subscribers (RFC 6455).

- ``close_codes``: close codes, and the slots in which closed clients come back.
- ``connection``: a connection with limits, without feeds. The only module that imports Autobahn.
- ``handshake``: judges a request, and agrees on extension and subprotocol. Knows no Autobahn.
- ``outlets``: the frames that subscribers are sent, past Autobahn.
- ``subscribers``: the subscribers of a process. Imports Autobahn with the first of them.
- ``protocol``: the connection of a subscriber, which follows a feed or several items.
- ``resource``: the path at which WebSockets are opened.
"""
