"""A headless Chromium (Debian: chromium, chromium-driver) against Django's live server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from tests.extras import leave_out_without
from tests.integration.auditlog_api.conftest import consumer, new_partitions_go, store, user_of

__all__ = ["consumer", "new_partitions_go", "store", "user_of"]

PROGRAMS = ("chromium", "chromedriver")
HERE = Path(__file__).parent
SIZE = "1280,1000"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--window-size={SIZE}",
)
Hosts = Callable[[], set[str]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these tests out where there is no browser."""
    leave_out_without(
        PROGRAMS,
        tests="browser tests",
        packages="chromium, chromium-driver",
        needs=lambda item: item.path.is_relative_to(HERE),
        config=config,
        items=items,
    )


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    """A browser without a past."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    opened = Chrome(options=options, service=ChromeService(shutil.which("chromedriver")))
    yield opened
    opened.quit()


@pytest.fixture
def hosts(browser: Chrome) -> Hosts:
    """Return a function that names the hosts that were asked for anything since the last call."""

    def asked() -> set[str]:
        entries = browser.get_log("performance")  # type: ignore[no-untyped-call]
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        requests = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
        addresses = [urlsplit(request["request"]["url"]) for request in requests]
        return {address.netloc for address in addresses if address.scheme in {"http", "https", "ws", "wss"}}

    return asked
