"""Files that outlive the process.

- ``journal``: the last versions of a document, in a file to which new ones are appended.
"""
