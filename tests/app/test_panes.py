"""Panes and thumbnails in Voilà and a real browser: nothing lost, nothing stale, nothing from the network."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).with_name("panes.ipynb")
TITLES = "() => [...document.querySelectorAll('.lrp-pane')].map((pane) => pane.querySelector('.gtitle')?.textContent)"
PAINTED = "() => [...document.querySelectorAll('.lrp-pane')].map((pane) => Number(pane.dataset.painted))"
SELECTED = "() => [...document.querySelectorAll('.lrp-thumbnail')].findIndex((o) => o.ariaSelected === 'true')"

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(serve):
    return serve(NOTEBOOK)


@pytest.fixture(scope="module")
def opened(shared_visit, server):
    shared_visit.open(server.url)
    return shared_visit


@pytest.fixture
def drawn(opened):
    """Give the page that all tests share which need none of their own."""
    yield opened.page
    opened.check()


def wait_for_titles(page, title: str) -> None:
    page.wait_for_function(f"(title) => ({TITLES})().every((shown) => shown === title)", arg=title, timeout=30_000)


def middle_pixel(page, pane: int) -> list[int]:
    """Read what is really drawn: the heatmap is an image that Plotly makes from the values."""
    return page.evaluate(
        """async (index) => {
            const image = document.querySelectorAll(".lrp-pane")[index].querySelector(".heatmaplayer image");
            const bitmap = await createImageBitmap(await (await fetch(image.href.baseVal)).blob());
            const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
            canvas.drawImage(bitmap, 0, 0);
            return [...canvas.getImageData(bitmap.width / 2, bitmap.height / 2, 1, 1).data];
        }""",
        pane,
    )


def test_twenty_updates_of_each_pane_reach_the_page(drawn) -> None:
    handle = drawn.locator(".noUi-handle")
    handle.focus()
    handle.press("Home")
    handle.press("ArrowRight")
    wait_for_titles(drawn, "step 1")
    for step in range(2, 22):
        before = drawn.evaluate(PAINTED)
        pixels = [middle_pixel(drawn, pane) for pane in range(3)]
        handle.press("ArrowRight")
        wait_for_titles(drawn, f"step {step}")
        drawn.wait_for_function(f"(before) => ({PAINTED})().every((n, i) => n > before[i])", arg=before, timeout=30_000)
        assert all(middle_pixel(drawn, pane) != pixels[pane] for pane in range(3)), f"step {step}: the same picture"
    drawn.wait_for_function(
        "() => [...document.querySelectorAll('.caption')].every((c) => c.textContent === 'step 21')"
    )
    count = drawn.locator(".lrp-pane").first.get_attribute("data-painted")
    drawn.get_by_text(f"painted {count}", exact=True).wait_for()


def test_a_fast_drag_ends_at_the_last_value(drawn) -> None:
    handle = drawn.locator(".noUi-handle")
    handle.focus()
    handle.press("Home")
    wait_for_titles(drawn, "step 0")
    for _ in range(40):
        handle.press("ArrowRight")
    wait_for_titles(drawn, "step 40")
    # One pane changes its data, the other gets a new figure each time: both must have come to the same end.
    assert middle_pixel(drawn, 0) == middle_pixel(drawn, 1)


def test_a_page_shows_what_was_said_before_it_came_and_takes_its_kernel_with_it(visit, server, eventually) -> None:
    others = server.kernels()
    visit.open(server.url)
    wait_for_titles(visit.page, "step 7")
    assert visit.page.evaluate(SELECTED) == 2
    assert visit.page.locator(".lrp-thumbnail .caption").first.inner_text() == "step 7"
    assert visit.page.title() == "Panes"
    first = server.kernels() - others
    assert len(first) == 1

    visit.page.locator(".noUi-handle").press("ArrowRight")
    wait_for_titles(visit.page, "step 1")
    visit.reload()
    wait_for_titles(visit.page, "step 7")
    assert eventually(lambda: not first & server.kernels()), "the kernel before the reload lives on"
    second = server.kernels() - others
    assert len(second) == 1

    visit.leave()
    assert eventually(lambda: not second & server.kernels()), "the kernel of the closed page lives on"


BARS = "(index) => [...document.querySelectorAll('.lrp-pane .js-plotly-plot')][index]?.data?.[0].y.join()"


def test_an_update_that_was_lost_is_asked_for(drawn) -> None:
    drawn.get_by_role("button", name="lose one").click()
    drawn.wait_for_function(f"() => ({BARS})(3) === '70,80,90'", timeout=30_000)
    drawn.wait_for_function(f"() => ({TITLES})()[3] === 'after the loss'")


def test_a_second_view_shows_the_present_state(visit, server) -> None:
    visit.open(server.url)
    visit.page.get_by_role("button", name="second view").click()
    for index in (3, 4):
        visit.page.wait_for_function(f"() => ({BARS})({index}) === '5,6,7'", timeout=30_000)
        visit.page.wait_for_function(f"() => ({TITLES})()[{index}] === 'twice'")
    visit.leave()


def test_a_click_in_a_heatmap_reaches_python(drawn) -> None:
    box = drawn.locator(".lrp-pane").first.locator(".nsewdrag").bounding_box()
    drawn.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    drawn.mouse.down()
    drawn.mouse.up()
    drawn.get_by_text("clicked 8 19").wait_for()


def test_thumbnails_by_mouse_and_keyboard(drawn) -> None:
    drawn.locator(".lrp-thumbnail").nth(5).click()
    drawn.get_by_text("selected 5", exact=True).wait_for()
    for key in ("ArrowRight", "ArrowRight", "End", "ArrowLeft"):
        drawn.keyboard.press(key)
    assert drawn.evaluate(SELECTED) == 18
    drawn.get_by_text("selected 18", exact=True).wait_for()
    assert drawn.evaluate(SELECTED) == 18
    assert drawn.evaluate("() => window.scrollY") == 0
    drawn.keyboard.press("Home")
    drawn.get_by_text("selected 0", exact=True).wait_for()


def test_words_for_those_who_cannot_see(drawn) -> None:
    step = drawn.locator(".lrp-pane .gtitle").first.text_content()
    assert drawn.get_by_role("figure", name=f"small, {step}", exact=True).count() == 1
    assert drawn.get_by_role("figure", name="bars").count() == 1
    strip = drawn.get_by_role("listbox", name="layers")
    assert strip.get_by_role("option").nth(3).get_attribute("aria-label") == f"layer 3, {step}"
    assert strip.get_by_role("option", selected=True).count() == 1


def test_panes_follow_the_width_of_the_window(drawn) -> None:
    widths = "() => [...document.querySelectorAll('.lrp-pane .main-svg:first-child')].map((svg) => svg.clientWidth)"
    drawn.set_viewport_size({"width": 1900, "height": 900})
    drawn.wait_for_function(f"() => ({widths})().every((width) => width > 700)")
    drawn.set_viewport_size({"width": 1000, "height": 700})
    drawn.wait_for_function(f"() => ({widths})().every((width) => width < 500)")
    assert drawn.evaluate("() => document.documentElement.scrollWidth") <= 1000


def test_nothing_offers_to_send_figures_away(drawn) -> None:
    drawn.locator(".lrp-pane").first.hover()
    titles = drawn.locator(".lrp-pane").first.locator(".modebar-btn")
    names = [titles.nth(i).get_attribute("data-title") for i in range(titles.count())]
    assert names
    assert not [name for name in names if name and ("loud" in name or "hare" in name or "Plotly" in name)]


def test_plotly_is_loaded_once_and_leaves_the_page_clean(drawn) -> None:
    # It came while Python was starting, not with the first pane.
    names = drawn.evaluate("() => performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert len([name for name in names if "/lrp/plotly-" in name]) == 1
    assert drawn.evaluate("() => Object.keys(globalThis[Symbol.for('lrp_explorer.plotly')]).length") == 1
    assert drawn.locator("script[src^='blob:']").count() == 0
