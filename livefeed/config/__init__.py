"""The settings.

- ``layers``: the file, the environment and the command line, and which of them counts.
- ``lines``: the lines of a TOML file on which its keys stand.
- ``protection``: the rules for the settings that protect a feed.
- ``rule_settings``: the tables of a feed's rules, and the schemas that these name.
- ``settings``: the settings as typed values, checked once.
"""
