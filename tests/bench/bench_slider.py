"""From the key on the γ slider to the heatmap painted: the time that a person waits, in a real browser.

Run on demand; nothing is asserted:

    python tests/bench/bench_slider.py [--steps 40] [--notebook some.ipynb]

Every step presses an arrow key on the slider and waits until the browser has painted the heatmap of the input anew:
key → kernel → engine → figure → browser → Plotly → next frame. Goal on the default model: a median of at most 150 ms.
"""

import argparse
import shutil
import signal
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))
from app.conftest import SWITCHES, free_port, start

WATCH = """() => {
    window.waits = [];
    let since = 0;
    const pane = document.querySelector(".lrp-card-input .lrp-pane");
    new MutationObserver(() => {
        if (since) window.waits.push(performance.now() - since);
        since = 0;
    }).observe(pane, { attributes: true, attributeFilter: ["data-painted"] });
    document.addEventListener("keydown", () => { since = performance.now(); }, true);
}"""


def measure(url: str, steps: int) -> tuple[list[float], str]:
    """Press the arrow key `steps` times; give the waits in milliseconds, and what the status line says."""
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=SWITCHES)
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(url)
        page.wait_for_selector(".lrp-thumbnail", timeout=120_000)
        page.wait_for_timeout(3000)
        page.evaluate(WATCH)
        page.get_by_role("slider", name="γ").focus()
        for step in range(steps):
            page.keyboard.press("ArrowRight")
            page.wait_for_function("(count) => window.waits.length > count", arg=step, timeout=30_000)
            # Until the rest of the page is painted too: each step is to begin at rest.
            page.wait_for_timeout(150)
        waits = page.evaluate("window.waits")
        status = page.locator(".lrp-status").inner_text()
        browser.close()
    return waits, status


def main() -> None:
    """Start the app, measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--notebook", default=None)
    options = parser.parse_args()
    port = free_port()
    command = f"from lrp_explorer.app.server import serve; serve({port}, browser=False, notebook={options.notebook!r})"
    with tempfile.TemporaryDirectory() as folder:
        server = start([sys.executable, "-c", command], f"http://127.0.0.1:{port}/", Path(folder) / "log")
        try:
            waits, status = measure(server.url, options.steps)
        finally:
            server.stop(signal.SIGTERM)
    tenths = statistics.quantiles(waits, n=10)
    print(f"slider to painted heatmap, {len(waits)} steps: median {statistics.median(waits):.0f} ms, ", end="")
    print(f"fastest {min(waits):.0f} ms, nine of ten within {tenths[-1]:.0f} ms; propagation alone: {status}")


if __name__ == "__main__":
    main()
