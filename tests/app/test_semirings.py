"""Semirings on the explorer's page: choose one, drag the threshold, click a pixel."""

import numpy as np
import pytest

pytestmark = pytest.mark.browser

PANES = ".lrp-explorer .lrp-pane"
INPUT, SUMS = ".lrp-card-input", ".lrp-card-sums"


@pytest.fixture(scope="module")
def page(serve, shared_visit):
    page = shared_visit.page
    page.set_viewport_size({"width": 1280, "height": 720})
    shared_visit.open(serve().url)
    page.wait_for_selector(".lrp-thumbnail", timeout=120_000)
    page.wait_for_function(f"document.querySelectorAll('{PANES}[data-painted]').length === 4")
    page.wait_for_function(f"({AXIS})()?.autorange")
    page.first_axis = page.evaluate(AXIS)
    return page


AXIS = """() => {
    const axis = document.querySelector('.lrp-card-sums .js-plotly-plot')?._fullLayout?.yaxis;
    return axis && Object.fromEntries(['type', 'range', 'autorange', 'tickformat'].map((key) => [key, axis[key]]));
}"""


def test_after_any_semiring_the_sums_have_their_own_axis_again(page, shared_visit):
    for semiring, quantity in (("viterbi", "strength"), ("boolean", "relevant")):
        choose(page, semiring, quantity)
        eventually(page, lambda: page.evaluate(AXIS)["range"] != page.first_axis["range"])
        choose(page, "real", "relevance")
        eventually(page, lambda: page.evaluate(AXIS) == page.first_axis)
    shared_visit.check()


def test_the_meaning_of_the_semiring_is_on_the_page_and_no_tooltip_says_null(page):
    choose(page, "viterbi", "strength")
    page.locator(".lrp-card-propagation").get_by_text("How strong is the best path?").first.wait_for()
    assert page.locator('[title="null"], [title="undefined"], [title="None"]').count() == 0
    choose(page, "real", "relevance")


def trace(page, card, number, key):
    """What Plotly holds for a trace: what is painted, not what was sent."""
    script = """([card, number, key]) => {
        const found = document.querySelector(card + ' .js-plotly-plot')?.data?.[number]?.[key];
        const plain = (row) => row?.length === undefined ? row : Array.from(row);
        return found === undefined ? null : Array.from(found, plain);
    }"""
    return page.evaluate(script, [card, number, key])


def heat(page):
    return np.array(trace(page, INPUT, 1, "z"), dtype=float)


def eventually(page, true):
    for _ in range(300):
        if true():
            return
        page.wait_for_timeout(100)
    pytest.fail("waited for 30 s")


def choose(page, semiring, quantity):
    page.get_by_label("Semiring", exact=True).select_option(semiring)
    script = "(title) => document.querySelector('.lrp-card-input .js-plotly-plot')?.data?.[1]?.colorbar?.title?.text === title"  # noqa: E501
    page.wait_for_function(script, arg=quantity, timeout=120_000)
    page.wait_for_function("!document.querySelector('.lrp-busy, .lrp-stale')")
    assert page.locator(".lrp-error strong:visible").all_inner_texts() == []


def drag(page, name, share):
    handle = page.get_by_role("slider", name=name)
    track = handle.locator("xpath=ancestor::*[contains(@class, 'noUi-base')]").bounding_box()
    knob = handle.bounding_box()
    height = knob["y"] + knob["height"] / 2
    page.mouse.move(knob["x"] + knob["width"] / 2, height)
    page.mouse.down()
    page.mouse.move(track["x"] + share * track["width"], height, steps=12)
    page.mouse.up()


def test_dragging_theta_moves_the_map_and_the_mark(page, shared_visit):
    assert page.get_by_role("slider", name="θ").count() == 0
    choose(page, "bottleneck", "weakest edge")
    before = heat(page)
    assert np.nanmin(before) > 0
    drag(page, "θ", 0.76)
    eventually(page, lambda: np.isnan(heat(page)).sum() > np.isnan(before).sum())
    page.wait_for_timeout(500)
    theta = trace(page, SUMS, 0, "x")[0]
    assert 1e-3 < theta < 0.5
    after = heat(page)
    assert np.array_equal(np.isnan(after), ~(before >= theta))
    np.testing.assert_array_equal(after[~np.isnan(after)], before[before >= theta])
    choose(page, "boolean", "relevant")
    assert np.array_equal(heat(page) == 1, ~np.isnan(after))
    shared_visit.check()


@pytest.mark.parametrize(("semiring", "quantity"), [("boolean", "relevant"), ("viterbi", "strength")])
@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
def test_everything_still_fits_without_scrolling(page, semiring, quantity, size):
    choose(page, semiring, quantity)
    page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    page.wait_for_timeout(400)
    overflow = "document.documentElement.scrollHeight - innerHeight, document.documentElement.scrollWidth - innerWidth"
    assert page.evaluate(f"[{overflow}]") == [0, 0]
    lowest = page.evaluate("document.querySelector('.lrp-explorer').getBoundingClientRect().bottom")
    assert 0.9 * size[1] < lowest <= size[1]
    cut = """[...document.querySelectorAll('.lrp-below, .lrp-path-controls')].filter((el) =>
        el.scrollHeight > el.clientHeight + 1 || el.scrollWidth > el.clientWidth + 1).map((el) => el.className)"""
    assert page.evaluate(cut) == []
    page.set_viewport_size({"width": 1280, "height": 720})


def test_a_click_on_a_pixel_draws_its_best_path(page, shared_visit):
    choose(page, "viterbi", "strength")
    row, column = np.unravel_index(int(np.argmax(heat(page))), (28, 28))
    pane = page.locator(f"{INPUT} .lrp-pane")
    script = """([row, column]) => {
        const full = document.querySelector('.lrp-card-input .js-plotly-plot')._fullLayout;
        const [x, y] = [full.xaxis2, full.yaxis2];
        return [x._offset + x.d2p(column), y._offset + y.d2p(row)];
    }"""
    x, y = page.evaluate(script, [int(row), int(column)])
    pane.click(position={"x": x, "y": y})
    heading = page.locator(f"{SUMS} h2", has_text=f"best path from row {row}, column {column}")
    heading.wait_for(timeout=60_000)
    eventually(page, lambda: trace(page, INPUT, 3, "x") is not None)
    assert trace(page, INPUT, 3, "x")[0] == column
    assert len(trace(page, SUMS, 1, "y")) == page.locator(".lrp-thumbnail").count()
    assert page.locator(".lrp-error strong:visible").all_inner_texts() == []
    choose(page, "real", "relevance")
    assert page.get_by_role("slider", name="θ").count() == 0
    shared_visit.check()
