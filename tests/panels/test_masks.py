"""The Masks panel with the real analyses and without a kernel: what a click computes, and what is shown."""

import numpy as np
import pytest
import torch
from torch import nn

import lrp_explorer as lrp
from lrp_explorer import semirings
from lrp_explorer.analyses.aggregate import aggregate
from lrp_explorer.analyses.masking import masked_prediction
from lrp_explorer.analyses.progress import Progress
from lrp_explorer.analyses.run import Run
from lrp_explorer.engine import Session
from lrp_explorer.figures.probabilities import softmax
from lrp_explorer.panels import mask_controls, mask_counts, mask_progress
from lrp_explorer.zoo.downloads import CACHE_VARIABLE


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A folder of its own for each test, in which finished masks are kept."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    return tmp_path / "masks"


@pytest.fixture
def explorer():
    opened = []

    def begin(model="digits-mlp", data=None, **state):
        opened.append(lrp.explore(model, data, device="cpu"))
        opened[-1].masks.state.set_trait("limit", 5)
        for name, value in state.items():
            setattr(opened[-1].masks.state, name, value)
        assert opened[-1].panel.wait(60)
        opened[-1].tabs.value = "Masks"
        return settled(opened[-1])

    yield begin
    for one in opened:
        one.close()


def settled(explorer):
    assert explorer.panel.wait(60)
    assert explorer.masks.wait(60)
    assert explorer.panel.errors.message == ""
    return explorer


def expected(explorer, **settings):
    model = lrp.load_model(explorer.state.model)
    data = lrp.load_dataset(explorer.state.data, card=model.card)
    settings = {"limit": 5, "composite": "epsilon-plus", "semiring": "bottleneck", **settings}
    return aggregate(model, data, progress=False, device="cpu", **settings)


def cells(explorer):
    """Reduction → what is drawn of each class."""
    assert explorer.masks.stage.view is not None, explorer.masks.errors.message
    found = explorer.masks.stage.view.cells
    return dict(zip(found.reductions, found.values, strict=True))


def why(explorer):
    """What is said in the place of a masked example."""
    return explorer.masks.stage.trial.drawing.pane.figure.layout.annotations[0].text


def drawn(explorer, trace):
    return np.asarray(explorer.masks.stage.grid.drawing.pane.figure.data[trace].z)


def test_the_first_tab_is_explain_and_masks_are_built_when_opened():
    one = lrp.explore("digits-mlp", device="cpu")
    try:
        assert (one.tabs.options, one.tabs.value) == (("Explain", "Masks"), "Explain")
        assert one.masks.layout.display == "none"
        assert one.masks.run is None
    finally:
        one.close()


def test_it_opens_with_masks_of_every_class_and_of_all_together(explorer):
    one = explorer()
    masks = expected(one, reduce=("or", "and", "mean"))
    panel = one.masks
    assert panel.errors.message == ""
    assert panel.stage.view.cells.names == (*"0123456789", "all")
    assert panel.stage.view.cells.counts == (*[5] * 10, 50)
    np.testing.assert_allclose(cells(one)["mean"], masks["mean"][:, 0], rtol=1e-6)
    at = masks.at(panel.stage.grid.theta.value)
    np.testing.assert_array_equal(cells(one)["and"], at["and"][:, 0])
    np.testing.assert_array_equal(cells(one)["or"], at["or"][:, 0])
    assert "done: <b>50</b> of 50 examples" in panel.controls.told.value
    assert panel.stage.grid.drawing.pane.description.startswith("Masks of 11 classes. or: 0 ")


def test_theta_moves_every_mask_and_computes_nothing(explorer, monkeypatch):
    one = explorer(reductions=("or", "and", "vote"), q=0.6)
    before = drawn(one, 0)

    def nothing(*args, **kwargs):
        raise AssertionError("relevance is computed")

    monkeypatch.setattr(Session, "relevance", nothing)
    run = one.masks.run
    found = {}
    for theta in (0.002, 0.01, 0.05):
        one.masks.stage.grid.theta.value = theta
        found[theta] = {name: values.copy() for name, values in cells(one).items()}
        assert one.masks.state.theta == theta
        assert (drawn(one, 0) != before).any()
        before = drawn(one, 0)
    settled(one)
    assert one.masks.errors.message == ""
    assert one.masks.run is run
    monkeypatch.undo()
    for theta, shown in found.items():
        boolean = expected(one, semiring=semirings.Boolean(theta=theta), reduce=("or", "and", "vote(0.6)"))
        for name, values in shown.items():
            np.testing.assert_array_equal(values, boolean[name][:, 0])
            assert (values != found[0.002][name]).any(axis=(1, 2)).all() or theta == 0.002 or name != "or"


