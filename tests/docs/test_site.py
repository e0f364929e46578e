"""The site of the docs is built without a warning, and what stands between fences is code there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(target)]
    done = subprocess.run(
        command, cwd=HERE, capture_output=True, text=True, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_every_page_of_the_docs_is_in_the_menu(site: Path) -> None:
    menu = (HERE / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page.name for page in (HERE / "docs").glob("*.md") if f": {page.name}" not in menu] == []


def test_no_fence_is_shown_as_text(site: Path) -> None:
    shown = [
        page
        for page in site.rglob("*.html")
        if "```" in re.sub(r"<code.*?</code>", "", page.read_text("utf-8"), flags=re.DOTALL)
    ]
    assert shown == []


def test_the_page_on_python_has_signatures_and_docstrings(site: Path) -> None:
    page = (site / "python" / "index.html").read_text(encoding="utf-8")
    for name in ("corpuskit.recipe.load", "corpuskit.explore.opened.OpenRun.sql", "corpuskit.errors.UsageError"):
        assert f'id="{name}"' in page
