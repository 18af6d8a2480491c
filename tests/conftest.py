"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# A machine with other work takes long for an example now and then. That is no error.
settings.register_profile("default", deadline=None)
