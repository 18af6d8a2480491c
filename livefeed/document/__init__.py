"""Pure functions on a document's bytes: no Twisted, no clock, no input or output.

- ``codings``: compression, and the choice of a content coding.
- ``diff``: patches (RFC 6902) from one version to another.
- ``exact_json``: JSON whose numbers stay exact.
- ``gate``: the checks that a document must pass.
- ``history``: the last versions, and the patches from them to the newest one.
- ``patch``: applying patches.
- ``pointer``: JSON Pointers (RFC 6901), and the bytes of the part that one names.
- ``snapshot``: one version, with everything that is computed from it.
- ``timestamps``: times as text.
"""
