"""The app as a stranger meets it: the packaged notebook under Voilà, a real browser, nothing beyond this machine."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

PANES = ".lrp-explorer .lrp-pane"
THUMBNAILS = ".lrp-thumbnail"
INPUT, LAYER, SUMS = ".lrp-card-input", ".lrp-card-layer", ".lrp-card-sums"
SIZES = {"small": (1280, 720), "large": (1920, 1080)}


class ExplorerPage:
    """What a person sees and does on the explorer's page."""

    def __init__(self, page):
        self.page = page

    def wait(self):
        """Wait until the first explanation is painted."""
        self.page.wait_for_selector(THUMBNAILS, timeout=120_000)
        self.page.wait_for_function(f"document.querySelectorAll('{PANES}[data-painted]').length === 4")
        self.until("document.querySelector('.lrp-card-input .js-plotly-plot')?.data?.length === 2")

    def until(self, condition, within=30_000):
        self.page.wait_for_function(condition, timeout=within)

    def relevance(self, card=INPUT, trace=1):
        """The values that Plotly holds for a heatmap: what is painted, not what was sent."""
        script = "([card, trace]) => Array.from(document.querySelector(card + ' .js-plotly-plot').data[trace].z, (row) => Array.from(row))"  # noqa: E501
        return self.page.evaluate(script, [card, trace])

    def heading(self, card):
        return self.page.locator(f"{card} h2").inner_text()

    def painted(self):
        script = "(found) => found.map((pane) => Number(pane.dataset.painted))"
        return self.page.locator(f"{PANES}, .lrp-thumbnails").evaluate_all(script)

    def picture(self, card=INPUT):
        """What a person sees."""
        return self.page.locator(f"{card} .lrp-pane").screenshot()

    def slider(self, name):
        return self.page.get_by_role("slider", name=name)

    def drag(self, name, share):
        """Drag a slider by the mouse to a share of its track, in small steps."""
        handle = self.slider(name)
        track = handle.locator("xpath=ancestor::*[contains(@class, 'noUi-base')]").bounding_box()
        knob = handle.bounding_box()
        mouse = self.page.mouse
        height = knob["y"] + knob["height"] / 2
        mouse.move(knob["x"] + knob["width"] / 2, height)
        mouse.down()
        mouse.move(track["x"] + share * track["width"], height, steps=12)
        mouse.up()

    def choose(self, label, option):
        self.page.get_by_label(label, exact=True).select_option(option)

    def click_class(self, row, rows=5):
        pane = self.page.locator(".lrp-card-classes .lrp-pane")
        box = pane.bounding_box()
        pane.click(position={"x": box["width"] * 0.7, "y": box["height"] * (row + 0.5) / rows})

    def errors(self):
        return self.page.locator(".lrp-error strong:visible").all_inner_texts()


@pytest.fixture(scope="module")
def server(serve):
    return serve()


@pytest.fixture(scope="module")
def explorer(server, shared_visit):
    shared_visit.page.set_viewport_size({"width": 1280, "height": 720})
    shared_visit.open(server.url)
    explorer = ExplorerPage(shared_visit.page)
    explorer.wait()
    return explorer


def differs(explorer, before, card=INPUT, trace=1):
    """Wait until other values are painted than `before`, and give them."""
    script = "([card, trace, before]) => JSON.stringify(Array.from(document.querySelector(card + ' .js-plotly-plot').data[trace].z, (row) => Array.from(row))) !== before"  # noqa: E501
    explorer.page.wait_for_function(script, arg=[card, trace, as_json(explorer, before)], timeout=30_000)
    return explorer.relevance(card, trace)


def as_json(explorer, values):
    return explorer.page.evaluate("(values) => JSON.stringify(values)", values)


def test_it_opens_without_an_error_in_page_or_cells(explorer, shared_visit):
    assert explorer.errors() == []
    assert explorer.page.locator("[data-mime-type*='error'], [data-mime-type*='stderr']").count() == 0
    assert (
        "CPU" in explorer.page.locator(".lrp-status").inner_text()
        or "GPU" in explorer.page.locator(".lrp-status").inner_text()
    )
    assert explorer.page.locator(".lrp-notes").count() == 0
    shared_visit.check()


