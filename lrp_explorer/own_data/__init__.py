"""FLOOR 0: data as its user has it, read in one way for `explain`, `explore` and `aggregate`."""

from lrp_explorer.own_data.given import Given, batch
from lrp_explorer.own_data.labels import UNLABELLED

__all__ = ["UNLABELLED", "Given", "batch"]
