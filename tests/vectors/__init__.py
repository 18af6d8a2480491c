"""The contract for clients in other languages: ``vectors.json``, and the program that makes it.

``python -m tests.vectors`` writes the file anew.

- ``documents``: documents, splices and patches.
- ``layout``: the text of the file.
- ``messages``: messages, and the items that a client shows after them.
- ``slots``: the times after which a client comes back.
"""