@pytest.mark.parametrize("size", SIZES)
def test_everything_fits_without_scrolling(explorer, size):
    width, height = SIZES[size]
    explorer.page.set_viewport_size({"width": width, "height": height})
    explorer.page.wait_for_timeout(500)
    overflow = "document.documentElement.scrollHeight - innerHeight, document.documentElement.scrollWidth - innerWidth"
    assert explorer.page.evaluate(f"[{overflow}]") == [0, 0]
    lowest = explorer.page.evaluate("document.querySelector('.lrp-explorer').getBoundingClientRect().bottom")
    assert 0.9 * height < lowest <= height
    scrolling = """[...document.querySelectorAll('.lrp-explorer, .lrp-explorer *')].filter((el) => {
        const way = getComputedStyle(el);
        const down = /auto|scroll/.test(way.overflowY) && el.scrollHeight > el.clientHeight + 1;
        const along = /auto|scroll/.test(way.overflowX) && el.scrollWidth > el.clientWidth + 1;
        return down || along;
    }).map((el) => el.className)"""
    assert explorer.page.evaluate(scrolling) == []
    explorer.page.set_viewport_size({"width": 1280, "height": 720})


def test_what_cannot_be_seen_is_named(explorer):
    for name in ("ε", "γ"):
        assert explorer.slider(name).count() == 1
    labels = explorer.page.locator(f"{PANES}, .lrp-thumbnails").evaluate_all("(all) => all.map((el) => el.ariaLabel)")
    assert len(labels) == 5
    assert all(len(label) > 20 for label in labels)
    assert any(label.startswith("Heatmap of 28 by 28 values") for label in labels)


def test_dragging_gamma_moves_the_heatmap_on_the_way(explorer):
    before, seen, count = explorer.relevance(), explorer.picture(), explorer.painted()[1]
    explorer.drag("γ", 0.8)
    after = differs(explorer, before)
    explorer.until("!document.querySelector('.lrp-busy')")
    assert explorer.picture() != seen
    assert explorer.painted()[1] - count >= 2
    assert abs(sum(map(sum, after)) - sum(map(sum, before))) < 0.2 * abs(sum(map(sum, before)))


def test_twenty_rounds_leave_no_figure_dead(explorer, shared_visit):
    for turn in range(20):
        painted = explorer.painted()
        values = explorer.relevance()
        explorer.drag("γ", 0.2 + 0.6 * (turn % 2))
        values = differs(explorer, values)
        explorer.click_class(1 + turn % 4)
        values = differs(explorer, values)
        layers = explorer.page.locator(THUMBNAILS)
        chosen = layers.nth(1 + turn % (layers.count() - 1))
        name = chosen.locator(".label").inner_text()
        if chosen.get_attribute("aria-selected") == "true":
            chosen, name = layers.nth(0), "input"
        chosen.click()
        explorer.page.locator(f"{LAYER} h2", has_text=f"Layer {name}").wait_for()
        explorer.page.get_by_role("button", name="Next example").click()
        differs(explorer, values)
        script = "(before) => [...document.querySelectorAll('.lrp-pane, .lrp-thumbnails')].every((el, i) => el.dataset.painted > before[i])"  # noqa: E501
        explorer.page.wait_for_function(script, arg=painted, timeout=30_000)
        if turn % 5 == 4:
            switch_model(explorer, "digits-mlp")
            switch_model(explorer, "digits-cnn")
        assert explorer.errors() == []
        shared_visit.check()


def switch_model(explorer, name):
    layers = explorer.page.locator(f"{THUMBNAILS} .label").all_inner_texts()
    explorer.choose("Model", name)
    script = "(old) => [...document.querySelectorAll('.lrp-thumbnail .label')].map((el) => el.innerText).join() !== old"
    explorer.page.wait_for_function(script, arg=",".join(layers), timeout=60_000)
    explorer.until("!document.querySelector('.lrp-busy, .lrp-stale')")


