"""The gate of coverage: the comparison with the table, which only rises. ``make coverage`` itself measures."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.coverage_by_module import ROOT, TABLE, Table, has_logic, mirror_of, modules_under


class ModuleTests(SynchronousTestCase):
    def test_logic(self) -> None:
        """A function with a body counts as logic, at any depth, and nothing else does."""
        self.assertTrue(has_logic('"""A."""\nclass A:\n    async def a(self):\n        return 1\n'))
        self.assertFalse(has_logic('class A(Protocol):\n    def a(self): ...\n    def b(self):\n        """B."""\n'))
        self.assertFalse(has_logic("class A:\n    def a(self):\n        raise NotImplementedError\n"))
        self.assertFalse(has_logic('"""A."""\nimport a\nB = 1\nclass C(a.A):\n    """C."""\n'))

    def test_mirrors(self) -> None:
        """The folders are the same; the tests of a package are named after it."""
        for module, path in (
            ("clocks", "tests/test_clocks.py"),
            ("delivery/websocket/protocol", "tests/delivery/websocket/test_protocol.py"),
            ("sources/__init__", "tests/sources/test_sources.py"),
        ):
            self.assertEqual(mirror_of(module), Path(path))

    def test_modules(self) -> None:
        """All that have logic are found."""
        modules = modules_under(ROOT)
        self.assertEqual(modules, sorted(modules))
        self.assertLessEqual({"clocks", "feed/feed", "delivery/websocket/protocol"}, set(modules))
        self.assertFalse({"__init__", "document/__init__"} & set(modules))


class TableTests(SynchronousTestCase):
    TABLE = Table({"a": 90, "b/c": 100, "gone": 50}, {"d"})

    def test_written_and_read(self) -> None:
        """The file holds the written table, in order."""
        self.assertEqual(Table.parse(str(self.TABLE)), self.TABLE)
        self.assertEqual(Table.parse(str(Table())), Table())
        committed = TABLE.read_text("utf-8")
        self.assertEqual(str(Table.parse(committed)), committed)

    def test_complaints(self) -> None:
        """A module below its entry, one without an entry, and one that has lost its tests."""
        self.assertEqual(self.TABLE.complaints({"a": 90.0, "b/c": 100.0}, ["d"]), [])
        self.assertEqual(
            self.TABLE.complaints({"a": 89.99, "e": 100.0}, ["d", "b/c"]),
            ["a must reach 90 %", "e has no entry", "b/c has no tests/b/test_c.py"],
        )

    def test_raised(self) -> None:
        """Entries never fall, are rounded down, and go with their module; an unmeasured module keeps its entry."""
        raised = self.TABLE.raised({"a": 89.0, "d": 66.7}, ["e"], ["a", "b/c", "d", "e"])
        self.assertEqual(raised, Table({"a": 90, "b/c": 100, "d": 66}, {"e"}))
        self.assertEqual(self.TABLE.raised({"a": 95.5}, [], ["a"]).percent, {"a": 95})
