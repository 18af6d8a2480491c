"""The mutants: which changes are made, which are not, and that a seed stands for a sample."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.mutants import CORE, LEFT_OUT, ROOT, Mutant, mirror_of, modules_of, mutants_of, sample


def changes(source: str) -> list[tuple[str, str]]:
    """Gives the replaced texts, and their replacements."""
    return [(mutant.old, mutant.new) for mutant in mutants_of("feed/feed", source)]


class ChangeTests(SynchronousTestCase):
    def test_a_condition_is_negated(self) -> None:
        for source in ("if f(x): y", "while f(x): y", "y if f(x) else z", "[y for y in z if f(x)]"):
            self.assertEqual(changes(source), [("f(x)", "not (f(x))")])

    def test_a_negation_is_removed_once(self) -> None:
        self.assertEqual(changes("if not x: y"), [("not x", "(x)")])

    def test_boundaries_are_moved_and_conditions_with_them_negated(self) -> None:
        self.assertEqual(changes("if x < y: z"), [("x < y", "not (x < y)"), ("x < y", "x <= y")])

    def test_comparisons_are_turned_round(self) -> None:
        for one, other in (("==", "!="), ("is", "is not"), ("in", "not in")):
            self.assertEqual(changes(f"if x {one} y: z"), [(f"x {one} y", f"x {other} y")])
            self.assertEqual(changes(f"if x {other} y: z"), [(f"x {other} y", f"x {one} y")])

    def test_each_comparison_of_a_chain_is_swapped_by_itself(self) -> None:
        self.assertEqual(changes("x = 2 < y <= 3"), [("2 < y <= 3", "2 < y < 3"), ("2 < y <= 3", "2 <= y <= 3")])

    def test_and_and_or_are_swapped_and_stay_what_they_are_for_their_neighbours(self) -> None:
        self.assertEqual(changes("x = a or b and c"), [("a or b and c", "(a and (b and c))"), ("b and c", "(b or c)")])

    def test_constants_are_replaced(self) -> None:
        source = "x = (True, False, None, 0, 1, 7, 'True')"
        expected = [("True", "False"), ("False", "True"), ("None", "0"), ("0", "1"), ("1", "2")]
        self.assertEqual(changes(source), expected)

    def test_statements_with_an_effect_are_dropped(self) -> None:
        for statement in ("f(x)", "x.y = z", "x[y] = z", "x.y: int = z", "x += y", "del x[y]", "raise x"):
            self.assertEqual(changes(statement), [(statement, "pass")])
        for statement in ("break", "continue"):
            self.assertEqual(changes(f"for x in y:\n  {statement}"), [(statement, "pass")])
        self.assertEqual(changes("async def f():\n  await x\n  return"), [("await x", "pass"), ("return", "pass")])

    def test_a_name_that_is_set_stays(self) -> None:
        self.assertEqual(changes("x = y\nx: int = z\nreturn x"), [])


class LeftAloneTests(SynchronousTestCase):
    def test_types_stay(self) -> None:
        self.assertEqual(changes("def f(x: g(1), y: None = None) -> int | None: ..."), [])
        self.assertEqual(changes("class C:\n  x: Literal[1]\n  y: int | None = None"), [])
        self.assertEqual(changes("Kind = str | None"), [])

    def test_absences_that_nobody_looks_at_stay(self) -> None:
        self.assertEqual(changes("x = y.pop(z, None)"), [])
        self.assertEqual(changes("x[y] = None"), [("x[y] = None", "pass")])

    def test_a_default_that_is_no_absence_is_changed(self) -> None:
        self.assertEqual(changes("def f(*, x: bool = True): ..."), [("True", "False")])
        self.assertEqual(changes("class C:\n  x: bool = True"), [("True", "False")])

    def test_what_speaks_to_people_or_to_tools_stays(self) -> None:
        for source in (
            '"""A text."""',
            "_log.warn('x', y=not z)",
            "assert not x",
            "if TYPE_CHECKING:\n  f(1)",
            "def __repr__(self): return 1",
            "@dataclass(slots=True)\nclass C(b(1)): ...",
            "x: int = field(default=0, init=False)",
            "f'{not x}'",
        ):
            self.assertEqual(changes(source), [], source)


class MutantTests(SynchronousTestCase):
    def test_only_the_place_is_changed(self) -> None:
        source = "é = 'é'; x = f(\n    a  and\n    b)  # a comment\n"
        (mutant,) = mutants_of("feed/feed", source)
        self.assertEqual(mutant.apply(source), "é = 'é'; x = f(\n    (a or b))  # a comment\n")
        self.assertEqual(str(mutant), "livefeed/feed/feed.py:2: a and b  ->  (a or b)")

    def test_a_short_text_is_shown_with_its_line(self) -> None:
        (mutant,) = mutants_of("feed/feed", "x = (\n    1,  # which\n)")
        self.assertEqual(str(mutant), "livefeed/feed/feed.py:2: 1  ->  2  in  1,  # which")

    def test_each_mutant_of_the_core_can_be_compiled_and_differs_from_the_source(self) -> None:
        for module in ("feed/feed", "transport/rooms"):
            source = (ROOT / "livefeed" / f"{module}.py").read_text("utf-8")
            for mutant in mutants_of(module, source):
                changed = mutant.apply(source)
                self.assertNotEqual(changed, source)
                compile(changed, str(mutant), "exec")


class SampleTests(SynchronousTestCase):
    def test_each_module_of_the_core_has_tests_that_mirror_it(self) -> None:
        self.assertEqual(str(mirror_of("feed/parts")), "tests/feed/test_parts.py")
        self.assertEqual([module for module in CORE if not (ROOT / mirror_of(module)).exists()], [])

    def test_a_seed_stands_for_a_sample(self) -> None:
        first, second = (sample(("document/gate", "document/pointer"), 9, 5) for _ in range(2))
        self.assertEqual(first, second)
        self.assertEqual(len(set(first)), 9)

    def test_another_seed_samples_others(self) -> None:
        samples = {tuple(sample(("document/gate", "document/pointer"), 5, seed)) for seed in range(5)}
        self.assertGreater(len(samples), 1)

    def test_no_count_or_more_than_there_are_gives_all(self) -> None:
        everything: list[Mutant] = sample(("document/gate",), 0, 1)
        self.assertEqual(sample(("document/gate",), 10_000, 1), everything)
        self.assertGreater(len(everything), 5)


class CoreTests(SynchronousTestCase):
    def test_modules_with_tests_of_their_own(self) -> None:
        """A module that is split stays in the core, as long as each piece has its tests; the others are left out."""
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory)
            for name in ("livefeed/feed/feed", "livefeed/feed/fanout", "livefeed/feed/interfaces", "livefeed/clocks"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / f"{name}.py").write_text("")
            for name in ("tests/feed/test_feed", "tests/feed/test_fanout", "tests/test_clocks"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / f"{name}.py").write_text("")
            self.assertEqual(modules_of(root), ("feed/fanout", "feed/feed", "clocks"))

    def test_modules_that_are_left_out_exist(self) -> None:
        """The list must not keep the names of removed modules."""
        self.assertEqual([module for module in LEFT_OUT if not (ROOT / "livefeed" / f"{module}.py").exists()], [])
