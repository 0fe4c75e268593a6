"""What every floor's tests may import: the folder of the tests is on the path, so `oracles` is a package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
