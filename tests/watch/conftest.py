"""What the tests of following logs share."""

from __future__ import annotations

from hypothesis import settings

# a busy machine is no reason to fail
settings.register_profile("watch", deadline=None)
settings.load_profile("watch")
