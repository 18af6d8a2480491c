"""The client: follows one feed, or one part of it. Twisted is needed by one front end alone.

- ``actions``: the actions that a client wants to be performed.
- ``address``: the URLs of a feed that are made of the one that a user gives.
- ``answers``: the answers to polls, and their fields.
- ``asyncio``: the front end for asyncio, an iterator.
- ``driver``: the work that both front ends share.
- ``failures``: the reasons why a server cannot be reached, as text.
- ``feed_list``: the list of the feeds of a livefeed.
- ``http``: requests for a document, in a thread.
- ``items``: the documents that a client holds, and the messages that change them.
- ``messages``: the messages of ``livefeed.delta.v2``.
- ``protocol``: the decisions of a client, without input and output: when it connects, polls, waits and stops.
- ``tls``: TLS by the standard library, without input and output.
- ``token``: the token with which a client asks for a protected feed.
- ``trust``: the public keys that a user trusts.
- ``twisted``: the front end for Twisted, a service.
- ``update``: the values that a user of the client receives.
- ``verification``: the verification of signed statements.
- ``websocket``: a WebSocket, without input and output.
"""
