"""The tutorial and the how-tos are followed word by word: files are written, commands run, their output found again.

A fenced block with a title is written to the file of that name, a block of `sh` is run, and a block of `text` behind
one must be found in what the command printed. A comment before a block says more: `append`, `exit=N` (the command must
end so), `exact` (figures too).
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
_FENCE = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^```(\w+)(?: title=\"([^\n]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"\d[\d,.]*\b")
SECONDS = 120


@dataclass(frozen=True)
class Block:
    line: int
    info: str
    language: str
    title: str
    text: str

    @property
    def code(self) -> int:
        """How the command must end."""
        return next((int(word.removeprefix("exit=")) for word in self.info.split() if word.startswith("exit=")), 0)


def blocks(markdown: str) -> list[Block]:
    return [
        Block(markdown.count("\n", 0, found.start()) + 1, *(group or "" for group in found.groups()))
        for found in _FENCE.finditer(markdown)
    ]


def squeezed(line: str) -> str:
    """One blank for many, three dashes for a rule: the widths of tables follow from the figures in them."""
    return re.sub(r"-{3,}", "---", " ".join(line.split()))


def pattern(line: str, *, exact: bool) -> re.Pattern[str]:
    """What a line of the tutorial stands for: `…` is any text and, unless `exact`, a number is any number."""
    made = ""
    for piece in re.split(r"(…|\d[\d,.]*\b)", squeezed(line)):
        if piece == "…":
            made += ".*?"
        elif _NUMBER.fullmatch(piece) and not exact:
            made += r"\d[\d,.]*"
        else:
            made += re.escape(piece)
    return re.compile(made)


def missing(expected: Block, output: str) -> list[str]:
    """The expected lines that the output does not have."""
    printed = [squeezed(line) for line in output.splitlines()]
    wanted = [line for line in expected.text.splitlines() if line.strip() not in ("", "...")]
    exact = "exact" in expected.info.split()
    return [line for line in wanted if not any(pattern(line, exact=exact).search(one) for one in printed)]


def run(script: str, folder: Path) -> tuple[int, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout


def test_an_expected_line_is_found_whatever_the_width_of_a_table_and_its_figures_only_if_they_may_vary():
    loose, exact = (Block(1, info, "text", "", "...\nweb  2,404  …/a.gz\n") for info in ("", "exact"))
    assert missing(loose, "domain  docs\nweb      17  /tmp/raw/a.gz\n") == []
    assert missing(exact, "domain  docs\nweb      17  /tmp/raw/a.gz\n") == ["web  2,404  …/a.gz"]
    assert missing(exact, "web   2,404 raw/a.gz\n") == []
    assert missing(loose, "code  17  raw/a.gz\n") != []


@pytest.mark.parametrize(("page", "commands"), [("tutorial.md", 15), ("howto.md", 5)])
def test_every_command_of_a_page_does_what_the_page_says(page, commands, tmp_path):
    found = blocks((DOCS / page).read_text(encoding="utf-8"))
    assert sum(block.language == "sh" for block in found) >= commands
    output = ""
    for block in found:
        place = f"docs/{page}:{block.line}"
        if block.title:
            with (tmp_path / block.title).open("a" if "append" in block.info else "w", encoding="utf-8") as target:
                target.write(block.text)
        elif block.language == "sh":
            code, output = run(block.text, tmp_path)
            assert code == block.code, f"{place}: exit code {code}\n{output}"
        else:
            assert block.language == "text", f"{place}: a block of which the test does not know what it is for"
            assert block.text.strip(), f"{place}: nothing is expected"
            assert missing(block, output) == [], f"{place}: not in the output:\n{output}"
