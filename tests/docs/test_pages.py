"""The pages of this repository, and the count of their blocks."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.blocks import Block
from tests.docs.languages import fault_of
from tests.docs.machine import ROOT
from tests.docs.pages import count, pages, parts_in

PAGE = """\
```console
$ a
1
$ b
```

<!-- run: parse -->
```sh
a
```

```sh
# a comment
a
b
```

```json
1
```

<!-- tested: tests/a.py -->
```toml
x = 1
```

<!-- not run: a drawing -->
```text
/\\
```
"""


class RepositoryTests(SynchronousTestCase):
    def test_each_block_is_run_or_marked(self) -> None:
        """Each block of the documentation can be run, is run by another test, or says why it is not."""
        faults = [
            f"{page}:{part.first + 1}: {fault}"
            for path in pages()
            for page in [path.relative_to(ROOT).as_posix()]
            for part in parts_in(path)
            if isinstance(part, Block) and (fault := fault_of(part, page))
        ]
        self.assertEqual(faults, [])

    def test_pages(self) -> None:
        """README, the documentation and the clients are read, and the packages of others are not."""
        found = {path.relative_to(ROOT).as_posix() for path in pages()}
        self.assertLessEqual(
            {"README.md", "CONTRIBUTING.md", "docs/index.md", "clients/python/README.md", "livefeed/testing.py"}, found
        )
        self.assertFalse([name for name in found if "node_modules" in name or name.startswith("tests/")])


class CountTests(SynchronousTestCase):
    def test_count(self) -> None:
        """Blocks are counted by what is done with them, and commands one by one."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "page.md")
            path.write_text(PAGE)
            counted = count([path])
        self.assertEqual(counted.commands, 4)
        self.assertEqual(
            [*counted.lines()],
            [
                "   2 blocks run, with 4 commands: 1 console, 1 sh",
                "   2 read, or written into files: 1 sh, 1 json",
                "   1 run by other tests:",
                "        1  tests/a.py",
                "   1 not run:",
                "        1  a drawing",
            ],
        )
