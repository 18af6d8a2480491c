"""The settings.

- ``layers``: the file, the environment and the command line, and which of them counts.
- ``lines``: the lines of a TOML file on which its keys stand.
- ``protection``: the rules for the settings that protect a feed.
- ``rule_settings``: the tables of a feed's rules, and the schemas that these name.
- ``setting_texts``: the help, the allowed values and the meaning of each setting.
- ``settings``: the settings as typed values, checked once.
"""
