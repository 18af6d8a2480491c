"""The page of the desk: its files, and who may load them."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.access import Access
from livefeed.admin.desk_page import FILES, MODULES, DeskPage, is_page_file
from livefeed.admin.reports import NO_ORIGIN, Reading, json_answer
from livefeed.admin.site import UNKNOWN_IDLE_S, OperatorRoot, OperatorSite
from livefeed.testing import Response
from livefeed.web.resources import Node
from tests.helpers.page_texts import NAMES, TextFinder, texts_of_module

if TYPE_CHECKING:
    from livefeed.web.request import Request

TOKEN = b"0123456789abcdef"
STATIC = Path(str(files("livefeed"))) / "static"
PAGE = "/-/desk/"


class _Report(Reading):
    isLeaf = True

    def read(self, request: Request) -> int:
        return json_answer(request, 200, {"feed": "results"})


class DeskPageTestCase(SynchronousTestCase):
    """An operator's port with a token, the page, and the report of a feed."""

    def setUp(self) -> None:
        self.clock = Clock()
        reports = Node(NO_ORIGIN)
        reports.putChild(b"results", _Report())
        root = OperatorRoot(Access(self.clock, token=TOKEN), {"-/desk": DeskPage(reports), "status": _Report()})
        self.site = OperatorSite(root, reactor=self.clock)
        self.transport = StringTransport()

    def ask(self, path: str, *fields: bytes, method: bytes = b"GET", host: bytes = b"localhost") -> Response:
        """Sends a request on a connection of its own, and gives the answer."""
        channel = self.site.buildProtocol(None)
        self.transport = StringTransport()
        channel.makeConnection(self.transport)
        head = [method + b" " + path.encode() + b" HTTP/1.1", b"Host: " + host, *fields, b"", b""]
        channel.dataReceived(b"\r\n".join(head))
        return Response.parse(self.transport.value())


class AccessTests(DeskPageTestCase):
    """Everybody may load the files, and nobody learns anything from them."""

    def test_files_need_no_token(self) -> None:
        """They are the same on every machine. Everything else needs the token."""
        for path in (PAGE, f"{PAGE}?x", *(f"{PAGE}-/{name}" for name in FILES)):
            self.assertEqual(self.ask(path).status, 200, path)
            self.assertEqual(self.ask(path, method=b"HEAD").status, 200, path)
        for path in (
            f"{PAGE}results",
            f"{PAGE}-x",
            "/-/desk-",
            "/status",
            "/-/",
            "/",
            f"{PAGE}..",
            f"{PAGE}%2E%2E/status",
        ):
            self.clock.advance(1)
            self.assertEqual(self.ask(path).status, 401, path)
        self.clock.advance(1)
        for path in (f"{PAGE}/results", f"{PAGE}-", f"{PAGE}-/", f"{PAGE}-/results", f"{PAGE}-/page/../../results"):
            answer = self.ask(path)
            self.assertEqual((answer.status, b"results" in answer.body), (404, False), path)
        self.assertEqual(self.ask(PAGE, b"Content-Length: 0", method=b"POST").status, 401)
        self.assertEqual(self.ask(f"{PAGE}results", b"Authorization: Bearer " + TOKEN).status, 200)

    def test_other_sites(self) -> None:
        """A link of another site leads to the page, but a name that leads here by the will of a page does not."""
        self.assertEqual(self.ask(PAGE, b"Sec-Fetch-Site: cross-site").status, 200)
        self.assertEqual(self.ask(PAGE, host=b"evil.example").status, 403)
        answer = self.ask(f"{PAGE}results", b"Authorization: Bearer " + TOKEN, b"Sec-Fetch-Site: cross-site")
        self.assertEqual(answer.status, 403)

    def test_a_connection_stays_unknown(self) -> None:
        """A client that loads files alone gets no more time than any other without access."""
        self.ask(PAGE)
        self.clock.advance(UNKNOWN_IDLE_S)
        self.assertTrue(self.transport.disconnecting)

    def test_path_without_a_slash(self) -> None:
        """It leads to the page, below any prefix."""
        answer = self.ask("/-/desk")
        self.assertEqual((answer.status, answer.headers["location"]), (308, "desk/"))

    def test_segments(self) -> None:
        """Only the segments of the page are its own."""
        for segments, is_own in (
            ([b"desk"], True),
            ([b"desk", b""], True),
            ([b"desk", b"-", b"x"], True),
            ([b"desk", b"results"], False),
            ([b"Desk", b""], False),
            ([b"hold"], False),
            ([], False),
            (None, False),
        ):
            self.assertIs(is_page_file(segments), is_own, segments)


