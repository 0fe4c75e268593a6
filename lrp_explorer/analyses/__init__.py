"""FLOOR 3: questions put to relevance."""
