"""What the tests of following logs share."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

# the model of a sensor stands in a module of its own beside the tests
sys.path.insert(0, str(Path(__file__).parent))

# a busy machine is no reason to fail
settings.register_profile("watch", deadline=None)
settings.load_profile("watch")
