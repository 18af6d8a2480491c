"""All ways to follow a feed: how its snapshots reach the watchers.

- ``admissions``: the subscriptions that tokens have opened, and their end.
- ``delivery``: the ways in which one feed, or one part of a document, is followed.
- ``directory``: the items that one connection may follow: every feed, and every part of it.
- ``document``: the document itself, by GET, and the choice among the ways to follow it.
- ``document_content``: the content of the document's answers: a representation, a delta, or none.
- ``document_fields``: the fields of the document's answers; content, variants and document build on it in this order.
- ``document_variants``: the requests that one answer of the document is for.
- ``event_outlets``: the events that streams of documents are sent, alone and in groups.
- ``events``: server-sent events.
- ``feed_resource``: the base of a feed's resources, with the parts of the document below them.
- ``figures``: watchers, deliveries and delays of the last minutes, for everybody if the operator allows it.
- ``flow_control``: pauses a subscription while its reader is slow.
- ``framing``: events, chunks and WebSocket frames, each made once for a snapshot.
- ``guard``: decides which requests, and which items, may have a protected feed.
- ``heartbeats``: periodic signs of life for many subscribers, by one timer.
- ``item_messages``: the messages of the subprotocol ``livefeed.delta.v2``.
- ``items``: the items that one connection follows.
- ``keys``: the public keys by which statements are verified.
- ``long_polls``: requests that wait for the next version.
- ``messages``: the messages of the subprotocol ``livefeed.delta.v1``.
- ``pages``: the pages for people, and the list of feeds.
- ``published_feed``: everything that is served of one feed.
- ``root``: the tree of all paths, to which feeds are added and from which they are removed.
- ``scripts``: the client for pages, and the modules that it loads.
- ``transports``: the capabilities that delivery requires of transports.
- ``websocket``: WebSocket subscribers.
"""
