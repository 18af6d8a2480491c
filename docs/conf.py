"""How the documentation is built: `make docs`, warnings as errors."""

import msgspec
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

from livefeed.planning.figures import Figures
from livefeed.planning.model import Model

project = "livefeed"
project_copyright = "2026 The livefeed authors"
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "alabaster"
nitpicky = True
html_static_path = ["_static"]


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
    app.connect("html-page-context", add_calculator)
