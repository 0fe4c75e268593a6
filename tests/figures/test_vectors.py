import numpy as np
from figures.rendered import rendered

from lrp_explorer.figures import theme, vectors


def test_bars_take_the_ink_of_their_sign():
    bars = rendered(vectors.draw(np.array([1.0, -3.0, 0.0])))["data"][0]
    assert bars["marker"]["color"] == [theme.POSITIVE, theme.NEGATIVE, theme.POSITIVE]
    assert bars["hovertext"] == ["neuron 0", "neuron 1", "neuron 2"]


def test_names_are_used_where_their_number_fits():
    assert rendered(vectors.draw(np.ones(2), names=["a", "<b>"]))["data"][0]["hovertext"] == ["a", "&lt;b&gt;"]
    assert rendered(vectors.draw(np.ones(3), names=["a", "b"]))["data"][0]["hovertext"][2] == "neuron 2"


def test_many_neurons_become_one_outline_for_each_sign():
    values = np.linspace(-1, 1, 1001)
    fig = vectors.draw(values)
    assert [t["type"] for t in rendered(fig)["data"]] == ["scatter", "scatter"]
    assert np.array_equal(fig.data[0].y + fig.data[1].y, values)
    assert (fig.data[0].y >= 0).all()
    assert (fig.data[1].y <= 0).all()


def test_painted_columns_rise_and_fall_from_the_middle():
    painted = vectors.paint(np.array([1.0, -0.5]), limit=1.0, side=8)
    above = (painted == theme.rgb(theme.POSITIVE)).all(axis=-1)
    below = (painted == theme.rgb(theme.NEGATIVE)).all(axis=-1)
    assert above.sum(axis=0).tolist() == [4, 4, 4, 4, 0, 0, 0, 0]
    assert above[:4, 0].all()
    assert below.sum(axis=0).tolist() == [0, 0, 0, 0, 2, 2, 2, 2]
    assert below[4:6, 4].all()


def test_the_strongest_of_many_neurons_is_never_lost():
    values = np.zeros(4096)
    values[2049] = -1.0
    painted = vectors.paint(values, limit=1.0, side=56)
    below = (painted == theme.rgb(theme.NEGATIVE)).all(axis=-1)
    assert below.any(axis=0).sum() == 1
