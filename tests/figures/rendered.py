"""A figure is drawn only when it has been written: through JSON and into a page."""

import json


def rendered(fig):
    """Write `fig` to JSON and HTML, and give what a reader of the JSON sees."""
    page = fig.to_html(include_plotlyjs=False)
    assert "Plotly.newPlot" in page
    return json.loads(fig.to_json())
