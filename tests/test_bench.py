"""The parts of the bench that count and compute."""

import json
import os
import tempfile
from argparse import ArgumentParser, Namespace
from collections import Counter
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, cast
from xml.etree import ElementTree as ET

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from livefeed.load.kinds import Kind
from tests.bench import page, report, standing
from tests.bench.clients import Demand, Ran, following
from tests.bench.deltas import documents_of
from tests.bench.items import path_of
from tests.bench.load import Measured, lua_of
from tests.bench.load_pages import PAGE, replaced
from tests.bench.load_testers import OURS as OUR_TESTER
from tests.bench.load_testers import WRK, Row
from tests.bench.load_testers import table as table_of_testers
from tests.bench.parts import claims, requests, workers
from tests.bench.peers.server import Server
from tests.bench.preparing import DOCUMENT_BYTES, check_options, document_of, padded
from tests.bench.results import (
    BY_SPLICES,
    FIVE_ITEMS,
    FULL_HANDSHAKE,
    MANY_FEEDS,
    ONE_ITEM,
    OURS,
    Found,
    Kept,
    Rest,
    deltas_title,
    idle_title,
    items_title,
)
from tests.bench.tables import table
from tests.bench.transports import COLUMNS
from tests.bench.transports import Row as Transport
from tests.bench.transports import table as table_of_transports
from tests.bench.turns import last_delivery, rotated, rows_in_turn

if TYPE_CHECKING:
    from tests.bench.peers.server import Setting

NCHAN = "nginx + nchan"


