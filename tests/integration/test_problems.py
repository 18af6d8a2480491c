"""Errors that lead to their pages, with real requests on both ports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.harness import Livefeed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from livefeed.tls.development import DevelopmentCertificate

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
REFUSED: tuple[tuple[str, str, dict[str, str], str], ...] = (
    ("GET", "/nothing", {}, "not-found"),
    ("GET", "/feed/nothing", {}, "not-found"),
    ("DELETE", "/feed", {}, "method-not-allowed"),
    ("GET", "/feed", {"If-Match": '"x"'}, "precondition-failed"),
    ("GET", "/feed.ws", {}, "websocket-required"),
    ("GET", "/feed.ws", {"Upgrade": "websocket", "Connection": "Upgrade"}, "websocket-version"),
    ("GET", "/feed", {"X": "x" * 20_000}, "head-too-large"),
    ("GET", "/feed", {"Host": "a b"}, "malformed-request"),
    ("GET", "/-/problems/nothing", {}, "not-found"),
)
"""Requests to the public port, with the types of their answers."""


@pytest.fixture(scope="module")
def server(certificate: DevelopmentCertificate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Livefeed]:
    with Livefeed(directory=tmp_path_factory.mktemp("problems"), certificate=certificate) as livefeed:
        yield livefeed


def assert_leads_to_its_page(client: httpx.Client, response: httpx.Response, name: str) -> None:
    """Asserts that a refusal has a type, whose page is there in both forms, and says the status."""
    problem = response.json()
    assert (problem["type"], problem["status"]) == (f"/-/problems/{name}", response.status_code)
    url = response.url.join(problem["type"])
    page, text = client.get(url, headers=BROWSER), client.get(url)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert (text.status_code, text.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    for found in (page.text, text.text):
        assert problem["title"] in found
        assert f"Status {response.status_code}" in found
    assert problem["type"] in client.get(url.join("./")).text


@pytest.mark.parametrize(("method", "path", "fields", "name"), REFUSED)
def test_each_problem_leads_to_its_page(
    server: Livefeed, method: str, path: str, fields: dict[str, str], name: str
) -> None:
    """The type of a refusal is the address of its page, relative to that of the request."""
    assert_leads_to_its_page(server.http, server.http.request(method, path, headers=fields), name)


@pytest.mark.processes
def test_problems_of_the_operator(server: Livefeed) -> None:
    """The operator's port has the same pages."""
    with server.operator() as client:
        for method, path, content, name in (
            ("GET", "/nothing", None, "not-found"),
            ("GET", "/-/reload", None, "method-not-allowed"),
            ("POST", "/-/hold", "[]", "malformed-command"),
            ("POST", "/-/resume", "{}", "command-failed"),
            ("GET", "/feeds/feed", None, "not-published-here"),
        ):
            headers = {"Content-Type": "application/json"} if content else {}
            response = client.request(method, path, content=content, headers=headers)
            assert_leads_to_its_page(client, response, name)
        denied = client.get("/status", headers={"Origin": "https://a.example"})
        assert_leads_to_its_page(client, denied, "foreign-page")


def test_pages_are_read_by_other_origins(server: Livefeed) -> None:
    """A page that was refused can show its user why."""
    page = server.http.get("/-/problems/expired", headers={"Origin": "https://a.example"})
    assert page.headers["Access-Control-Allow-Origin"] == "*"
