"""How the documentation is built: `make docs`, warnings as errors."""

import msgspec
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

from livefeed import __version__
from livefeed.planning.figures import Figures
from livefeed.planning.model import Model

project = "livefeed"
project_copyright = "2026 The livefeed authors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence"]
autodoc_typehints_format = "short"
myst_heading_anchors = 3
nitpicky = True
# Types of other projects are described on other hosts, which the build does not ask.
nitpick_ignore_regex = [("py:.*", ".*")]

html_theme = "furo"
html_title = f"livefeed {__version__}"
html_static_path = ["_static"]
html_css_files = ["livefeed.css"]
html_favicon = "_static/favicon.svg"
html_show_sphinx = False
# Nothing here is loaded from another host, and nothing depends on the day of the build.
html_copy_source = False
html_show_sourcelink = False
html_last_updated_fmt = None
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#2f5d8c", "color-brand-content": "#1f5f9e"},
    "dark_css_variables": {"color-brand-primary": "#9cc4ec", "color-brand-content": "#7fb4e8"},
    "navigation_with_keys": True,
    "top_of_page_buttons": [],
}

CALCULATOR = "reference/calculator"


def add_calculator(app: Sphinx, page: str, template: str, context: dict[str, object], doctree: object) -> None:
    """Adds the calculator, with the figures of the benchmarks, to its page, which then works from a disk."""
    if page == CALCULATOR:
        model = msgspec.json.encode(Model.of(Figures.read())).decode()
        app.add_js_file(None, body=f"window.livefeedModel = {model};")
        app.add_js_file("calculator.js")
        app.add_css_file("calculator.css")


def setup(app: Sphinx) -> None:
    """Names the languages that Pygments does not know, and that are shown as they are."""
    app.add_lexer("haproxy", TextLexer)
    app.add_lexer("caddyfile", TextLexer)
    app.connect("html-page-context", add_calculator)
