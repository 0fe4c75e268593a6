"""A pane in a browser without a kernel: nothing is left of earlier figures, and a click takes what lies under it."""

import itertools

import numpy as np
import pytest
from app.alone import Sheet

from lrp_explorer.figures import best_path, conservation, heatmap, layers, probabilities, scales, theme, thresholds

pytestmark = pytest.mark.browser

NAMES = ["input", "conv1", "relu1", "output"]
RANDOM = np.random.default_rng(0)
PICTURE = RANDOM.integers(0, 256, (28, 28, 3), dtype=np.uint8)
HEAT = RANDOM.normal(size=(28, 28))
THETAS = np.logspace(-9, 1, 21)
SHARES = np.linspace(1, 0, 84).reshape(4, 21)

KINDS = {
    "sums": [
        lambda: conservation.sums(NAMES, [3.0, 2.5, 2.0, 4.0], 4.0),
        lambda: conservation.sums(NAMES, [-3e4, 2.5, 2.0, 4.0], -7e4),
        lambda: conservation.sums([f"features.{i}.conv" for i in range(30)], np.arange(30.0), 9.0),
        lambda: thresholds.influence(NAMES, THETAS, SHARES, 1e-3, "conv1"),
        lambda: best_path.strengths(NAMES, [1e-6, 1e-3, 0.1, 1.0]),
        lambda: best_path.strengths(NAMES, [0.3, 0.4, 0.1, 1.0]),
    ],
    "input": [
        lambda: heatmap.explanation(PICTURE, HEAT),
        lambda: heatmap.overlay(PICTURE, HEAT),
        lambda: heatmap.explanation(PICTURE, (HEAT > 0).astype(float), scale=scales.TRUTH),
        lambda: heatmap.explanation(PICTURE[:14, :20], HEAT[:14, :20], scale=scales.COUNT),
        lambda: layers.large(layers.info("input", HEAT[0])),
    ],
    "layer": [
        lambda: layers.large(layers.info("conv1", HEAT[None])),
        lambda: layers.large(layers.info("conv2", HEAT[None, :7, :9], scale=scales.COST)),
        lambda: layers.large(layers.info("tokens", HEAT[:7])),
        lambda: layers.large(layers.info("fc", HEAT[0])),
        lambda: layers.large(layers.info("wide", HEAT.reshape(-1))),
        lambda: layers.large(layers.info("output", HEAT[0, :3]), ["cat", "dog", "a longer name"]),
        lambda: theme.blank("no mask yet"),
        lambda: probabilities.bars(probabilities.info(HEAT[0])),
    ],
}


@pytest.fixture(scope="module")
def sheet(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    yield Sheet(page)
    page.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_is_the_same_after_every_other(sheet, kind):
    figures = [make() for make in KINDS[kind]]
    fresh = []
    for number, figure in enumerate(figures):
        sheet.mount(f"{kind}{number}", figure, 200)
        fresh.append(sheet.made(f"{kind}{number}"))
        sheet.page.evaluate(f"document.getElementById('{kind}{number}').style.display = 'none'")
    sheet.mount(kind, figures[0], 200)
    for first, second in itertools.combinations(range(len(figures)), 2):
        for number in (first, second, first):
            sheet.show(kind, figures[number])
            assert sheet.made(kind) == fresh[number], (first, second, number)
    sheet.page.evaluate(f"document.getElementById('{kind}').style.display = 'none'")


PLACES = """([name, axis, places]) => {
  const plot = document.querySelector(`#${name} .js-plotly-plot`);
  const [x, y] = [plot._fullLayout[`xaxis${axis}`], plot._fullLayout[`yaxis${axis}`]];
  const { left, top } = plot.getBoundingClientRect();
  return places.map(([column, row]) => [left + x._offset + x.d2p(column), top + y._offset + y.d2p(row)]);
}"""


def clicked_while_moving(sheet, name, axis, places):
    """Move over places without pause and click at the last one."""
    page = sheet.page
    pixels = page.evaluate(PLACES, [name, axis, places])
    page.evaluate("clicks.length = 0")
    for pixel in pixels:
        page.mouse.move(*pixel)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_function("clicks.length > 0")
    found = page.evaluate("clicks")
    # A second click soon after would be a double one.
    page.wait_for_timeout(320)
    return found


def test_a_click_takes_the_pixel_under_it_while_the_mouse_moves(sheet):
    sheet.mount("maps", heatmap.explanation(PICTURE, HEAT), 264)
    for turn in range(8):
        # Below the buttons, which appear in the corner.
        places = RANDOM.integers(6, 28, (6, 2)).tolist()
        [point] = clicked_while_moving(sheet, "maps", ("2", "")[turn % 2], places)
        column, row = places[-1]
        assert [point[key] for key in ("curveNumber", "x", "y", "pointIndex")] == [
            1 - turn % 2,
            column,
            row,
            [row, column],
        ]
    sheet.page.evaluate("document.getElementById('maps').style.display = 'none'")


def test_a_click_takes_the_bar_under_it_while_the_mouse_moves(sheet):
    sheet.mount("bars", conservation.sums([f"layer{i}" for i in range(12)], RANDOM.uniform(1, 2, 12), 4.0), 150)
    for _ in range(4):
        places = [[int(place), 0.5] for place in RANDOM.integers(0, 12, 6)]
        [point] = clicked_while_moving(sheet, "bars", "", places)
        assert (point["curveNumber"], point["x"]) == (1, places[-1][0])
