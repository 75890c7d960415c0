"""Every test that takes `sandbox` runs in each kind that isolates here."""

import pytest

from evalkit.sandbox import Sandbox
from evalkit.sandbox.probe import why_not


@pytest.fixture(params=["bubblewrap", "namespaces"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    if reason := why_not(request.param):
        pytest.skip(f"{request.param} does not work here: {reason}")
    return Sandbox(kind=request.param)
