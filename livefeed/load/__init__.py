"""The load tester: many watchers in a few processes, and their figures. It measures any server; Twisted is not needed.

- ``addresses``: the target, and the addresses of this machine that connections leave from.
- ``answers``: the answers of HTTP/1, read as little as they need.
- ``bodies``: the content of answers that are read as they come.
- ``clock``: the clock of the server, estimated from its answers.
- ``documents``: the versions that a process has seen: their content, their times, and how late watchers had them.
- ``event_stream``: server-sent events.
- ``figures``: what is counted, in a process and for all.
- ``fleet``: the processes of a run, as the command sees them.
- ``frames``: the frames of WebSockets.
- ``handshake``: the handshake of a WebSocket.
- ``histogram``: durations in a fixed amount of memory.
- ``kinds``: the kinds of watchers, and mixes of them.
- ``limits``: open files and ports.
- ``line``: a connection that never blocks, with or without TLS.
- ``loop``: the descriptors and the timers of a process.
- ``messages``: the messages of watchers that follow by deltas.
- ``plan``: the task of a process.
- ``plot``: the figures as a picture.
- ``poller``: watchers that ask for the document. Its hot path decides how much load a core makes.
- ``probe``: the first request, before there is any load.
- ``requests``: the requests, made once.
- ``run``: the watchers of one process.
- ``subscriber``: watchers that are sent the document.
- ``summary``: the figures as one value, for JSON.
- ``thresholds``: the limits that make a run fail.
- ``watcher``: what all watchers do: connect, fail, come back.
- ``worker``: the process of a share of the watchers.
"""
