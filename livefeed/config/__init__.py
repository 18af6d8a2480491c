"""The settings.

- ``layers``: the file, the environment and the command line, and which of them counts.
- ``settings``: the settings as typed values, checked once.
"""
