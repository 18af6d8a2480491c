"""How the documentation is built: `make docs`, warnings as errors."""

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "livefeed"
project_copyright = "2026 The livefeed authors"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
autodoc_typehints_format = "short"
myst_heading_anchors = 3
html_theme = "alabaster"
nitpicky = True
# Types of other projects are described on other hosts, which the build does not ask.
nitpick_ignore_regex = [("py:.*", ".*")]


def setup(app: Sphinx) -> None:
    """Names the languages that Pygments does not know, and that are shown as they are."""
    app.add_lexer("haproxy", TextLexer)
