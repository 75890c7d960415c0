"""What the tests of the checker share: each loss is checked once in a session."""

from collections.abc import Callable
from functools import cache

import pytest

from halotheory.checking import check
from halotheory.findings import Verdict

SECONDS = 80.0


@pytest.fixture(scope="session")
def checked() -> Callable[[str], Verdict]:
    """Return `check` with 80 s a loss, remembering what it returned."""
    return cache(lambda spec: check(spec, timeout=SECONDS))