def test_a_few_classes_stand_alone_and_any_rule_can_be_taken(explorer):
    one = explorer(classes=(3, 8), semiring="real", composite="", reductions=("mean", "std"))
    assert one.masks.stage.view.cells.names == ("3", "8")
    masks = expected(one, classes=[3, 8], semiring="real", composite="epsilon-gamma-box", reduce=("mean", "std"))
    np.testing.assert_allclose(cells(one)["mean"], masks["mean"][:, 0], rtol=1e-5, atol=1e-8)
    trace = one.masks.stage.grid.drawing.pane.figure.data[0]
    assert trace.zmax == -trace.zmin
    assert one.masks.stage.grid.theta.disabled


def test_a_click_enlarges_a_mask_beside_the_mean_of_the_same_images(explorer):
    one = explorer()
    stage = one.masks.stage
    stage.grid.drawing.pane._click({"point": {"x": 3 * 30 + 4, "y": 2 * 30 + 4}})
    assert one.masks.state.selected == ("mean", 3)
    assert "3 · mean" in stage.large.drawing.heading.value
    assert "n = 5" in stage.large.drawing.heading.value
    data = lrp.load_dataset("digits")
    ids = [i for i, label in enumerate(data.labels) if label == 3][:5]
    mean = np.mean([data[i][0][0].double().numpy() for i in ids], axis=0)
    shown = [np.asarray(trace.z) for trace in stage.large.drawing.pane.figure.data]
    np.testing.assert_allclose(shown[0], cells(one)["mean"][3])
    np.testing.assert_allclose(shown[1], mean, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(shown[2], cells(one)["mean"][3] / stage.view.cells.limit - mean / mean.max(), atol=1e-5)


@pytest.mark.parametrize(("action", "fill"), [("keep", "mean"), ("remove", "zero")])
def test_a_mask_is_put_on_the_example_and_the_prediction_follows(explorer, action, fill):
    one = explorer(action=action, fill=fill)
    one.state.example = 11
    settled(one)
    stage, state = one.masks.stage, one.masks.state
    state.selected = ("or", 3)
    settled(one)
    model = lrp.load_model("digits-mlp")
    data = lrp.load_dataset("digits", card=model.card)
    value = one.masks._images.of("all") if fill == "mean" else 0.0
    masked = masked_prediction(model, data[11][0], cells(one)["or"][3] > 0, action, value, "cpu")
    bars = stage.trial.drawing.pane.figure.data
    shown = [int(name) for name in stage.trial.drawing.pane.figure.layout.yaxis2.ticktext]
    np.testing.assert_allclose(bars[1].x, softmax(masked.before)[shown], atol=1e-6)
    np.testing.assert_allclose(bars[2].x, softmax(masked.after)[shown], atol=1e-6)
    assert f"{masked.share:.0%} of pixels replaced" in stage.trial.drawing.heading.value
    state.selected = ("mean", 3)
    before = stage.trial.drawing.heading.value
    state.share = 0.5
    settled(one)
    assert stage.trial.drawing.heading.value != before
    part = int((stage.mask() > 0).sum())
    assert 0.5 * 784 <= part < 0.5 * 784 + 30 or (cells(one)["mean"][3] > 0).sum() < 0.5 * 784


def test_deep_layers_are_maps_and_bars(explorer):
    one = explorer("digits-cnn", layer="conv2", semiring="real", classes=(1, 7))
    stage = one.masks.stage
    masks = expected(one, classes=[1, 7], layer="conv2", semiring="real", reduce=("mean", "or"))
    np.testing.assert_allclose(cells(one)["mean"], masks["mean"].sum(1), rtol=1e-4, atol=1e-6)
    assert stage.grid.view.layout.display == ""
    stage.grid.view.value = True
    np.testing.assert_allclose(cells(one)["mean"], masks["mean"].sum((2, 3)), rtol=1e-4, atol=1e-5)
    at = masks.at(stage.grid.theta.value)
    np.testing.assert_allclose(cells(one)["or"], at["or"].mean((2, 3)), rtol=1e-6)
    assert why(one) == "needs a mask of the input"
    assert stage.large.drawing.pane.figure.layout.xaxis.title.text == "channel"
    one.masks.state.layer = "dense1"
    one.masks.compute()
    settled(one)
    assert cells(one)["mean"].shape == (2, 120)


@pytest.fixture
def slow(monkeypatch):
    """Batches of 8, and a word to every run after each of them."""
    told = []
    start = Run.start

    def begin(run):
        if not getattr(run, "heard", False):
            run.heard = True
            run.listen(lambda one: [call(one) for call in told], every=0.0)
        start(run)

    monkeypatch.setattr("lrp_explorer.analyses.choosing.batch_size", lambda shape: 8)
    monkeypatch.setattr(Run, "start", begin)
    return told


def test_what_a_cancelled_run_has_done_stays_with_its_n_and_goes_on(explorer, slow):
    seen = []

    def cancel(run):
        seen.append(run.progress.done)
        if 0 < run.progress.done < 100 and len(seen) < 1000 and run.progress.done >= 24:
            run.cancel()

    slow.append(cancel)
    one = explorer(limit=10)
    panel = one.masks
    assert panel.run.progress.phase == "cancelled"
    done = panel.run.progress.done
    assert 24 <= done < 100
    assert panel.stage.view.cells.counts[-1] == done
    assert f"cancelled: <b>{done}</b> of 100 examples" in panel.controls.told.value
    assert panel.controls.hold.description == "Resume"
    slow.clear()
    panel.controls.hold.click()
    settled(one)
    assert panel.stage.view.cells.counts == (*[10] * 10, 100)
    np.testing.assert_allclose(cells(one)["mean"], expected(one, limit=10, reduce="mean")["mean"][:, 0], rtol=1e-5)


def test_it_pauses_and_masks_appear_on_the_way(explorer, slow):
    shown = []

    def pause(run):
        if run.progress.phase == "folding" and run.progress.done == 40 and not shown:
            shown.append(40)
            run.pause()

    slow.append(pause)
    one = lrp.explore("digits-mlp", device="cpu")
    panel = one.masks
    try:
        panel.state.limit = 10
        assert one.panel.wait(60)
        one.tabs.value = "Masks"
        assert panel._beginner.wait(30)
        assert until(lambda: panel.stage.view is not None and panel.stage.view.cells.counts[-1] == 40)
        assert until(lambda: panel.controls.hold.description == "Resume")
        assert "paused: <b>40</b> of 100" in panel.controls.told.value
        panel.controls.hold.click()
        settled(one)
        assert panel.stage.view.cells.counts[-1] == 100
    finally:
        one.close()


def until(true, within=20.0):
    import time

    end = time.monotonic() + within
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_a_newer_run_drops_the_older_one(explorer, slow):
    one = explorer(limit=10)
    panel = one.masks
    first = []

    def hold(run):
        if not first:
            first.append(run)
            panel.state.classes = (4,)
            panel.compute()

    slow.append(hold)
    panel.state.classes = (2,)
    panel.compute()
    settled(one)
    assert until(lambda: panel.run is not first[0])
    settled(one)
    assert first[0].progress.phase in ("cancelled", "done")
    assert panel.stage.view.cells.names == ("4",)
    assert panel.errors.message == ""


def test_errors_are_shown_and_the_panel_lives_on(explorer):
    one = explorer()
    panel = one.masks
    panel.state.classes = (99,)
    panel.compute()
    settled(one)
    assert "class 99 is out of range: expected 0 to 9" in panel.errors.message
    assert "lrp-stale" in panel.stage.box._dom_classes
    panel.state.classes, panel.state.reductions = (), ()
    panel.compute()
    settled(one)
    assert "reduce is empty" in panel.errors.message
    panel.state.reductions = ("mean",)
    panel.compute()
    settled(one)
    assert panel.errors.message == ""
    assert "lrp-stale" not in panel.stage.box._dom_classes
    assert list(cells(one)) == ["mean"]


def test_another_model_is_told_and_puts_no_old_mask_on_its_example(explorer):
    one = explorer()
    one.state.model = "two-digits-mlp"
    settled(one)
    panel = one.masks
    assert "choices have changed" in panel.controls.told.value
    assert why(one) == "other model or data: compute anew"
    panel.controls.compute.click()
    settled(one)
    assert cells(one)["mean"].shape == (11, 56, 28)
    assert "pixels replaced" in panel.stage.trial.drawing.heading.value
    assert "choices have changed" not in panel.controls.told.value


def test_counts_follow_theta(explorer):
    one = explorer(reductions=("count",), limit=7)
    panel = one.masks
    for theta in (0.003, 0.03):
        panel.stage.grid.theta.value = theta
        counts = expected(one, limit=7, reduce="count", theta=panel.stage.grid.theta.value)["count"]
        shares = counts[:, 0] / np.array(panel.stage.view.cells.counts)[:, None, None]
        np.testing.assert_allclose(cells(one)["count"], shares, rtol=1e-6)
        assert 0 < shares.mean() < 1
    assert list(cells(one)) == ["count"]
    assert panel.stage.grid.theta.max > np.log10(panel.run.samples("input").values[0].max())
    assert "count" not in panel.stage.grid.hint.value
    assert "computed anew each time" in panel.notes.value


def test_counts_that_would_take_too_much_memory_stay_and_say_so(explorer, monkeypatch):
    monkeypatch.setattr(mask_counts, "MOST_BYTES", 2**20)
    one = explorer(reductions=("or", "count"), limit=20)
    panel = one.masks
    np.testing.assert_allclose(cells(one)["count"], expected(one, limit=20, reduce="count")["count"][:, 0] / n(one))
    before = cells(one)["count"]
    panel.stage.grid.theta.value = 0.05
    np.testing.assert_array_equal(cells(one)["count"], before)
    assert "not count: R &gt; 0" in panel.stage.grid.hint.value
    # 10 classes of 20 examples, folded and read, of 784 values of 4 bytes.
    assert "single examples would take up to 0.0 GiB" in panel.notes.value
    assert mask_counts.memory(panel._begun.request, 784, 10, 539) == 2 * 200 * 784 * 4
    assert mask_counts.memory(panel._begun.request, 784, 10, 50) == 2 * 50 * 784 * 4


def n(explorer):
    return np.array(explorer.masks.stage.view.cells.counts)[:, None, None]


def test_where_votes_cannot_follow_theta_it_is_said(explorer):
    one = explorer(semiring="real", reductions=("or", "vote", "count"))
    assert "not vote(0.5), count: R &gt; 0" in one.masks.stage.grid.hint.value
    assert one.masks.stage.grid.hint.value.startswith('<p class="lrp-hint" title="relevant where R ≥ θ; not vote(0.5)')


def test_masks_asked_for_again_come_from_the_cache(explorer, cache, monkeypatch):
    one = explorer()
    first = {name: values.copy() for name, values in cells(one).items()}
    assert "from the cache" not in one.masks.controls.told.value
    assert len(list(cache.glob("*.safetensors"))) == 1

    def nothing(*args, **kwargs):
        raise AssertionError("relevance is computed")

    monkeypatch.setattr(Session, "relevance", nothing)
    one.masks.compute()
    settled(one)
    assert one.masks.errors.message == ""
    assert "done, from the cache: <b>50</b> of 50 examples" in one.masks.controls.told.value
    for name, values in cells(one).items():
        np.testing.assert_array_equal(values, first[name])
    assert one.masks._images is not None


def test_without_a_folder_for_the_cache_masks_are_computed_and_it_is_said(explorer, cache):
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file where the folder should be")
    one = explorer()
    assert "done: <b>50</b> of 50" in one.masks.controls.told.value
    assert "masks are not kept on disk" in one.masks.notes.value
    assert "no folder can be made" in one.masks.notes.value


class Many:
    """40 classes of two examples each."""

    classes = tuple(f"class {i}" for i in range(40))
    x = torch.rand(80, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return 80

    def __getitem__(self, index):
        return self.x[index], index % 40


def test_many_classes_are_turned_page_by_page(explorer):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 40)).eval()
    one = explorer(model, Many())
    grid, panel = one.masks.stage.grid, one.masks
    masks = panel._shown.masks
    assert len(masks.classes) == 41
    seen = []
    for page, (words, rows) in enumerate([("1–15", 15), ("16–30", 15), ("31–40", 10)]):
        assert panel.state.page == page
        assert f"classes {words} of 40" in grid.shown.value
        assert grid.pager.layout.display == ""
        names = panel.stage.view.cells.names
        assert (len(names), names[-1]) == (rows + 1, "all")
        seen += names[:-1]
        np.testing.assert_allclose(cells(one)["mean"][0], masks["mean"][15 * page].max(0), rtol=1e-6)
        np.testing.assert_allclose(cells(one)["mean"][-1], masks["mean"][-1].max(0), rtol=1e-6)
        grid.next.click()
    assert tuple(seen) == Many.classes
    assert panel.state.page == 0
    grid.previous.click()
    assert panel.state.page == 2
    grid.drawing.pane._click({"point": {"x": 0, "y": 0}})
    assert panel.state.selected == ("or", 30)
    assert "class 30 · or" in panel.stage.large.drawing.heading.value
    panel.controls.typed.value = "0, class 5"
    assert panel.state.classes == (0, "class 5")
    panel.compute()
    settled(one)
    assert panel.stage.view.cells.names == ("class 0", "class 5")
    assert grid.pager.layout.display == "none"
    panel.state.classes = (7,)
    assert panel.controls.typed.value == "7"
    panel.state.classes = ("tench, Tinca tinca",)
    assert panel.state.classes == ("tench, Tinca tinca",)