class FileTests(DeskPageTestCase):
    """The files."""

    def test_fields(self) -> None:
        """A strict policy, no frames, and nothing is stored."""
        for path in (PAGE, *(f"{PAGE}-/{name}" for name in FILES)):
            headers = self.ask(path).headers
            policy = headers["content-security-policy"]
            self.assertTrue(
                policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
            )
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(headers["cache-control"], "no-store")
            self.assertEqual(headers["cross-origin-resource-policy"], "same-origin")
            self.assertEqual(headers["referrer-policy"], "no-referrer")
            self.assertNotIn("access-control-allow-origin", headers)

    def test_files_comply_with_the_policy(self) -> None:
        """No file has a style or script that the policy forbids, loads anything from elsewhere, or makes HTML."""
        for path in (PAGE, *(f"{PAGE}-/{name}" for name in FILES)):
            body = self.ask(path).body.replace(b'"http://www.w3.org/2000/svg"', b"")
            for forbidden in (
                b"http:",
                b"https://",
                b"<style",
                b" style=",
                b" onclick=",
                b"eval(",
                b"innerHTML",
                b"{{",
            ):
                self.assertNotIn(forbidden, body, path)
            self.assertNotRegex(body.decode(), r"""(?:href|src)=["']/|(?:fetch|import)\(?\s*["'`]/""", path)

    def test_all_files_are_served(self) -> None:
        """Each file in the folder is in the list, and each module that others import is loaded at once."""
        own = {f"desk/{each.name}" for each in (STATIC / "desk").iterdir()}
        self.assertEqual(own, {name for name in FILES if name.startswith("desk/")})
        loaded = re.findall('<link rel="modulepreload" href="-/(.*).js">', self.ask(PAGE).body.decode())
        self.assertEqual(loaded, list(MODULES))
        imported = {"desk/main"}
        for module in MODULES:
            folder = module.partition("/")[0]
            for path in re.findall(r'from "(\.{1,2}/.*)\.js"', (STATIC / f"{module}.js").read_text("utf-8")):
                imported.add(path.removeprefix("../") if path.startswith("../") else f"{folder}/{path[2:]}")
        self.assertEqual(imported, set(MODULES))

    def test_texts(self) -> None:
        """All of them are in one file, and each is used."""
        self.assertEqual(
            [text for text in TextFinder.texts_of((STATIC / "desk.html").read_text("utf-8")) if text not in NAMES], []
        )
        strings = (STATIC / "desk" / "strings.js").read_text("utf-8")
        modules = [each for each in sorted((STATIC / "desk").glob("*.js")) if each.name != "strings.js"]
        for path in modules:
            self.assertEqual(
                [text for text in texts_of_module(path.read_text("utf-8")) if text not in NAMES], [], path.name
            )
        names = re.findall(r"(?m)^ {2}(\w+): ", strings.partition("export const strings")[2])
        used = "".join(each.read_text("utf-8") for each in modules)
        self.assertGreater(len(names), 50)
        self.assertEqual([name for name in sorted(names) if not re.search(rf"""[."'\[ ]{name}\b""", used)], [])
        page = self.ask(PAGE).body.decode()
        (language,) = re.findall(r'const language = "(.*)";', strings)
        (noscript,) = re.findall(r'const noscript = "(.*)";', strings)
        self.assertIn(f'<html lang="{language}">', page)
        self.assertIn(f'<p class="notice">{noscript} ', page)
