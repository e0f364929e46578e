"""Fixtures of the trainer's tests."""

import pytest
from small_shards import write_shards


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"))
