"""A Chromium for tests that reaches nothing: files only, and what else a page asks for is kept.

::

    with chromium(tmp_path / "profile") as browser:
        page = browser.page(file.as_uri(), width=1600)
        ...
    assert browser.complaints == []

Without a browser, or without playwright, the test is skipped; see conftest.py for where that is a failure.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_OWN = ("file:", "data:", "blob:", "about:")
_KINDS = ("error",)  # of console messages that are complaints


def executable() -> str:
    """Return the path of a Chromium; skip the test if there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium")
    return found


class Browser:
    """A running Chromium without network.

    :ivar complaints: errors of pages and their consoles, and each address that a page asked for
    """

    def __init__(self, context: Any, own: tuple[str, ...] = _OWN) -> None:
        self.context = context
        self._own = own
        self.complaints: list[str] = []
        context.set_default_timeout(60_000)
        context.route("**/*", self._route)

    def _route(self, route: Any) -> None:
        address = route.request.url
        if address.startswith(self._own):
            route.continue_()
        else:
            self.complaints.append(f"asked for {address}")
            route.abort()

    def page(self, address: str, *, width: int = 1600, height: int = 1000) -> Any:
        """Open *address* in a new page."""
        page = self.context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", self._on_console)
        page.goto(address)
        return page

    def _on_console(self, message: Any) -> None:
        if message.type in _KINDS:
            self.complaints.append(f"console: {message.text}")


@contextmanager
def chromium(profile: Path, server: str | None = None) -> Iterator[Browser]:
    """Start a Chromium with an empty folder as its profile, offline; end it afterwards.

    :param server: an address of this machine that may be reached all the same
    """
    own = (*_OWN, server, server.replace("http", "ws", 1)) if server else _OWN
    playwright = pytest.importorskip("playwright.sync_api")
    path = executable()
    with playwright.sync_playwright() as driver:
        context = driver.chromium.launch_persistent_context(
            str(profile), executable_path=path, headless=True, args=list(ARGUMENTS), offline=server is None
        )
        try:
            yield Browser(context, own)
        finally:
            context.close()
