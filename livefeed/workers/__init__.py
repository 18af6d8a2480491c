"""Several processes: a parent that pulls, and workers that hold the connections. The link connects them.

- ``allowance``: the number of messages that the parent takes from a worker in a time. No I/O.
- ``broadcast``: the parent's feeds, for the workers: each change of a feed is sent over all links.
- ``canary``: a client that shows that a worker serves the newest version.
- ``channel``: the channel between two parents during an upgrade, and the offer that comes over it.
- ``configuration``: the settings on their way to the workers, without secrets.
- ``earlier``: the workers of earlier generations, which are sent away after an upgrade.
- ``feed_events``: the changes of a feed as messages. No I/O.
- ``feeds``: the feeds of a worker, which follow those of the parent.
- ``following``: the feeds of a new parent before it pulls.
- ``leases``: divides the places of limited feeds among the workers. No I/O.
- ``left_over``: tells of the workers that an ended parent has left behind.
- ``link``: the link as a Twisted protocol: a server in the parent, a client in each worker.
- ``locks``: the locks by which a parent finds the workers of earlier ones.
- ``messages``: the messages of the link as bytes. No I/O.
- ``parent``: connects processes, links, sockets and canaries, and finds the workers of an earlier parent.
- ``processes``: starts, signals and finds processes, and notices their end.
- ``recall``: has a new parent take the newest versions from its workers, before it pulls.
- ``releasing``: has the workers send their watchers away during a drain, and adds up their reports.
- ``sockets``: the listening sockets, which the parent binds and keeps, and on which the workers accept.
- ``succeeding``: the new parent of an upgrade, until it has taken over.
- ``succession``: the messages between two parents. No I/O.
- ``supervisor``: starts the workers, replaces dead ones, and kills those that hang.
- ``upgrade``: the old parent of an upgrade: it starts the new program, and hands over to it.
- ``worker``: the process of a worker.
- ``worker_log``: the log of a worker, which goes to the parent.
"""
