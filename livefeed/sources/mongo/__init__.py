"""``mongodb://``: one document of MongoDB, or the result of a query. It needs pymongo, by the extra ``mongo``.

- ``changes``: following a change stream, in a thread.
- ``client``: making pymongo's client, and putting its errors in words.
- ``documents``: from BSON to JSON.
- ``source``: the source that is made of these.
- ``url``: the URL, read into its parts.
"""
