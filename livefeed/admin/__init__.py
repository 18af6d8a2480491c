"""The operator's port: metrics, health, status and commands, apart from the watchers.

- ``access``: the token, the host and the origin of a request.
- ``auditing``: the command that gives the last commands of all operators.
- ``caller``: the name of the operator behind a request.
- ``commands``: the commands, which other parts register.
- ``contents``: the documents that arrive as content, bounded in memory.
- ``curves``: watchers, deliveries and delays of the last minutes, for the page.
- ``desk``: the commands of the desks, and the documents that are shown and that wait.
- ``desk_page``: the page of the desk, whose files everybody may load.
- ``embargoes``: documents that are set aside for a time, and the commands about them.
- ``exposition``: all samples in the format of Prometheus, with its library.
- ``health``: live and ready.
- ``metrics``: the samples of this process, and the resource of all samples.
- ``playback``: the command that pauses, seeks and speeds up a recording.
- ``publish``: the stored documents of feeds, which publishers read, write and change.
- ``publish_edits``: conditions, replacement, patches and deletion of a stored document.
- ``reports``: answers in JSON that no cache keeps.
- ``samples``: values of metrics that processes can send to each other, and what their names mean.
- ``site``: the connections, the access to all paths, and requests that run commands.
- ``socket``: the operator's socket in the runtime directory.
- ``status``: the report about the process and its feeds.
- ``strictness``: refuses a document to a publisher who does not want it held back.
- ``totals``: the samples of all processes together.
- ``tracing``: the command that shows when a version was pulled, published and delivered.
"""
