"""The rules of docs/howto/rules.md in a livefeed that runs: a recount passes, and zeros do not."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from livefeed.document.snapshot import version_of
from tests.helpers.documentation import code_block
from tests.helpers.waiting import wait_until
from tests.integration.harness import WAIT_S, replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Start

pytestmark = pytest.mark.processes

PULLS = 5
"""The pulls after which a recount is shown; the documentation has more, which takes longer."""


def night(north: int, south: int) -> bytes:
    districts = [{"name": "North", "votes": north}, {"name": "South", "votes": south}]
    return json.dumps({"mode": "live", "counted": 2, "districts": districts}).encode()


def test_recount_and_zeros(start: Start, tmp_path: Path) -> None:
    """A recount does not freeze the night; zeros are not released, however long they last."""
    source, config = tmp_path / "document.json", tmp_path / "livefeed.toml"
    (tmp_path / "results.schema.json").write_text('{"type": "object"}')
    settings = code_block("howto/rules.md", "toml", 1)
    settings = re.sub(r"^source = .*$", f'source = "file:{source}"\ninterval = 0.1', settings, flags=re.MULTILINE)
    config.write_text(settings.replace("release_pulls = 30", f"release_pulls = {PULLS}"))
    replace_file(source, night(1200, 700))
    livefeed = start("--config", str(config))
    with livefeed.websocket("/results.ws", subprotocols=["livefeed.delta.v2"]) as subscriber:

        def message(state: str, **members: Any) -> Any:
            """Gives the next message with this state and these members."""
            while True:
                found = json.loads(subscriber.recv(timeout=WAIT_S))
                if found["state"] == state and found.items() >= members.items():
                    return found

        shown = message("live")
        replace_file(source, night(1190, 700))
        assert message("held")["version"] == shown["version"]
        # The release comes by itself.
        shown = message("live")
        livefeed.wait_for_log("the rule votes lets the same value through after 5 pulls")
        # Zeros, with a recount: after these pulls the first rule would let them through, and the second does not.
        replace_file(source, night(1185, 0))
        assert message("held")["version"] == shown["version"]
        with livefeed.operator() as client:

            def report() -> Any:
                return client.get("/-/desk/results").json()

            wait_until(
                lambda: report()["waiting"]["rule"] == "collapse" and report()["waiting"]["pulls"] > PULLS, report
            )
            found = report()
        waiting = found["waiting"]
        assert waiting["pointer"] == "/districts/{name=South}/votes"
        assert (found["state"], found["shown"]["version"]) == ("held", shown["version"])
        assert livefeed.log().count("lets the same value through") == 1
        # The source is repaired.
        replace_file(source, night(1195, 701))
        assert message("live")["version"] == version_of(night(1195, 701))


def test_rules_that_break_at_a_reload(start: Start, tmp_path: Path) -> None:
    """A schema that is no schema any more, and a pointer with an error, leave all rules as they are."""
    source, config, schema = (tmp_path / name for name in ("document.json", "livefeed.toml", "schema.json"))
    settings = (
        f'[feeds.feed]\nsource = "file:{source}"\ninterval = 0.1\n[feeds.feed.rules.shape]\nschema = "schema.json"\n'
    )
    config.write_text(settings)
    schema.write_text('{"required": ["votes"]}')
    replace_file(source, b'{"votes": 1}')
    livefeed = start("--config", str(config))
    schema.write_text('{"$ref": "http://127.0.0.1:9/"}')
    with livefeed.operator() as client:
        answer = client.post("/-/reload", json={})
        assert answer.status_code >= 400
        assert "feeds.feed.rules.shape.schema" in answer.text
        schema.write_text('{"required": ["counted"]}')
        config.write_text(f'{settings}[feeds.feed.rules.more]\nrequired = ["counted"]\n')
        assert client.post("/-/reload", json={}).status_code >= 400
        replace_file(source, b'{"counted": 1}')
        livefeed.answer_in_state("held")
        assert (
            client.get("/-/desk/feed")
            .json()["waiting"]["why"]
            .startswith('the document is {"counted": 1}, and "votes"')
        )
        # The new schema accepts the document that waits.
        config.write_text(settings)
        answer = client.post("/-/reload", json={})
        assert "feeds.feed.rules.shape" in answer.text, answer.text
    assert livefeed.answer_in_state("live").content == b'{"counted": 1}'
