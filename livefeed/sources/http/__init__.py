"""``https://`` and ``http://``: a document of an HTTP origin.

- ``address``: the URL, its options, and the files that they name.
- ``caching``: how long an answer is fresh, and how it is validated.
- ``limits``: connections and bodies that stop at a size.
- ``source``: the source that is made of these.
"""

from livefeed.sources.http.source import HttpSource

__all__ = ["HttpSource"]
