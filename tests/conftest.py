"""Fixtures that all tests share."""

import socket
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("untimed", deadline=None)  # no test is about time
hypothesis.settings.load_profile("untimed")

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
WANTED = "needs the development data at ../shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real development data beside the checkout; tests that need it are skipped without it."""
    if not (SHARED / "data").is_dir():
        pytest.skip(WANTED)
    return SHARED / "data"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Ray and Slurm listen on every interface: they are started where there is none but the loopback."""
    if "clusters" in item.keywords and any(name != "lo" for _, name in socket.if_nameindex()):
        pytest.skip("needs a network of its own, for Ray and Slurm listen on every interface: `make clusters`")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was not tested for want of the development data."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if WANTED in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} tests on real data were skipped: there is no ../shared; the others cover what they promise"
        )
