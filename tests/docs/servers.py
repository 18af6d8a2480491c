"""Proxies and caches that a page has a configuration of: they are started with it, in the page's machine.

Each of them has its usual file, in the copy of ``/etc`` of the machine. It ends with the page, or when the page has
another configuration for the same ports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.bench.peers.caddy import CADDY
from tests.docs.page import require

if TYPE_CHECKING:
    from tests.docs.page import Page

_NGINX = """\
error_log /var/log/nginx-livefeed.log;
pid /run/nginx.pid;
events {}
http {
    access_log off;
    include /etc/nginx/conf.d/livefeed.conf;
}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A server.

    :ivar program: its program, and the package of Debian that has it, or the command that makes it.
    :ivar file: the path of its configuration.
    :ivar check: the command that only checks the configuration.
    :ivar start: the command that starts it, and returns once it listens.
    :ivar pid: the file with the number of its process.
    """

    program: tuple[str, str]
    file: str
    check: str
    start: str
    pid: str


_CADDYFILE = "--config /etc/caddy/Caddyfile --adapter caddyfile"

SERVERS: Final = {
    "nginx": Server(
        ("nginx", "Debian: nginx"),
        "/etc/nginx/conf.d/livefeed.conf",
        "mkdir -p /var/cache/nginx && nginx -q -t",
        "nginx",
        "/run/nginx.pid",
    ),
    "haproxy": Server(
        ("haproxy", "Debian: haproxy"),
        "/etc/haproxy/haproxy.cfg",
        "haproxy -c -f /etc/haproxy/haproxy.cfg",
        "haproxy -D -p /run/haproxy.pid -f /etc/haproxy/haproxy.cfg",
        "/run/haproxy.pid",
    ),
    "vcl": Server(
        ("varnishd", "Debian: varnish"),
        "/etc/varnish/default.vcl",
        "varnishd -C -n /run/varnish-check -f /etc/varnish/default.vcl",
        "varnishd -j none -n /run/varnish -s malloc,32m -P /run/varnish.pid -a :80 -f /etc/varnish/default.vcl",
        "/run/varnish.pid",
    ),
    "caddyfile": Server(
        ("caddy", "make build/bin/caddy"),
        "/etc/caddy/Caddyfile",
        f"{CADDY} validate {_CADDYFILE}",
        f"{CADDY} start --pidfile /run/caddy.pid {_CADDYFILE}",
        "/run/caddy.pid",
    ),
}
"""The servers, by the language of their configurations."""

_STOP = """\
server=$(cat {pid})
kill $server
while kill -0 $server 2> /dev/null; do sleep 0.02; done
"""


def check(page: Page, language: str, text: str) -> None:
    """Has a server read its configuration.

    :raises PageError: if it refuses it.
    :raises MissingError: if it is not installed.
    """
    server = SERVERS[language]
    require(*server.program)
    page.write(server.file, text)
    if language == "nginx":
        page.write("/etc/nginx/nginx.conf", _NGINX)
    page.must(server.check)


def start(page: Page, language: str, text: str) -> None:
    """Starts a server, in the place of one that runs.

    :raises PageError: if it refuses its configuration, or cannot listen.
    """
    check(page, language, text)
    if page.server:
        page.must(_STOP.format(pid=SERVERS[page.server].pid))
        page.server = ""
    page.must(SERVERS[language].start)
    page.server = language
