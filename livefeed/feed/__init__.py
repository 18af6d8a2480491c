"""The newest version of a document and its subscriptions. Nothing here knows a transport.

- ``believed_clock``: the wall clock, which is believed after a minute if it was set forwards.
- ``demand``: the content codings in which clients ask for a document.
- ``embargo_effects``: stores the document of an embargo, or ends a hold.
- ``embargo_keeping``: writes embargoes, and the lines of the audit about them.
- ``embargoes``: stores documents, and ends holds, at the times that operators have given.
- ``fanout``: the pushes to all subscriptions, in batches and slices.
- ``feed``: the versions of a document, replicas of feeds, and the beginning of subscriptions.
- ``freshness``: how current a document is, how long it stays so, and why.
- ``notice``: all that the desk has watchers told about a feed, besides its document.
- ``parts``: parts of a document, each a feed of its own.
- ``persistence``: writes a feed's versions into the journal, and restores them at the start.
- ``picture``: everything that decides about a feed, for feeds of other processes.
- ``signer``: the requirements of a feed on the signer of its statements.
- ``state``: the states of a feed, and the decisions of an operator.
- ``subscription``: the link between a feed and one subscriber, which owes the newest version at most.
- ``tally``: counts of watchers that were disconnected or refused, by reason.
- ``trace``: when the last versions were pulled, checked, published and delivered.
- ``transitions``: the changes of a feed's state by ticks, failed pulls, decisions and time.
"""
