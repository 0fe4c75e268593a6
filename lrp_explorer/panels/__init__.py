"""Floor 4: the widgets. State without widgets, views that link to it, computation on one thread.

`explorer.explore` puts the panels together. A panel (`base.Panel`) is built when it is first opened; it shows errors
of its callbacks and lives on. Nothing is computed here: the engine computes, `figures` draws, `pane.PlotlyPane` shows.
"""