class ClientsTests(SynchronousTestCase):
    """The clients that are asked for, and what they tell."""

    def test_options_are_those_of_the_program(self) -> None:
        """Truth is in small letters, and times have a unit."""
        demand = Demand("poll", "request", "/feed", 7, fields="A: b\r\n", whole=9, every_s=0.5, condition=True)
        self.assertEqual(
            demand.options(443),
            [
                "-address=127.0.0.1:443", "-way=poll", "-kind=request", "-path=/feed", "-count=7", "-fields=A: b\r\n",
                "-whole=9", "-every=0.5s", "-condition=true", "-plain=false",
            ],
        )  # fmt: skip

    def test_moments_are_those_of_the_clock(self) -> None:
        """Each document has the time at which it was complete; some may be from before the run."""
        line = (
            b'{"seconds": 2, "began": 100, "count": 4, "errors": 0, "error": "", "bytes": 9, "p50_ms": 0, "p99_ms": 0,'
            b' "max_ms": 0, "late_p99_ms": 0, "moments": [[-5000, 1], [20, 3]]}'
        )
        done = msgspec.json.decode(line, type=Ran).done()
        for at, wanted in zip(done, [99.5, 100.002, 100.002, 100.002], strict=True):
            self.assertAlmostEqual(at, wanted)

    def test_each_kind_of_subscriber_has_a_path(self) -> None:
        """Those that wait say so, and send the validators of the answer before."""
        server = Server("a", cast("Setting", None))
        self.assertEqual(following(server, "events", 7, whole=9).path, "/feed.sse")
        waiting = following(server, "request", 7, whole=9, fields="A: b\r\n")
        self.assertEqual((waiting.fields, waiting.condition), ("A: b\r\nPrefer: wait=50\r\n", True))

    def test_documents_have_their_size(self) -> None:
        """They are JSON, with as many rows as fit."""
        for size in (1000, 20_000, 100_000):
            document = document_of(size)
            self.assertEqual(len(document), size)
            self.assertGreater(len(msgspec.json.decode(document)["rows"]), size // 100)
            self.assertLess(len(document) - len(document.rstrip()), 100)


class RequestsTests(SynchronousTestCase):
    """The requests that wrk makes."""

    def test_equal_requests_are_made_once(self) -> None:
        """wrk is faster so."""
        self.assertEqual(lua_of({"Host": "a"}), "wrk.headers = {['Host'] = 'a'}")

    def test_numbers_are_those_of_each_request(self) -> None:
        """In the path as in the fields. No run begins with the number of another."""
        script = lua_of({"Host": "a", "Cookie": "b={n}", "If-None-Match": '"{n}"'}, "/feed?t={n}")
        self.assertIn("'/feed?t=' .. n, ", script)
        self.assertIn("['Host'] = 'a', ['Cookie'] = 'b=' .. n, ['If-None-Match'] = '\"' .. n .. '\"'", script)
        self.assertNotEqual(script, lua_of({"Host": "a", "Cookie": "b={n}"}))

    def test_a_path_that_differs_is_enough(self) -> None:
        """The fields may be the same."""
        self.assertIn("'/feed?t=' .. n, {['Host'] = 'a'}", lua_of({"Host": "a"}, "/feed?t={n}"))

    def test_documents_have_their_size(self) -> None:
        """They are objects, and the same ones in each run."""
        for row in requests.ROWS:
            document = document_of(row.size)
            self.assertEqual(len(document), row.size)
            self.assertEqual(document, document_of(row.size))
            self.assertIn("rows", json.loads(document))

    def test_some_rows_are_measured_in_other_ways_too(self) -> None:
        """With workers, and with other surroundings."""
        for rows in (workers.ROWS, claims.ROWS):
            self.assertEqual([row.script for row in rows], ["different", "304"])
            self.assertEqual({row.size for row in rows}, {DOCUMENT_BYTES})

    def test_titles_are_those_of_one_row(self) -> None:
        """Figures are kept by title."""
        titles = Counter(row.title for row in requests.ROWS)
        self.assertEqual(max(titles.values()), 1)


class TurnsTests(SynchronousTestCase):
    """The order of the servers in a round."""

    def test_each_server_is_the_first_of_a_row_in_turn(self) -> None:
        """The rows stay one after the other."""
        self.assertEqual([rotated("abc", turn) for turn in (0, 1, 5)], [[*"abc"], [*"bca"], [*"cab"]])
        self.assertEqual(rotated((), 3), [])
        one, two = requests.ROWS[:2]
        servers = [Server(name, cast("Setting", None)) for name in "ab"]
        able = [(row, server) for row in (one, two) for server in servers]
        titles = [(row.title, server.name) for row, server in rows_in_turn(able, 1)]
        self.assertEqual(titles, [(one.title, "b"), (one.title, "a"), (two.title, "b"), (two.title, "a")])


class LastDeliveryTests(SynchronousTestCase):
    """The time until the last subscriber has a version."""

    def test_versions_that_not_all_received_do_not_count(self) -> None:
        """The first and the last version of a turn may be under way when the counting begins or ends."""
        done = [0.3, *(1 + number / 100 for number in range(100)), 2.01]
        self.assertAlmostEqual(last_delivery(done, [0.0, 1.0, 2.0], 100), 990.0)
        self.assertEqual(last_delivery([], [0.0, 1.0], 100), 0.0)


class RowsTests(SynchronousTestCase):
    """Rows in which livefeed is compared in several ways."""

    def setUp(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.path = Path(self.directory.name) / "rows.json"

    def found(self) -> Found:
        """Gives the measurements of two rounds of three rows."""
        found = Found()
        for factor in (1, 3):
            for title, figures in {
                "requests": {OURS: 10, "nginx": 20},
                deltas_title("election", 10_000): {"livefeed, plain": 12, BY_SPLICES: 8, NCHAN: 10},
                items_title(10_000): {FIVE_ITEMS: 11, ONE_ITEM: 10},
            }.items():
                for name, cpu_us in figures.items():
                    got = Measured(cpu_us=cpu_us * factor, rate=10_000, wire_bytes=300 * factor, memory_bytes=2048)
                    found.note(title, name, got, seconds=2)
        return found

    def test_ratios_are_those_of_the_row_s_reference(self) -> None:
        """In a row with deltas, v2 is divided by each; in that of items, five items by one."""
        medians = self.found().medians()
        ratios = {title: {name: got.ratio for name, got in by.items()} for title, by in medians.items()}
        self.assertEqual(ratios["requests"], {OURS: 1.0, "nginx": 0.5})
        self.assertEqual(
            ratios[deltas_title("election", 10_000)], {"livefeed, plain": 8 / 12, BY_SPLICES: 1.0, NCHAN: 0.8}
        )
        self.assertEqual(ratios[items_title(10_000)], {FIVE_ITEMS: 1.0, ONE_ITEM: 1.1})

    def test_the_page_has_them(self) -> None:
        """A file of results that was written and read again has the goals, the tables and the bytes."""
        Kept.put(self.found(), self.path)
        text = "\n".join(make(Kept.read(self.path)) for make in page.PARTS.values())
        self.assertIn("election night by v2, CPU: nchan's plain push | 0.80 | 0.9 | 0.8 |", text)
        self.assertIn("CPU of a delivery: one item | 1.10 | 1.2 |  |", text)
        self.assertIn("| nginx + nchan | 10,000 | 20.0 | 0.80 | 600 | 2.0 |", text)
        self.assertIn("five items each / its CPU", text)

    def test_each_kind_of_row_has_its_columns(self) -> None:
        """Columns without a figure are left out."""
        polled = Measured(cpu_us=1, rate=2, p50_ms=3, p99_ms=4, ratio=1)
        pushed = Measured(cpu_us=1, rate=2, ratio=1, wire_bytes=5, p50_ms=3)
        for title, measured, head in (
            ("HTTPS", polled, "requests/s | CPU, µs each | ours / its CPU | p50, ms | p99, ms"),
            (FULL_HANDSHAKE, polled, "connections/s | CPU, µs each | ours / its CPU | p50, ms | p99, ms"),
            (
                "HTTPS, 9 long polls",
                pushed,
                "deliveries/s | CPU, µs each | ours / its CPU | bytes each | publish to last, ms",
            ),
            (idle_title(9), Measured(core_percent=1, mbit_s=2), "% of a core | Mbit/s | messages/s"),
            ("pollers", Measured(memory_bytes=9), "KB each"),
        ):
            self.assertIn(f"\n| server | {head} |\n", table({title: {OURS: measured}}))

    def test_the_plot_has_a_bar_for_each_figure(self) -> None:
        """One bar of each row is livefeed's: that of the row's reference."""
        svg = ET.fromstring(report.plot(self.found().medians(), OURS))
        kinds = Counter(each.get("class") for each in svg.iter("{http://www.w3.org/2000/svg}rect"))
        self.assertEqual(kinds, {"ground": 1, "ours": 3, "other": 4})

    def test_the_pages_have_the_figures_of_the_last_run(self) -> None:
        """``python -m tests.bench --write`` makes these parts; a figure that somebody has typed is lost or wrong."""
        kept = Kept.read(page.KEPT)
        for path in page.PAGES:
            text = path.read_text()
            self.assertIn("<!-- bench: ", text)
            self.assertEqual(page.fill(text, kept), text)

    def test_parts_of_pages_are_replaced_and_nothing_else(self) -> None:
        """A mark that names no part is an error."""
        text = "before\n<!-- bench: standing -->\nold\n<!-- bench: end -->\nafter\n"
        filled = page.fill(text, Kept())
        self.assertEqual(filled, page.fill(filled, Kept()))
        self.assertNotIn("old", filled)
        self.assertTrue(filled.startswith("before\n<!-- bench: standing -->\n| | ours / theirs |"))
        self.assertTrue(filled.endswith("|\n<!-- bench: end -->\nafter\n"))
        self.assertRaises(KeyError, page.fill, text.replace("standing", "nothing"), Kept())

    def test_rows_with_marks_are_in_parts_of_their_own(self) -> None:
        """Their titles stand without the marks there."""
        found = Found()
        for title in ("a", "a; surroundings", "a; with workers"):
            found.note(title, OURS, Measured(cpu_us=7), seconds=1)
        kept = Kept(rows=found.medians())
        self.assertEqual([*page.rows_of(kept, None)], ["a"])
        self.assertEqual([*page.rows_of(kept, "; surroundings")], ["a"])

    def test_a_process_at_rest_has_a_table(self) -> None:
        """Feeds that change have no start."""
        found = Found(rest={OURS: Rest(0.25, 0.0005, 40 << 20, 39 << 20, 60 << 20), MANY_FEEDS: Rest(0, 0.04, 1, 1, 1)})
        kept = Kept(rest=found.rest, runs=found.runs())
        self.assertIn("| livefeed | 0.25 | 0.05% | 40.0 | 39.0 | 60.0 |", page.PARTS["tables"](kept))
        self.assertIn("| 64 feeds that change each second, of a core | 4.0% | 6 % | 4 % |", standing.standing(kept))
        self.assertIn("| a process at rest, memory | 40 MB | 50 MB | 40 MB |", standing.standing(kept))

    def test_rows_that_were_not_measured_say_so(self) -> None:
        """The goals are there before the first run."""
        self.assertEqual(standing.standing(Kept()).count(f"| {standing.ABSENT} |"), len(standing.GOALS) + 7)

    def test_a_second_run_replaces_its_rows_only(self) -> None:
        """The rows of a part that runs alone are put beside the others."""
        Kept.put(self.found(), self.path)
        again = Found()
        again.note("requests", OURS, Measured(cpu_us=7), seconds=1)
        Kept.put(again, self.path)
        kept = Kept.read(self.path)
        self.assertEqual(kept.rows["requests"][OURS].cpu_us, 7)
        self.assertIn(items_title(10_000), kept.rows)


class LoadTests(SynchronousTestCase):
    """The tables of load tests."""

    def test_load_testers_are_compared_with_wrk(self) -> None:
        row = Row()
        for rate in (100, 300, 200):
            row.add(WRK, 2 * rate, 0.5)
            row.add(OUR_TESTER, rate, 0.9)
        lines = table_of_testers({("nginx", False): row}, 50).splitlines()
        self.assertEqual(
            lines[2:],
            ["| nginx, HTTPS | wrk | 400 | 100% | 50% |", "| nginx, HTTPS | livefeed bench | 200 | 50% | 90% |"],
        )

    def test_each_way_has_a_row(self) -> None:
        figures = {
            "answers": 0, "answers_per_s": 0.0, "deliveries": 10, "deliveries_per_s": 5.0, "received_bytes": 1000,
            "latency_ms": None, "delay_ms": {"p50": 1.25, "p99": 2.5}, "errors": {"reset": 2},
            "statuses": {"101": 5, "503": 1},
        }  # fmt: skip
        rows = {Kind.WS: Transport(figures, {"load": {"busy": 0.25}}, 0.5, 2048.0)}
        heads, _, line = table_of_transports(rows).splitlines()
        self.assertEqual(line, "| ws | 0 |  | 5 | 1.2, 2.5 | 100 | 50% | 2.0 | 3 | 25% |")
        self.assertEqual(heads.count("|"), len(COLUMNS) + 1)

    def test_the_page_has_places_for_them(self) -> None:
        page = PAGE.read_text("utf-8")
        for name in ("testers", "transports"):
            made = replaced(page, name, "| a |")
            self.assertIn(f"<!-- load: {name} -->\n| a |\n<!-- load: end -->", made)
        self.assertRaises(KeyError, replaced, page, "others", "")


class DocumentsTests(SynchronousTestCase):
    """The documents that all servers of a round receive."""

    def test_each_version_differs_from_the_one_before(self) -> None:
        """A version that is equal to the one before would be pushed by some servers and not by others."""
        for kind in ("election", "small"):
            rounds = documents_of(kind, 3, 2)
            self.assertEqual([len(documents) for documents in rounds], [5, 5, 5])
            for documents in rounds:
                self.assertEqual(len({*documents}), 5)

    def test_padding_is_a_member_of_the_object(self) -> None:
        """The document has the size of all comparisons, and is still one."""
        document = padded(b'{"a":1}', DOCUMENT_BYTES)
        self.assertEqual(len(document), DOCUMENT_BYTES)
        self.assertEqual(json.loads(document)["a"], 1)

    def test_the_path_of_several_items(self) -> None:
        """The first item is that of the path, and all others are parameters."""
        self.assertEqual(path_of(("a",)), "/a.ws")
        self.assertEqual(path_of(("a", "b", "c")), "/a.ws?follow=/b&follow=/c")


class OptionsTests(SynchronousTestCase):
    """Options that would end a run after minutes."""

    def check(self, **options: object) -> str:
        """Gives the error about options."""
        said = StringIO()
        with redirect_stderr(said):
            self.assertRaises(SystemExit, check_options, ArgumentParser(), Namespace(**{"json": None, **options}))
        return said.getvalue()

    def test_numbers_that_measure_nothing_are_refused(self) -> None:
        """Without rounds there is no median."""
        self.assertIn("--rounds: 0 is not more than 0", self.check(rounds=0))

    def test_a_file_that_cannot_be_written_is_refused_at_once(self) -> None:
        """The rows of a run would be lost at its end."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "none" / "rows.json"
            self.assertIn(f"no file can be made in the folder {os.fspath(path.parent)}", self.check(json=path))
