"""Files that outlive the process.

- ``journal``: the last versions of a document, in one file that is appended to.
"""
