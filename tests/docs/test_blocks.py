"""The blocks of pages and docstrings."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.blocks import Block, Preparation, docstring_blocks, parts_of
from tests.docs.marks import File, Hidden, Needs, NotRun, Run

PAGE = """\
# A page

<!-- needs: redis -->
<!-- run: exit 1 --> <!-- file: a.sh -->
```sh
false
```

- In a list:

  ```json
  {"a": 1}
  ```

~~~~python
'''
```
'''
~~~~

<!-- hidden
$ true

$ false
-->
<!-- bench: end -->

```{toctree}
start
```
"""


class PartsTests(SynchronousTestCase):
    def faults(self, text: str) -> list[tuple[int, str]]:
        return [(part.first, part.fault) for part in parts_of(text) if isinstance(part, Block) and part.fault]

    def test_page(self) -> None:
        """Blocks and preparations come in their order, with their lines and marks, and without the margin of a list."""
        self.assertEqual(
            parts_of(PAGE),
            [
                Preparation(Needs(("redis",)), 2, 3),
                Block("sh", "false\n", 4, 7, (Run(exit=1), File("a.sh"))),
                Block("json", '{"a": 1}\n', 10, 13),
                Block("python", "'''\n```\n'''\n", 14, 19),
                Preparation(Hidden("$ true\n\n$ false\n", Run()), 20, 25),
            ],
        )

    def test_directives(self) -> None:
        """Blocks in directives with prose are found; the content of other directives is Sphinx's."""
        text = "````{note}\nSee:\n\n```sh\ntrue\n```\n````\n\n```{literalinclude} a.yml\n```\n"
        self.assertEqual(parts_of(text), [Block("sh", "true\n", 3, 6)])

    def test_depth(self) -> None:
        """Directives are read to a limited depth."""
        text = "```sh\ntrue\n```\n"
        for level in range(6):
            fence = "`" * (level + 4)
            text = f"{fence}{{note}}\n{text}{fence}\n"
        self.assertEqual(parts_of(text), [])

    def test_faults(self) -> None:
        """Blocks without a language of their own, and marks that are not understood or belong to no block."""
        self.assertEqual(
            self.faults("Text:\n\n    indented\n"),
            [(2, "an indented block has no language: fence it, and name one")],
        )
        self.assertIn("use a plain fence", self.faults("```{code-block} sh\ntrue\n```\n")[0][1])
        self.assertIn("the mark is not understood: a page cannot need", self.faults("<!-- needs: fire -->\n")[0][1])
        for rest in ("Some text.\n\n```sh\ntrue\n```\n", "", "# A heading\n", "```{toctree}\nstart\n```\n"):
            self.assertEqual(self.faults(f"<!-- run: exit 1 -->\n\n{rest}"), [(0, "no block follows this mark")])


class DocstringTests(SynchronousTestCase):
    def test_examples(self) -> None:
        """Literal blocks of modules, classes and functions are found with their lines and marks."""
        source = '''\
"""A module.

.. not run: the form of a file

::

    name token

And::

    x = 1
"""

class A:
    """No example: a::b."""

    async def f(self):
        """Like this::

            await f()

            await g()

        and no further.
        """

def g(): ...
'''
        self.assertEqual(
            docstring_blocks(source),
            [
                Block("python", "name token\n", 5, 8, (NotRun("the form of a file"),)),
                Block("python", "x = 1\n", 9, 11),
                Block("python", "await f()\n\nawait g()\n", 18, 23),
            ],
        )

    def test_other_literals(self) -> None:
        """A value that stands alone is no docstring."""
        self.assertEqual(docstring_blocks("1\ndef f():\n    ...\n"), [])
