"""Fixtures that all tests share."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real development data beside the checkout; tests that need it skip, saying so, without it."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"needs the development data at {SHARED}")
    return SHARED / "data"
