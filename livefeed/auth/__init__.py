"""The tokens with which watchers read a protected feed, and the keys that tokens are checked with.

Where a request has its token is in ``livefeed.web.credentials``, and the ways to deny one in
``livefeed.delivery.guard``.

- ``fetching``: the keys at a URL, fetched in a thread.
- ``grants``: the result of a check: a grant with its end, or the reason of a refusal.
- ``keys``: public keys, as PEM or JWKs. It needs the extra ``auth``.
- ``material``: the tokens and keys in use, and those that were read.
- ``signed``: the check of a signed token, a JWT. It needs the extra ``auth``.
- ``tokens``: a file of tokens, of which only hashes are kept.
- ``verifiers``: the check of a token of one feed, by its settings.
"""
