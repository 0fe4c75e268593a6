"""The same panes in JupyterLab, also where anywidget's own channel has died."""

import os
import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("jupyterlab")
pytestmark = pytest.mark.browser

PAINTED = "document.querySelectorAll('.lrp-pane[data-painted]').length === 4"
TITLES = "[...document.querySelectorAll('.lrp-pane')].map((pane) => pane.querySelector('.gtitle')?.textContent)"
# What a busy page does to anywidget: its two seconds have passed before a widget's code has started.
BUSY = "const limit = AbortSignal.timeout; AbortSignal.timeout = (ms) => limit.call(AbortSignal, ms === 2000 ? 0 : ms);"
# JupyterLab offers news, and complains about things of its own.
FOREIGN = ("console", "page error: [anywidget] Failed to initialize model")


@pytest.fixture(scope="module")
def lab(tmp_path_factory, launch, free_port):
    folder = tmp_path_factory.mktemp("lab")
    shutil.copy(Path(__file__).with_name("panes.ipynb"), folder)
    port = free_port()
    private = ["JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR"]
    env = {**os.environ, **{name: str(folder / ".own" / name) for name in [*private, "IPYTHONDIR"]}}
    options = [
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}",
    ]
    options += [
        "--IdentityProvider.token=",
        "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    return launch([sys.executable, "-m", "jupyterlab", *options], f"http://127.0.0.1:{port}/", env=env)


@pytest.fixture
def run(visit, lab):
    def begin():
        page = visit.page
        page.set_viewport_size({"width": 1400, "height": 1000})
        page.goto(f"{lab.url}lab/tree/panes.ipynb?reset")
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)
        page.locator(".jp-Notebook").click()
        page.keyboard.press("Shift+Enter")
        page.wait_for_function(PAINTED, timeout=60_000)
        return page

    yield begin
    visit.complaints[:] = [text for text in visit.complaints if not text.startswith(FOREIGN)]


def step_through(page) -> None:
    handle = page.locator(".noUi-handle")
    handle.focus()
    for step in range(1, 6):
        handle.press("ArrowRight")
        page.wait_for_function(f"{TITLES}.every((title) => title === 'step {step}')", timeout=10_000)


def test_panes_paint_update_and_survive_a_reload(run) -> None:
    page = run()
    page.wait_for_function(f"{TITLES}.every((title) => title === 'step 7')")
    step_through(page)
    page.locator(".lrp-thumbnail").nth(5).click()
    page.get_by_text("selected 5", exact=True).wait_for()
    page.keyboard.press("Control+s")
    page.wait_for_selector(".jp-mod-dirty", state="detached")
    page.reload()
    page.wait_for_function(PAINTED, timeout=60_000)
    # The kernel lives on: the page shows what it said last.
    page.wait_for_function(f"{TITLES}.every((title) => title === 'step 5')")
    assert page.locator(".lrp-thumbnail[aria-selected=true] .label").inner_text() == "layer 5"


def test_panes_live_where_anywidget_has_given_up(run, visit) -> None:
    visit.page.add_init_script(BUSY)
    step_through(run())
