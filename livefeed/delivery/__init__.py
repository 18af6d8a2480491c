"""All ways to follow a feed.

- ``delivery``: the ways of one feed, or of one part, together.
- ``document``: the document itself, by GET, and the choice among the other ways.
- ``events``: server-sent events.
- ``feed_resource``: the base of a feed's resources, with the parts of the document below them.
- ``flow_control``: the pace of a subscriber's reader.
- ``framing``: events, chunks and WebSocket frames, each made once for a snapshot.
- ``heartbeats``: signs of life for many subscribers, by one timer.
- ``long_polls``: requests that wait for the next version.
- ``messages``: the messages of the subprotocol ``livefeed.delta.v1``.
- ``pages``: the pages for people, and the tree of all paths.
- ``published_feed``: everything that is served of one feed.
- ``transports``: the capabilities that delivery requires of transports.
- ``websocket``: WebSocket subscribers.
"""
