"""The panel in a real browser: JupyterLab opens notebook 1, the page is stepped, reloaded and stepped on."""

import re
import shutil
from pathlib import Path

import pytest

from tests.browser import chromium
from tests.jupyter_lab import SAVE_JS, jupyter_lab, open_notebook, write_notebook

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.xdist_group("browser")

NEXT_CELL_JS = "window.jupyterapp.commands.execute('notebook:run-cell-and-select-next')"
ASK_JS = """async (expression) => {
  const kernel = window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel
  const asked = kernel.requestExecute({ code: "", silent: false, user_expressions: { it: expression } })
  const { it } = (await asked.done).content.user_expressions
  if (it.status !== "ok") throw new Error(it.evalue)
  return it.data["text/plain"]
}"""
# Nothing in the page may complain; these are JupyterLab's own, of a page that is left or reloaded.
_JUPYTER = re.compile(r"favicon|WebSocket|net::ERR_|Canceled|status of 404|disposed|/lsp|extension")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("lab")
    shutil.copy(ROOT / "notebooks" / "01-first-steps.ipynb", made / "first.ipynb")
    return made


@pytest.fixture(scope="module")
def lab(folder):
    with jupyter_lab(folder) as running:
        yield running


@pytest.fixture(scope="module")
def browser(lab, tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile"), lab.url) as started:
        yield started


@pytest.fixture
def page(browser):
    made = browser.page("about:blank", width=1400, height=1600)
    yield made
    made.close()


def ask(page, expression):
    """Evaluate in the kernel of the notebook in front."""
    return page.evaluate(ASK_JS, expression)


def run_cells(page, count):
    for _ in range(count):
        page.evaluate(NEXT_CELL_JS)


def complaints(browser):
    return [text for text in browser.complaints if not _JUPYTER.search(text)]


def status(page):
    """Return what the page says: accesses, the source device's state, its pending bytes."""
    text = page.locator(".vfiokit-panel").first.inner_text()
    accesses = int(re.search(r"after ([\d,]+) accesses", text)[1].replace(",", ""))
    side = page.locator(".vfiokit-panel [data-side=source]").first.inner_text()
    known = re.search(r"here\s+([a-z-]+)(?:, ([\d.]+ \w+) pending)?", side)
    return accesses, known[1], known[2]


def wait_for(page, pattern):
    page.wait_for_function(
        "pattern => new RegExp(pattern).test(document.querySelector('.vfiokit-panel')?.innerText ?? '')",
        arg=pattern,
    )


def kernel_status(page):
    """Return the same from the kernel, of the debugger of the page's panel."""
    accesses, state, pending = ask(
        page,
        "(lambda m: (m.count, __import__('vfiokit.uapi.migration_v5', fromlist=['x'])"
        ".state_name(m.side('source').devices['here'].state),"
        "__import__('vfiokit.units', fromlist=['x'])"
        ".show_size(m.side('source').devices['here'].registers['pending_bytes'])))(dbg.moment)",
    )[1:-1].split(", ", 2)
    return int(accesses), state.strip("'"), pending.strip("'")


def test_notebook_one_is_stepped_to_stop_and_copy_reloaded_and_stepped_on(lab, browser, page):
    open_notebook(page, lab, "first.ipynb")
    run_cells(page, 2)  # the title, the cell with the panel
    page.wait_for_selector(".vfiokit-step button, button.vfiokit-step")
    wait_for(page, "after [\\d,]+ accesses")
    before, _, _ = status(page)
    step = page.locator("button.vfiokit-step").first
    for more in range(1, 4):
        step.click()
        wait_for(page, f"after {before + more:,} accesses")
    # By the keyboard, the focus being on the button.
    page.keyboard.press("s")
    wait_for(page, f"after {before + 4:,} accesses")

    place = page.locator(".vfiokit-panel input[type=text]").first
    # Up to the loop's last accesses, then by Step alone into stop-and-copy.
    place.fill("state finish-migrate side source")
    place.press("Tab")
    page.locator("button.vfiokit-until").first.click()
    wait_for(page, "VM\\s+finish-migrate")
    reached = status(page)
    assert reached == kernel_status(page)
    assert reached[1] == "pre-copy"
    while reached[1] == "pre-copy":
        step.click()
        wait_for(page, f"after {reached[0] + 1:,} accesses")
        reached = status(page)
        assert reached == kernel_status(page)
    stepped = status(page)
    assert stepped[1] == "stop-and-copy"
    assert stepped == kernel_status(page)

    page.evaluate(SAVE_JS)
    page.reload()
    page.wait_for_selector("button.vfiokit-step", timeout=60_000)
    wait_for(page, f"after {stepped[0]:,} accesses")
    # BokehJS is gone with the old page; the pane has asked its kernel for it, and shows the convergence.
    page.wait_for_selector(".vfiokit-pane .bk-Canvas, .vfiokit-pane canvas", state="attached")
    page.locator("button.vfiokit-step").first.click()
    wait_for(page, f"after {stepped[0] + 1:,} accesses")
    assert status(page) == kernel_status(page)
    assert complaints(browser) == []


def test_a_restarted_kernel_shows_a_saved_recording_again(lab, browser, page, folder):
    work = "emulated:v5?state=1M&chunk=256K&dirty=1M/s&dma=50M/s"
    write_notebook(
        folder / "saved.ipynb",
        "import vfiokit\nfrom vfiokit.addresses import open_device\n"
        "from vfiokit.clock import SimulatedClock\n"
        "clock = SimulatedClock()\n"
        f"ends = [open_device(f'{work}&name={{n}}', clock=clock) for n in ('here', 'there')]\n"
        "dbg = vfiokit.debug(*ends, memory=4 << 20)\nstop = dbg.finish()\ndbg.recording.save('saved.vfk')",
        "import vfiokit\np = vfiokit.panel('saved.vfk')\ndbg = p.debugger\np",
    )
    open_notebook(page, lab, "saved.ipynb")
    run_cells(page, 1)
    page.wait_for_function(
        "window.jupyterapp.shell.currentWidget.content.model.cells.get(0).executionCount === 1"
    )
    page.evaluate("window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.restart()")
    page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1")
    run_cells(page, 1)
    page.wait_for_selector("button.vfiokit-step")
    wait_for(page, "after 0 accesses")
    page.locator("button.vfiokit-finish").first.click()
    wait_for(page, "the migration has ended")
    for tab in ("States", "Regions", "Registers", "Timeline", "Dirty pages", "Overview"):
        page.locator(f".vfiokit-panel .lm-TabBar-tab:has-text('{tab}')").click()
        shown = page.locator(".vfiokit-panel .widget-tab-contents > :not(.lm-mod-hidden)")
        shown.locator("canvas, table").first.wait_for()

    # One press, and the report is there to be taken away.
    page.locator(".vfiokit-panel .jupyter-widget-Collapse-header:has-text('Report')").click()
    page.locator("button.vfiokit-report").click()
    with page.expect_download() as download:
        page.locator(".vfiokit-panel a[download]").click()
    assert Path(download.value.path()).read_bytes() == (folder / "vfiokit-session.html").read_bytes()
    assert complaints(browser) == []
