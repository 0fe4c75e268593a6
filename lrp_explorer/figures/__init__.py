"""Floor 3, drawing: numpy arrays in, `plotly.graph_objects.Figure` out; no torch, no widgets.

One file per subject, each with the numbers apart from the drawing: `info` computes, the drawing takes only what
`info` gave.

| file | what it draws |
|---|---|
| `heatmap` | an image and its relevance: beside each other, one over the other, each alone |
| `layers` | all layers small in a strip, one layer large |
| `vectors` | a layer without places: a bar for each neuron |
| `conservation` | the sum of relevance in every layer |
| `probabilities` | the classes a model believes in most |
| `theme`, `pictures` | fonts, inks, the zero-centred colour scale; a picture as one PNG |
"""

from lrp_explorer.figures import conservation, heatmap, layers, pictures, probabilities, theme, vectors

__all__ = ["conservation", "heatmap", "layers", "pictures", "probabilities", "theme", "vectors"]
