"""Pure functions on a document's bytes: no Twisted, no clock, no I/O. The same bytes give the same result everywhere.

- ``codings``: compression in the content codings and for WebSocket messages.
- ``comparisons``: the checks that compare values with those of the document that is shown.
- ``diff``: patches (RFC 6902) from one version to another.
- ``exact_json``: JSON whose numbers stay exact.
- ``exact_numbers``: numbers that are compared and subtracted without rounding.
- ``gate``: the checks that a document must pass.
- ``history``: the last versions, and the patches from them to the newest one.
- ``json_schema``: the check of a document by a JSON Schema.
- ``matches``: the values that selectors find in a document.
- ``merge_patch``: applies merge patches (RFC 7396).
- ``overlaid_pointers``: the pointers of these values, as messages list them.
- ``overlaid``: a document with an editor's values in place of those of the source.
- ``overlay``: the entries of an editor, and their limits.
- ``patch``: applies patches.
- ``pointer``: JSON Pointers (RFC 6901), and the bytes of the part that one names.
- ``recording``: the records of a recording, and the chain of their hashes.
- ``requirements``: the checks that look at values of one document alone.
- ``rule_checks``: the interface of checks, the refusals that they give, and the text of these.
- ``rules``: the rules of a feed, and what they say about a document.
- ``selectors``: JSON Pointers that may name several values, and elements of arrays by a member.
- ``snapshot``: one version, with everything that is computed from it.
- ``splices``: copies of bytes from one version to another, with text in between, and how they are applied.
- ``stored_version``: one version as it is stored in a file.
- ``stored_write``: one write of the embedded store, as it is stored in a file.
- ``timestamps``: times and durations as text.
- ``value_spans``: the places of values in the bytes of a document.
"""
