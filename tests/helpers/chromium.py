"""A headless Chromium that accepts the development certificate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selenium.webdriver import ChromeOptions

if TYPE_CHECKING:
    from pathlib import Path


def chromium_options(program: str, profile: Path) -> ChromeOptions:
    """Gives the options of a Chromium that asks nobody but the pages that it is told to open.

    :param program: the path of Chromium.
    :param profile: an empty folder of its own.
    """
    options = ChromeOptions()
    options.binary_location = program
    options.accept_insecure_certs = True
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-proxy-server",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    return options
