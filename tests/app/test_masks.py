"""The Masks panel in a real browser: masks of a few classes, θ that moves all of them, everything on one screen."""

import pytest

from lrp_explorer.zoo.downloads import CACHE_VARIABLE

pytestmark = pytest.mark.browser

GRID = ".lrp-card-grid .js-plotly-plot"
LARGE = ".lrp-card-large .js-plotly-plot"
VALUES = f"Array.from(document.querySelector('{GRID}').data[0].z, (row) => Array.from(row, (v) => (v > 0 ? 1 : 0)))"
OVERFLOW = "[document.documentElement.scrollHeight - innerHeight, document.documentElement.scrollWidth - innerWidth]"
TILE = f"""(() => {{
  const {{ xaxis, yaxis, shapes }} = document.querySelector('{GRID}')._fullLayout;
  const {{ x0, x1, y0, y1 }} = shapes[0];
  const box = document.querySelector('{GRID}').getBoundingClientRect();
  const at = (axis, value) => axis._offset + axis.d2p(value);
  return [box.x + at(xaxis, x0), box.y + at(yaxis, y0), at(xaxis, x1) - at(xaxis, x0), at(yaxis, y1) - at(yaxis, y0)];
}})()"""


@pytest.fixture(scope="module")
def server(serve, tmp_path_factory):
    """A server that keeps finished masks in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield serve()


@pytest.fixture
def masks(server, visit):
    """A page with the Masks panel open, and its first masks computed."""
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 720})
    visit.open(server.url)
    page.wait_for_selector(".lrp-thumbnail", timeout=120_000)
    page.wait_for_function("!document.querySelector('.lrp-busy')")
    page.get_by_role("button", name="Masks", exact=True).click()
    told(page, "200 of 200 examples")
    page.wait_for_function(f"document.querySelector('{GRID}')?._fullLayout?.annotations?.[10]?.text.includes('200')")
    return page


def told(page, words):
    page.locator(".lrp-card-masks .lrp-fact", has_text=words).wait_for(timeout=60_000)


def press(page, *names):
    for name in names:
        page.locator(".lrp-card-masks").get_by_role("button", name=name, exact=True).click()


def two_classes(page):
    press(page, "3", "8")
    page.locator(".lrp-card-masks .lrp-hint", has_text="choices have changed").wait_for()
    press(page, "Compute")
    told(page, "done: 40 of 40 examples")
    page.wait_for_function(f"document.querySelector('{GRID}').layout.annotations[1].text.includes('8')")


def test_masks_of_two_classes_fill_the_grid_and_theta_moves_all(masks):
    page = masks
    two_classes(page)
    before = page.evaluate(VALUES)
    wide, gap = 28, 2
    # Two rows, and the columns of OR and AND.
    assert [len(before), len(before[0])] == [2 * wide + gap, 2 * wide + gap]
    left, top, width, height = page.evaluate(TILE)
    assert width == pytest.approx(height, abs=1)
    assert width > 115
    slider = page.get_by_role("slider", name="θ", exact=True)
    slider.focus()
    for _ in range(12):
        slider.press("ArrowLeft")
    page.wait_for_function(f"JSON.stringify({VALUES}) !== JSON.stringify({before})")
    page.wait_for_timeout(500)
    after = page.evaluate(VALUES)
    for row in (0, wide + gap):
        more, less = (sum(sum(line[:wide]) for line in z[row : row + wide]) for z in (after, before))
        assert more > less > 0
    told(page, "done: 40 of 40")
    page.mouse.move(left + 1.5 * width, top + height / 2)
    hovered = page.locator(f"{GRID} .hovertext").first
    hovered.wait_for()
    assert "3 · and" in hovered.text_content()
    assert "n = 20" in hovered.text_content()
    for size in ({"width": 1280, "height": 720}, {"width": 1920, "height": 1080}):
        page.set_viewport_size(size)
        page.wait_for_timeout(400)
        assert page.evaluate(OVERFLOW) == [0, 0]
        assert page.evaluate("document.querySelector('.lrp-explorer').getBoundingClientRect().bottom") > (
            0.9 * size["height"]
        )
    assert page.locator(".lrp-error strong:visible").count() == 0


def test_a_click_enlarges_a_mask_and_the_prediction_follows_what_is_done_with_it(masks):
    page = masks
    left, top, width, height = page.evaluate(TILE)
    heading = page.locator(".lrp-card-large h2")
    assert heading.text_content().startswith("0 · or")
    page.mouse.click(left + 4.5 * width, top + height / 2)
    heading.filter(has_text="4 · or").wait_for()
    effect = page.locator(".lrp-card-effect h2")
    effect.filter(has_text="pixels replaced").wait_for()
    kept = effect.text_content()
    page.locator(".lrp-card-effect").get_by_role("button", name="Remove", exact=True).click()
    page.wait_for_function(f"document.querySelector('.lrp-card-effect h2').textContent !== {kept!r}")
    assert effect.text_content().startswith("“0” 100% → ")


def test_deep_layers_are_square_maps_or_bars_and_come_back_from_the_cache(masks):
    page = masks
    press(page, "3", "8")
    page.locator(".lrp-card-masks").get_by_label("Layer", exact=True).select_option("conv2")
    press(page, "Compute")
    told(page, "done: 40 of 40 examples")
    page.wait_for_function(f"document.querySelector('{LARGE}').data.length === 1")
    page.wait_for_timeout(500)
    # After three maps that zoom together, one alone is not stretched.
    assert page.evaluate(f"document.querySelector('{LARGE}')._fullLayout.xaxis.range") == [-0.5, 7.5]
    page.get_by_role("button", name="Channels", exact=True).click()
    page.wait_for_function(f"document.querySelector('{LARGE}').data[0].type === 'bar'")
    assert page.evaluate(f"document.querySelector('{LARGE}').data[0].x.length") == 32
    press(page, "Compute")
    told(page, "done, from the cache: 40 of 40 examples")
    assert page.locator(".lrp-error strong:visible").count() == 0
