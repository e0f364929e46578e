"""Ray and Slurm listen on every interface: they are started where there is none but the loopback."""

import socket

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    others = [name for _, name in socket.if_nameindex() if name != "lo"]
    if "clusters" in item.keywords and others:
        pytest.skip("needs a network of its own, for Ray and Slurm listen on every interface: `make clusters`")
