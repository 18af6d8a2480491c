"""How the documentation is built: `make docs`, warnings as errors."""

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "livefeed"
project_copyright = "2026 The livefeed authors"
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "alabaster"
nitpicky = True


def setup(app: Sphinx) -> None:
    """Names the languages that Pygments does not know, and that are shown as they are."""
    app.add_lexer("haproxy", TextLexer)
    app.add_lexer("caddyfile", TextLexer)
