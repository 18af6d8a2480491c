"""The calculator of the documentation in a browser, from a disk and without a network."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from livefeed.planning.estimate import Demand, estimate
from livefeed.planning.figures import Figures
from livefeed.planning.model import Model
from tests.integration.browsing import faults

if TYPE_CHECKING:
    from tests.integration.browsing import Browser

pytestmark = pytest.mark.peers

STATIC = Path(__file__).parents[2] / "docs" / "_static"
PAGE = """<!doctype html><html lang="en"><title>calculator</title><meta charset="utf-8">
<link rel="stylesheet" href="{style}"><main><h1>Calculator</h1><div id="calculator">needs JavaScript</div></main>
<script>window.livefeedModel = {model};</script><script src="{script}"></script></html>"""

DEMANDS = (
    Demand(10_000, 4000, 1.0, {"ws": 1.0}),
    Demand(123_456, 250_000, 0.5, {"ws-v2-deflated": 0.7, "poll-br": 0.2, "sse": 0.1}, change=0.3, hours=12),
    Demand(1, 100_000_000, 60.0, {"long-poll": 0.5, "poll": 0.5, "ws-v2": 0.0}, change=1.0, hours=1),
)


def as_lists(found: Any) -> Any:
    """Gives an estimate with its ranges as lists, as the page has them."""
    if isinstance(found, dict):
        if found.keys() == {"low", "high"}:
            return [found["low"], found["high"]]
        return {name: as_lists(value) for name, value in found.items()}
    return [as_lists(each) for each in found] if isinstance(found, list | tuple) else found


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """The page, with the figures of this repository."""
    file = tmp_path_factory.mktemp("page") / "index.html"
    model = msgspec.json.encode(Model.of(Figures.read())).decode()
    script, style = (STATIC / f"calculator.{kind}" for kind in ("js", "css"))
    file.write_text(PAGE.format(model=model, script=script.as_uri(), style=style.as_uri()))
    browser.get(file.as_uri())
    assert [each for each in browser.get_log("browser") if each["level"] == "SEVERE"] == []
    return browser


@pytest.mark.parametrize("demand", DEMANDS)
def test_the_arithmetic_is_that_of_the_command(page: Browser, demand: Demand) -> None:
    """Each figure is the same, to the last digits."""
    expected = as_lists(asdict(estimate(Model.of(Figures.read()), demand)))
    found = page.execute_script("return estimate(window.livefeedModel, arguments[0])", asdict(demand))
    assert found.keys() == expected.keys()
    # Between Python and the browser, the order of the mix is lost.
    ours_by_way, theirs_by_way = ({each["way"]: each for each in one.pop("parts")} for one in (expected, found))
    assert theirs_by_way.keys() == ours_by_way.keys()
    for way, ours in ours_by_way.items():
        theirs = theirs_by_way[way]
        for name in ("watchers", "message_bytes", "mbit_s", "cores"):
            assert theirs[name] == pytest.approx(ours[name], rel=1e-9), name
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-9), name


def test_sliders(page: Browser) -> None:
    """The result follows a slider, and more watchers are sent more."""
    rows = "return [...document.querySelectorAll('#calculator tr')].map(row => row.textContent)"
    before = page.execute_script(rows)
    assert [row.startswith(("sent", "processors", "to plan", "memory", "until")) for row in before] == [True] * 6
    page.execute_script(
        "const slider = document.querySelector('#calculator input');"
        "slider.value = 5; slider.dispatchEvent(new Event('input'))"
    )
    after = page.execute_script(rows)
    assert page.execute_script("return document.querySelector('#calculator output').textContent") == "100,000"
    assert all(old != new for old, new in zip(before, after, strict=True))


def test_nothing_is_in_the_way_of_readers(page: Browser) -> None:
    """Each slider has a label and a value in words."""
    assert faults(page) == []
    texts = page.execute_script("return [...document.querySelectorAll('input')].map(one => one.ariaValueText)")
    assert texts[:2] == [texts[0], "20,000 bytes"]
