"""A unit's body has room for its frames, wherever on the stack of the interpreter its loops stand."""

import resource
import sys
import threading
from functools import partial

import pytest

from corpuskit.run.execute import _with_room

CALLS, DEPTHS = 2_000, range(250)


def nothing():
    """What a loop calls."""


def faults(depth):
    """Page faults of a loop of calls that stands so many frames deep."""
    if depth:
        return faults(depth - 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(CALLS):
        nothing()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults")
def test_no_loop_of_calls_maps_memory_for_each():
    found = []
    body = partial(_with_room, lambda: found.extend(faults(depth) for depth in DEPTHS))
    thread = threading.Thread(target=body)  # a stack of its own
    thread.start()
    thread.join()
    assert max(found) < CALLS // 4
