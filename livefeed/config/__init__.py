"""The settings.

- ``layers``: the file, the environment and the command line, and which of them counts.
- ``lines``: the lines of a TOML file on which its keys stand.
- ``settings``: the settings as typed values, checked once.
"""
