"""The reference: the tables of the documentation that are made of the code.

- ``__main__``: ``make reference``, which writes the parts of all pages anew.
- ``pages``: the pages, and the names of their parts.
- ``tables``: tables in Markdown, with links that lead from the page to another one.
- ``problems``: the types of problems, and the statuses of answers.
- ``settings``: the settings, and the most important ones for README.
- ``options``: the options of the commands.
- ``metrics``: the metrics.
- ``wire``: close codes, states, and the members of messages.
- ``javascript``: everything that the declarations of the client for JavaScript export.
- ``log_lines``: the log lines, as the code writes them, with their meaning from ``docs/reference/log-lines.toml``.
"""
