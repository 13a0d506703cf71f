from __future__ import annotations

import sys
from pathlib import Path

# lines as sensors write them stand in a module of their own beside the tests
sys.path.insert(0, str(Path(__file__).parent))
