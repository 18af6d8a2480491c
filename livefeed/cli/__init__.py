"""The command ``livefeed``.

- ``main``: its subcommands.
"""
