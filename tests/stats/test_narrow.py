"""Tables in a narrow terminal: no line is longer, nothing of them is lost; a pipe gets every row on one line."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

NUMBERS = [[name, *(str(number) * 9 for number in range(1, 10))] for name in ("web", "all")]
WORDS = [["corpus", "12", "the steps differ: `where` is now 'ppl < 1200', so that what passes it is another " * 2]]

CODE = f"""
from corpuskit.core.tables import table, wrapped
print(table(["domain", *map(str, range(1, 10))], {NUMBERS}, right=range(1, 10)))
print(table(["stage", "units", "why"], {WORDS}, right=[1]))
print(wrapped("  a line of prose, " + "so long that it cannot stand in one line of a terminal, " * 2 + "but goes on"))
"""


def in_terminal(columns: int) -> str:
    """What the code prints to a terminal of so many columns."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    with subprocess.Popen([sys.executable, "-c", CODE], stdin=follower, stdout=follower, env=environment) as process:
        os.close(follower)
        found = b""
        while True:
            try:
                some = os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
            if not some:
                break
            found += some
    os.close(leader)
    assert process.returncode == 0, found.decode()
    return found.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [40, 80])
def test_no_line_is_longer_than_a_terminal_and_nothing_is_lost(columns: int) -> None:
    said = in_terminal(columns)
    assert max(map(len, said.splitlines())) <= columns
    for row in NUMBERS:
        for cell in row[1:]:
            assert said.split().count(cell) == 2
    assert said.split().count("web") == said.split().count("all") == said.split().count("domain") > 1
    assert said.split().count("1200',") == 2
    assert " ".join(said.split()).count("so long that it cannot stand in one line of a terminal,") == 2


def test_a_wide_terminal_and_a_pipe_get_a_row_on_a_line() -> None:
    piped = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True).stdout
    assert len(piped.splitlines()) == 4 + 3 + 1
    assert in_terminal(400) == piped
