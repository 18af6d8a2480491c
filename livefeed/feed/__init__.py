"""The newest version of a document and its subscriptions. Nothing here knows a transport.

- ``fanout``: the pushes to all subscriptions, in batches and slices.
- ``feed``: the newest snapshot, and how current it is.
- ``parts``: parts of a document, each a feed of its own.
- ``persistence``: writes a feed's versions into the journal, and restores them at the start.
- ``subscription``: the link between a feed and one subscriber, which owes the newest version at most.
- ``tally``: counts of watchers that were disconnected or refused, by reason.
- ``trace``: when the last versions were pulled, checked, published and delivered.
"""
