"""Floor 3, drawing: numpy arrays in, `plotly.graph_objects.Figure` out; no torch, no widgets.

One file per subject, each with the numbers apart from the drawing: `info` computes, the drawing takes only what
`info` gave.

| file | what it draws |
|---|---|
| `heatmap` | an image and its relevance: beside each other, one over the other, each alone |
| `layers` | all layers small in a strip, one layer large |
| `vectors` | a layer without places: a bar for each neuron |
| `conservation` | the sum of relevance in every layer |
| `thresholds` | the share of relevant neurons of every layer against the threshold |
| `best_path` | one number for each layer, and the best path, as a track and on the picture |
| `probabilities` | the classes a model believes in most |
| `theme`, `scales`, `pictures` | fonts and inks; quantities and their colours; a picture as one PNG |
"""

from lrp_explorer.figures import (
    best_path,
    conservation,
    heatmap,
    layers,
    pictures,
    probabilities,
    scales,
    theme,
    thresholds,
    vectors,
)

__all__ = [
    "best_path",
    "conservation",
    "heatmap",
    "layers",
    "pictures",
    "probabilities",
    "scales",
    "theme",
    "thresholds",
    "vectors",
]
