"""Proxies and caches that a page has a configuration of: they are started with it, in the page's machine.

Each of them has its usual file, in the copy of ``/etc`` of the machine. It ends with the page, or when the page has
another configuration for the same ports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.docs.page import ROOT

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

    :ivar file: the path of its configuration.
    :ivar check: the command that only checks the configuration.
    :ivar start: the command that starts it, and returns once it listens.
    :ivar stop: the command that ends it.
    """

    file: str
    check: str
    start: str
    stop: str


SERVERS: Final = {
    "nginx": Server(
        "/etc/nginx/conf.d/livefeed.conf",
        "mkdir -p /var/cache/nginx && nginx -q -t",
        "nginx",
        "nginx -s quit",
    ),
    "haproxy": Server(
        "/etc/haproxy/haproxy.cfg",
        "haproxy -c -f /etc/haproxy/haproxy.cfg",
        "haproxy -D -p /run/haproxy.pid -f /etc/haproxy/haproxy.cfg",
        "kill $(cat /run/haproxy.pid)",
    ),
    "vcl": Server(
        "/etc/varnish/default.vcl",
        "varnishd -C -n /run/varnish-check -f /etc/varnish/default.vcl",
        "varnishd -j none -n /run/varnish -s malloc,32m -P /run/varnish.pid -a 127.0.0.1:80 -f /etc/varnish/default.vcl",
        "kill $(cat /run/varnish.pid)",
    ),
    "caddyfile": Server(
        "/etc/caddy/Caddyfile",
        f"{ROOT}/build/bin/caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile",
        f"{ROOT}/build/bin/caddy start --config /etc/caddy/Caddyfile --adapter caddyfile",
        f"{ROOT}/build/bin/caddy stop",
    ),
}
"""The servers, by the language of their configurations."""


def check(page: Page, language: str, text: str) -> None:
    """Has a server read its configuration.

    :raises PageError: if it refuses it.
    """
    server = SERVERS[language]
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
        page.must(SERVERS[page.server].stop)
        page.server = ""
    page.must(SERVERS[language].start)
    page.server = language
