"""Screenshots of every view, of the report and of the live panel: ``make shots`` writes them to out/shots.

Two widths, two themes. They are looked at by people; docs/images has the ones that the README shows.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import vfiokit
from tests.browser import chromium
from tests.jupyter_lab import jupyter_lab, open_notebook, run_all, write_notebook
from vfiokit import view
from vfiokit.addresses import open_device
from vfiokit.clock import SimulatedClock
from vfiokit.recording import Recording

WIDTHS, THEMES = (600, 1600), ("light", "dark")
VIEWS = {
    "convergence": view.convergence,
    "states": view.states,
    "timeline": view.timeline,
    "regions": view.regions,
    "dirty": view.dirty,
    "dirty-hilbert": lambda recording, theme: view.dirty(recording, theme=theme, order="hilbert"),
    "inspector": view.inspector,
}
# A device that dirties its own state and the guest's memory faster than it first converges.
SOURCE = "emulated:v5?state=48M&chunk=1M&dirty=30M/s&dma=60M/s&pattern=hot&param=512&name=source-gpu"
THERE = "emulated:v5?state=48M&name=there-gpu"
SESSION = f"""
import vfiokit
from vfiokit.addresses import open_device
from vfiokit.clock import SimulatedClock
clock = SimulatedClock()
limits = vfiokit.Parameters(bandwidth=200 << 20, downtime_limit_ns=60_000_000)
ends = [open_device(address, clock=clock) for address in ({SOURCE!r}, {THERE!r})]
dbg = vfiokit.debug(*ends, memory=64 << 20, parameters=limits)
"""


def recording() -> Recording:
    """Return a session's recording, the same each time."""
    clock = SimulatedClock()
    ends = [open_device(address, clock=clock) for address in (SOURCE, THERE)]
    limits = vfiokit.Parameters(bandwidth=200 << 20, downtime_limit_ns=60_000_000)
    debugger = vfiokit.debug(*ends, memory=64 << 20, parameters=limits)
    debugger.finish()
    debugger.close()
    return debugger.recording


def pages(folder: Path) -> Iterator[tuple[str, Path]]:
    """Write each view and the report in each theme; yield names and files."""
    made = recording()
    for theme in THEMES:
        for name, picture in VIEWS.items():
            path = folder / f"{name}-{theme}.html"
            picture(made, theme=theme).save(path)
            yield f"{name}-{theme}", path
        yield f"report-{theme}", vfiokit.report(made, folder / f"report-{theme}.html", theme=theme)


def shoot_pages(folder: Path, out: Path) -> None:
    """Take each page at each width, as long as it is."""
    with chromium(folder / "profile") as browser:
        for name, path in pages(folder):
            for width in WIDTHS:
                page = browser.page(path.as_uri(), width=width, height=900)
                page.wait_for_selector(".bk-Canvas, .bk-Div", state="attached")
                page.wait_for_timeout(1500)  # until webgl and fonts have come; nothing tells
                page.screenshot(path=out / f"{name}-{width}.png", full_page=True)
                page.close()
                print(out / f"{name}-{width}.png")
        assert browser.complaints == [], browser.complaints


def shoot_panel(folder: Path, out: Path) -> None:
    """Take the live panel in JupyterLab, in the middle of a migration."""
    with jupyter_lab(folder) as lab, chromium(folder / "lab-profile", lab.url) as browser:
        for theme in THEMES:
            write_notebook(
                folder / f"{theme}.ipynb",
                SESSION + "stop = dbg.until(turn=60)",
                f"panel = vfiokit.panel(dbg, theme={theme!r})\npanel",
            )
            for width in WIDTHS:
                page = browser.page("about:blank", width=max(width, 900), height=1500)
                open_notebook(page, lab, f"{theme}.ipynb")
                page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
                run_all(page)
                panel = page.locator(".vfiokit-panel").first
                panel.locator("canvas").first.wait_for(state="attached")
                page.wait_for_timeout(2500)
                panel.screenshot(path=out / f"panel-{theme}-{width}.png")
                print(out / f"panel-{theme}-{width}.png")
                page.close()


def main() -> None:
    """Write all of them."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/shots")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        shoot_pages(Path(folder), out)
        shoot_panel(Path(folder), out)


if __name__ == "__main__":
    main()
