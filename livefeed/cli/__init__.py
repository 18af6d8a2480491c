"""The command ``livefeed``.

- ``certs``: the subcommand that makes development certificates.
- ``main``: the choice of the subcommand, errors and exit codes.
"""
