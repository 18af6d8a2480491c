"""WebSocket subscribers (RFC 6455).

- ``agreement``: the agreement of a handshake, and its answer.
- ``close_codes``: close codes, and the slots in which closed clients come back.
- ``connection``: Autobahn, with limits, for clients that send more than pongs. The only module that imports it.
- ``framed``: a connection without feeds: pongs, close frames, limits. Autobahn takes over at any other frame.
- ``handshake``: judges a request, and agrees on extension and subprotocol. Knows no Autobahn.
- ``outlets``: the frames that subscribers are sent, past Autobahn.
- ``protocol``: the connection of a subscriber, which follows a feed or several items.
- ``resource``: the path at which WebSockets are opened.
"""
