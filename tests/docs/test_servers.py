"""Servers that are started with the configurations of a page, in a real machine."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.machine import obstacle
from tests.docs.page import MissingError, Page, PageError, require
from tests.docs.servers import SERVERS, check, start
from tests.helpers.peers import missing_peer

CONFIGURATIONS = {
    "nginx": 'server {\n    listen 80;\n    location / {\n        return 200 "nginx\\n";\n    }\n}\n',
    "haproxy": "defaults\n    mode http\n    timeout client 5s\nfrontend http\n    bind :80\n"
    '    http-request return status 200 content-type text/plain string "haproxy\\n"\n',
    "vcl": 'vcl 4.1;\nbackend none none;\nsub vcl_recv {\n    return (synth(200, "vcl"));\n}\n',
    "caddyfile": 'http://localhost {\n    respond "caddyfile"\n}\n',
}


class ServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        if obstacle():
            missing_peer(obstacle())
        for server in SERVERS.values():
            try:
                require(*server.program)
            except MissingError as error:
                missing_peer(str(error))
        self.page = Page("")
        self.addCleanup(self.page.close)

    def test_each_server(self) -> None:
        """Each one listens on the port of the example once it is started, and gives way to the next one."""
        for language in [*SERVERS] * 2:
            start(self.page, language, CONFIGURATIONS[language])
            self.assertEqual(self.page.server, language)
            self.assertIn(language, self.page.must("curl -s http://localhost/").output)

    def test_faults(self) -> None:
        """A configuration with an error is refused with what the server says; nothing is started."""
        for language in SERVERS:
            error = self.assertRaises(PageError, start, self.page, language, "nonsense {\n")
            self.assertIn(SERVERS[language].check, str(error))
            self.assertEqual(self.page.server, "")

    def test_check_starts_nothing(self) -> None:
        """A check does not listen."""
        for language in SERVERS:
            check(self.page, language, CONFIGURATIONS[language])
        self.assertEqual(self.page.must("curl -s http://localhost/ || echo nothing").output, "nothing\n")
