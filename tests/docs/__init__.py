"""Runs every command and every block of code of the documentation: ``make test-docs``.

marks         what a comment in front of a block says about it
blocks        the blocks, marks and preparations of a page of Markdown, or of a docstring
sessions      the commands of a console session, and the output that it shows of each
comparing     whether output is what a page shows, and the difference
machine       namespaces of a page's own: network, file systems, processes
shell         the shell of a page
page          the state of a page while it is run: shell, folder, and what it needs
languages     what is done with a block, by its language
visiting      a browser in a page's machine: the command ``visit``
interpreter   the Python namespace of a page, in the machine
pages         the files that are run, and the count of their blocks
plugin        pytest runs the pages, each block as an item

CONTRIBUTING.md describes the notation.
"""