def test_theta_begins_where_every_reduction_shows_something_until_it_is_moved(explorer):
    one = explorer()
    stage, state = one.masks.stage, one.masks.state
    assert state.theta is None
    levels = one.masks._shown.masks.levels
    assert stage.grid.theta.value == pytest.approx(0.5 * levels["input", "and"].max())
    assert cells(one)["and"][:-1].any(axis=(1, 2)).all()
    state.theta = 0.01
    assert stage.grid.theta.value == pytest.approx(0.01)
    state.layer = "dense1"
    one.masks.compute()
    settled(one)
    assert state.theta is None


def test_an_empty_mask_says_at_which_theta_it_is_not(explorer):
    one = explorer("digits-cnn", limit=20)
    stage, state = one.masks.stage, one.masks.state
    state.selected = ("and", 4)
    most = one.masks._shown.masks.levels["input", "and"][4].max()
    assert "empty" not in stage.large.drawing.heading.value
    state.theta = float(most) * 1.1
    assert f"empty, as at every θ above {most:.3g}" in stage.large.drawing.heading.value
    state.selected = ("and", "all")
    assert "n = 200 · empty at every θ" in stage.large.drawing.heading.value


def test_boolean_relevance_has_no_slider_and_says_why(explorer):
    one = explorer(semiring="boolean", edge=0.01)
    stage = one.masks.stage
    assert stage.grid.theta.disabled
    assert "its θ is that of the edges" in stage.grid.hint.value
    masks = expected(one, semiring=semirings.Boolean(theta=0.01), reduce="or")
    np.testing.assert_array_equal(cells(one)["or"], masks["or"][:, 0])


def test_pickers_and_state_follow_each_other(explorer):
    one = explorer()
    controls, state = one.masks.controls, one.masks.state
    controls.classes.buttons[3].value = True
    assert state.classes == (3,)
    controls.limit.value = mask_controls.ALL
    assert state.limit is None
    state.limit = 7
    assert controls.limit.value == 7
    controls.reductions.buttons[1].value = False
    assert state.reductions == ("or", "mean")
    state.semiring = "counting"
    assert controls.semiring.value == "counting"
    assert controls.edge.layout.display == ""
    controls._type("0, tench, 12")
    assert state.classes == (0, "tench", 12)


def test_words_of_progress():
    line = mask_progress.progress_line(Progress("folding", 30, 100, 12.4, 5.6), fresh=False)
    assert "<b>30</b> of 100 examples · 12/s · 6 s left" in line
    assert "choices have changed" in line
    assert [mask_progress.span(s) for s in (59, 600, 7200)] == ["59 s", "10 min", "2.0 h"]
