"""The Masks panel in a real browser: masks of a few classes, θ that moves all of them, everything on one screen."""

import pytest

pytestmark = pytest.mark.browser

GRID = ".lrp-card-grid .js-plotly-plot"
VALUES = f"Array.from(document.querySelector('{GRID}').data[0].z, (row) => Array.from(row, (v) => (v > 0 ? 1 : 0)))"
OVERFLOW = "[document.documentElement.scrollHeight - innerHeight, document.documentElement.scrollWidth - innerWidth]"


def test_masks_of_two_classes_fill_the_grid_and_theta_moves_all(serve, visit):
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 720})
    visit.open(serve().url)
    page.wait_for_selector(".lrp-thumbnail", timeout=120_000)
    page.wait_for_function("!document.querySelector('.lrp-busy')")
    page.get_by_role("button", name="Masks", exact=True).click()
    told = page.locator(".lrp-card-masks .lrp-fact")
    told.filter(has_text="200 of 200 examples").wait_for(timeout=60_000)
    for name in ("3", "8"):
        page.locator(".lrp-card-masks").get_by_role("button", name=name, exact=True).click()
    page.locator(".lrp-card-masks .lrp-hint", has_text="choices have changed").wait_for()
    page.get_by_role("button", name="Compute", exact=True).click()
    told.filter(has_text="done: 40 of 40 examples").wait_for(timeout=60_000)
    page.wait_for_function(f"document.querySelector('{GRID}').layout.annotations[1].text.includes('8')")
    before = page.evaluate(VALUES)
    wide, gap = 28, 2
    assert [len(before), len(before[0])] == [2 * wide + gap, 2 * wide + gap]
    slider = page.get_by_role("slider", name="θ", exact=True)
    slider.focus()
    for _ in range(12):
        slider.press("ArrowLeft")
    page.wait_for_function(f"JSON.stringify({VALUES}) !== JSON.stringify({before})")
    page.wait_for_timeout(500)
    after = page.evaluate(VALUES)
    for left in (0, wide + gap):
        more, less = (sum(sum(row[left : left + wide]) for row in z[:wide]) for z in (after, before))
        assert more > less > 0
    assert told.first.inner_text().startswith("done: 40 of 40")
    for size in ({"width": 1280, "height": 720}, {"width": 1920, "height": 1080}):
        page.set_viewport_size(size)
        page.wait_for_timeout(400)
        assert page.evaluate(OVERFLOW) == [0, 0]
        assert page.evaluate("document.querySelector('.lrp-explorer').getBoundingClientRect().bottom") > (
            0.9 * size["height"]
        )
    assert page.locator(".lrp-error strong:visible").count() == 0
