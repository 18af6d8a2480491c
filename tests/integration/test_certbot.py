"""The hook of ``docs/howto/certificates.md`` that certbot runs after a renewal, with a livefeed that serves."""

from __future__ import annotations

import grp
import os
import ssl
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.authority import Holder
from tests.helpers.documentation import code_block
from tests.helpers.waiting import wait_until
from tests.integration.harness import TLS, WAIT_S, Livefeed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.processes

PAGE = "howto/certificates.md"
NAME = "results.example.org"


def renew(lineage: Path, days: int) -> None:
    """Writes a key and a certificate, as certbot does."""
    authority, server = Holder("ca"), Holder(NAME)
    (lineage / "privkey.pem").write_bytes(server.pem())
    (lineage / "fullchain.pem").write_bytes(authority.issue(server, [NAME], days=days))


def run_hook(directory: Path, lineage: Path, domains: str) -> None:
    """Runs the hook with the variables that certbot sets."""
    hook = directory / "hook"
    own_group = grp.getgrgid(os.getgid()).gr_name
    text = code_block(PAGE, "sh").replace("/etc/livefeed", str(directory)).replace("-g livefeed", f"-g {own_group}")
    hook.write_text(text)
    hook.chmod(0o755)
    variables = {"RENEWED_LINEAGE": str(lineage), "RENEWED_DOMAINS": domains}
    subprocess.run([hook], env={**os.environ, **variables}, check=True, timeout=WAIT_S)


def served(livefeed: Livefeed) -> bytes:
    """Gives the certificate that a new client receives."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with livefeed.tcp_socket() as sock, context.wrap_socket(sock, server_hostname=NAME) as tls:
        found = tls.getpeercert(binary_form=True)
    assert found is not None
    return found


def test_renewed_certificate_is_served(tmp_path: Path) -> None:
    """The hook copies it with the rights that livefeed needs, and livefeed serves it without a restart."""
    lineage = tmp_path / "live"
    lineage.mkdir()
    renew(lineage, 5)
    run_hook(tmp_path, lineage, f"other.example.org {NAME}")
    for name in ("chain.pem", "key.pem"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o640
    settings = tmp_path / "livefeed.toml"
    settings.write_text('cert = "chain.pem"\nkey = "key.pem"\n')
    with Livefeed("--config", str(settings), directory=tmp_path, certificate=None, listen=(TLS,)) as livefeed:
        assert livefeed.scheme == "https"
        before = served(livefeed)
        mark = livefeed.mark()
        renew(lineage, 90)
        run_hook(tmp_path, lineage, "other.example.org")
        assert served(livefeed) == before
        run_hook(tmp_path, lineage, NAME)
        livefeed.wait_for_log("the certificate is renewed: ", start=mark)
        # A worker may serve it a moment after the line.
        wait_until(lambda: served(livefeed) != before, livefeed.log)
