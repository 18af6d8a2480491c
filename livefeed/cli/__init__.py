"""The command ``livefeed``.

- ``certs``: the subcommand that makes development certificates.
- ``changes``: the differences between two versions, and the lines of a document.
- ``check``: the subcommand that does all checks of a start.
- ``ctl``: the subcommand that talks to a running livefeed: its options, and its exit codes.
- ``desk_commands``: the commands of ``livefeed ctl`` that decide which document watchers see.
- ``desk_text``: the text about decisions, waiting documents and alarms.
- ``main``: the choice of the subcommand, errors and exit codes.
- ``operator_client``: requests to the operator's socket, and the search for it.
- ``operator_options``: the options and exit codes of the commands for the operator's port.
- ``overlay_commands``: the command ``livefeed ctl overlay``.
- ``overlay_text``: the text about overlaid values.
- ``publish``: the subcommand that stores a document in a feed, once or after each change of a file.
- ``screen``: the screen of ``livefeed watch``.
- ``serve``: the subcommand that serves a document in the foreground.
- ``status_text``: the text of ``livefeed ctl status``.
- ``tables``: aligned columns, colours, and escaped characters.
- ``times``: durations and points in time on the command line.
- ``trace_text``: the text of ``livefeed ctl trace``.
- ``tried_document``: the part of ``livefeed check`` that tries a document on the rules of a feed.
- ``until``: conditions on a document.
- ``watch``: the subcommand that shows a document as it changes.
"""