def test_every_composite_paints(explorer):
    options = explorer.page.get_by_label("Composite", exact=True).locator("option").all_inner_texts()
    values = explorer.relevance()
    for option in [*options[1:], options[0]]:
        painted = explorer.painted()[1]
        explorer.choose("Composite", option)
        explorer.until(f"Number(document.querySelectorAll('{PANES}')[1].dataset.painted) > {painted}")
        assert explorer.errors() == []
    assert len(values) == 28


def test_the_layout_does_not_jump_while_values_change(explorer):
    script = "[...document.querySelectorAll('.lrp-card, .lrp-pane, .lrp-card .widget-slider')].map((el) => JSON.stringify(el.getBoundingClientRect()))"  # noqa: E501
    places = explorer.page.evaluate(script)
    plot = "(() => { const full = document.querySelector('.lrp-card-input .js-plotly-plot')._fullLayout; return [full._size.l, full._size.t, full._size.w, full._size.h]; })()"  # noqa: E501
    inside = explorer.page.evaluate(plot)
    for share in (0.1, 0.9, 0.4):
        before = explorer.relevance()
        explorer.drag("γ", share)
        differs(explorer, before)
        before = explorer.relevance()
        explorer.drag("ε", share)
        differs(explorer, before)
    assert explorer.page.evaluate(script) == places
    assert explorer.page.evaluate(plot) == inside


def test_data_that_is_not_here_is_told_and_the_app_lives_on(serve, visit, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LRP_EXPLORER_CACHE", str(tmp_path))
    # Nothing may be fetched in a test: the address of the proxy answers nobody.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    visit.open(serve().url)
    explorer = ExplorerPage(visit.page)
    explorer.wait()
    explorer.choose("Data", "mnist")
    explorer.page.locator(".lrp-error strong").wait_for(timeout=60_000)
    assert "mnist" in explorer.errors()[0]
    assert "not on this machine" in explorer.errors()[0]
    assert explorer.page.locator(".lrp-stale").count() == 1
    explorer.choose("Data", "digits")
    explorer.until("!document.querySelector('.lrp-stale')")
    assert explorer.errors() == []


@pytest.fixture(scope="module")
def own(serve):
    return serve(Path(__file__).with_name("own.ipynb"))


def test_the_error_of_a_callback_is_shown_and_ones_own_model_lives_on(own, visit):
    visit.open(own.url)
    explorer = ExplorerPage(visit.page)
    explorer.wait()
    assert explorer.page.get_by_label("Model", exact=True).input_value() == "Sequential (yours)"
    explorer.page.locator(".lrp-notes summary").wait_for()
    forward = explorer.page.get_by_role("button", name="Next example")
    before = explorer.relevance()
    forward.click()
    before = differs(explorer, before)
    explorer.page.locator(".lrp-card-subject .lrp-fact b", has_text="<level>").wait_for()
    forward.click()
    explorer.page.locator(".lrp-error strong").wait_for()
    assert explorer.errors() == [
        "example 2 of the data set cannot be read (OSError: example 2 is on a disk that is gone)"
    ]
    explorer.page.locator(".lrp-error summary").click()
    assert "Traceback" in explorer.page.locator(".lrp-error pre").inner_text()
    forward.click()
    explorer.page.locator(".lrp-error strong").wait_for(state="hidden")
    explorer.until("!document.querySelector('.lrp-stale')")
    before = explorer.relevance()
    explorer.drag("ε", 0.9)
    before = differs(explorer, before)
    explorer.click_class(1, rows=2)
    differs(explorer, before)


def test_its_kernel_ends_when_the_page_is_closed(serve, visit, eventually):
    server = serve()
    visit.open(server.url)
    ExplorerPage(visit.page).wait()
    assert len(server.kernels()) == 1
    visit.leave()
    assert eventually(lambda: not server.kernels(), within=30)
