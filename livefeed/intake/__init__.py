"""The tick: from the bytes of a source to a snapshot, and the desk, which decides what is shown.

- ``archive``: the earlier versions that can be shown again.
- ``candidates``: the documents that were pulled: which wait, and why a rule refuses them.
- ``deciding``: the decision in force, which holds candidates back.
- ``desk``: the commands of an operator about one feed.
- ``desk_report``: the reports about a desk.
- ``enacting``: changes of the decision: a command is planned, made durable, and put into effect.
- ``fetching``: the fetches of a source, each with a limited time.
- ``keeping``: decisions on their way to the disk, with their lines in the audit.
- ``making``: documents as snapshots, made in a thread if they are large.
- ``overlay``: an editor's values, put into each document of the source.
- ``overlaying``: the command that changes the overlay, and its effect.
- ``puller``: asks the source at each tick, asks the gate and the desk, and publishes.
- ``refused``: the documents that the gate or a rule has refused, on their way to the disk.
- ``stored_past``: the documents in the store of a feed, as earlier versions.
- ``timed_release``: the end of a hold at a time.
- ``waiting``: the values of candidates that wait, and of alarms.
"""
