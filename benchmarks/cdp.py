"""A browser by its own protocol, the Runtime and the Page part alone: what a page does is not slowed down.

Playwright turns on the Network part, which copies each message of a websocket, and a picture's frames are
such messages.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--remote-debugging-port=0", "--remote-allow-origins=*", "--window-size=1400,1600"),
)


class Page:
    """One page."""

    def __init__(self, address: str) -> None:
        self._socket = websocket.create_connection(address, timeout=120)
        self._numbers = count(1)

    def call(self, method: str, **parameters: Any) -> Any:
        """Return what a method of the protocol returns; RuntimeError if it failed."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv())).get("id") != number:
            pass
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def evaluate(self, script: str) -> Any:
        """Return the value of a script; it may be a promise."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def open(self, address: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=address)

    def wait(self, script: str, seconds: float = 60) -> None:
        """Wait until a script is true; RuntimeError if it does not become so."""
        end = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({script})"):
            if time.monotonic() > end:
                raise RuntimeError(f"in {seconds:.0f} s this did not become true: {script}")
            time.sleep(0.1)

    def close(self) -> None:
        """Let go of the page."""
        self._socket.close()


@contextmanager
def browser_page(profile: Path) -> Iterator[Page]:
    """Start Chromium with an empty profile and yield its page; RuntimeError if there is none."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        raise RuntimeError("no Chromium: apt-get install chromium")
    process = subprocess.Popen(
        [path, *ARGUMENTS, f"--user-data-dir={profile}", "about:blank"], stderr=subprocess.PIPE, text=True
    )
    try:
        port = _port(process)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            target = next(one for one in json.load(answer) if one["type"] == "page")
        page = Page(target["webSocketDebuggerUrl"])
        # Else the page has no focus, and JupyterLab no widget in front.
        page.call("Emulation.setFocusEmulationEnabled", enabled=True)
        yield page
        page.close()
    finally:
        process.terminate()
        process.wait()


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("DevTools listening on ws://127.0.0.1:"):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return int(line.split(":")[2].split("/")[0])
    raise RuntimeError(f"Chromium ended with {process.wait()}")
