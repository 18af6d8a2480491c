"""How the documentation is built: `make docs`, warnings as errors."""

project = "livefeed"
project_copyright = "2026 The livefeed authors"
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "alabaster"
nitpicky = True
