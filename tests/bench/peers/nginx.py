"""nginx, and nginx with nchan."""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.bench.peers.server import CIPHERSUITE, HOST, KINDS_OF_FOLLOWING, Server, post

NCHAN_MODULE = "/usr/lib/nginx/modules/ngx_nchan_module.so"

NGINX = """
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log;
worker_rlimit_nofile 100000;
{modules}
events {{ worker_connections 30000; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_timeout 75;
    keepalive_requests 1000000000;
    open_file_cache max=10;
    sendfile on;
    gzip_static {gzip_static};
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_conf_command Ciphersuites {ciphersuite};
    server {{
        listen {host}:{port} ssl backlog=4096;
        listen {host}:{plain_port} backlog=4096;
        location = /feed {{
            root {directory}/www;
            add_header Cache-Control "public, max-age=1";
            add_header Access-Control-Allow-Origin "*";
        }}
        {extra}
    }}
}}
"""


class Nginx(Server):
    """nginx, one worker, a static file."""

    modules = ""
    extra = ""

    def start(self) -> None:
        directory, certificate = self.setting.directory / self.slug, self.setting.certificate
        (directory / "www").mkdir(parents=True, exist_ok=True)
        shutil.copy(self.setting.document, directory / "www" / "feed")
        subprocess.run(["gzip", "-kf", str(directory / "www" / "feed")], check=True)
        configuration = directory / "nginx.conf"
        configuration.write_text(
            NGINX.format(
                directory=directory, cert=certificate.cert, key=certificate.key, host=HOST, port=self.port,
                plain_port=self.plain_port, modules=self.modules, extra=self.extra, gzip_static="on",
                ciphersuite=CIPHERSUITE,
            )
        )  # fmt: skip
        os.chmod(self.setting.directory, 0o755)
        self.run("nginx", "-p", directory, "-c", configuration, "-g", "user root;")


class Nchan(Nginx):
    """nginx with nchan: a publisher's location, and subscribers."""

    followed_by = KINDS_OF_FOLLOWING
    modules = f"load_module {NCHAN_MODULE};"
    extra = """
        location = /publish {
            nchan_publisher; nchan_channel_id feed; nchan_message_buffer_length 1; client_max_body_size 8m;
        }
        location = /feed.ws {
            nchan_subscriber websocket; nchan_channel_id feed; nchan_subscriber_first_message oldest;
        }
        location = /feed.sse {
            nchan_subscriber eventsource; nchan_channel_id feed; nchan_subscriber_first_message oldest;
        }
        location = /feed.wait {
            nchan_subscriber longpoll; nchan_channel_id feed; nchan_subscriber_first_message oldest;
        }
    """

    def start(self) -> None:
        super().start()
        self.publish = self._publish
        self.wait_path, self.wait_line = "/feed.wait", ""

    def _publish(self, document: bytes) -> None:
        post(self.plain_port, "/publish", document)
