"""What every floor's tests may import: the folder of the tests is on the path, so `oracles` is a package."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

if "PYTEST_XDIST_WORKER" in os.environ:
    # One core for each process of tests, and what it starts; before PyTorch is imported, which reads this once.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
