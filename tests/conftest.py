"""What all tests share."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models gain nothing from threads, and lose where cores are busy

settings.register_profile("people", deadline=None)  # the first torch call takes half a second
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "people")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real data, from HALOTHEORY_DATA or next to the checkout; skip without it."""
    fallback = Path(__file__).parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("HALOTHEORY_DATA", fallback))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set HALOTHEORY_DATA to its folder")
    return folder
