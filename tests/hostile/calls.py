"""All hostile calls."""

from hostile.baseline_calls import attributions
from hostile.data_calls import zoo
from hostile.engine_calls import best_paths, settings_of_relevance, sweeps
from hostile.input_calls import inputs, models
from hostile.mask_calls import aggregates
from hostile.page_calls import pages
from hostile.rule_calls import parameters
from hostile.semiring_calls import algebras
from hostile.shell_calls import shell

TABLES = (settings_of_relevance, inputs, models, parameters, algebras, best_paths, sweeps, attributions, aggregates)
TABLES += (zoo, pages, shell)
CALLS = [call for table in TABLES for call in table()]
