"""Files that outlive the process.

- ``audit``: one line for each command of an operator, in a file that only grows.
- ``audit_reading``: the last lines of the audit.
- ``desk_file``: the decisions of an operator about a feed, in a file that is replaced in one step.
- ``earlier_journal``: reads the files of versions of earlier releases.
- ``embargo_file``: the file with the embargoes of a feed.
- ``files``: the calls of the system that decide whether a write survives a crash.
- ``journal``: the last versions of a document, in a file to which new ones are appended.
- ``record_file``: reads a file of records, and tells how it ends.
- ``recorder``: writes a recording.
- ``recording``: the contents of a recording, and its versions from any time on.
- ``recording_time``: times in a recording, as people write them.
- ``refused``: the last documents that the gate or a rule has refused.
- ``ring``: the newest documents in a file of bounded size.
- ``shared_writes``: the queue in front of a store, by which writes share one sync.
- ``store``: the embedded store of a feed, in a file of durable writes.
"""
