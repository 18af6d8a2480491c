"""The newest version of a document and its subscriptions. Nothing here knows a transport.

- ``feed``: the newest snapshot, its state, and the subscriptions.
- ``parts``: parts of a document, each a feed of its own.
- ``persistence``: writes a feed's versions into the journal, and restores them at the start.
"""
