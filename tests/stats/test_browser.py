"""The report and the explorer in a real Chromium: what is drawn, in both themes and on a phone, and what runs not."""

import functools
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corpuskit.explore import report
from corpuskit.explore.explorer.answers import Answers
from corpuskit.explore.explorer.server import Server
from corpuskit.plan.planner import make
from corpuskit.recipe import load
from corpuskit.run.scheduler import run
from corpuskit.store.root import Root
from tests.core.builder import corpus

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium: apt-get install chromium")

HOSTILE = '<img src=x onerror="window.owned=1"><script>window.owned=1</script><b>&amp;</b>'
RULE = "<b>short</b> & <a href='https://example.com'>bare</a>"

RECIPE = """\
name: hostile
memory: 512MiB
sources:
  web:   {{read: jsonl, path: "{raw}/web/*", columns: {{url: string}}}}
  books: {{read: jsonl, path: "{raw}/books/*", columns: {{url: string}}}}
steps:
  - normalize: {{unicode: NFC}}
  - clean_chars: {{}}
  - where: clean_chars >= 60
    name: "{rule}"
  - minhash: {{shingle: {{unit: word, n: 3}}, threshold: 0.7, keep: [books, web]}}
  - holdout: none
expect:
  - docs('web') > 10
  - docs('books') > 1000000
"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose texts, url and rule are markup."""
    folder = tmp_path_factory.mktemp("hostile")
    raw = corpus(folder / "raw", files=2)
    words = " ".join(f"word{number}" for number in range(150))
    texts = [f"{HOSTILE} {words} kept", f"{HOSTILE} {words} removed", HOSTILE[:20]]
    lines = [json.dumps({"text": text, "url": HOSTILE}) + "\n" for text in texts]
    (raw / "web" / "hostile.jsonl").write_text("".join(lines))
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(raw=raw, rule=RULE))
    plan, root = make(load(path, [])), Root(folder / "root")
    outcome = run(plan, root, root.new_run(path.read_text(), "resolved: here\n", plan), engine="inline")
    assert not outcome.failures, outcome.failures[0][1].traceback
    return folder / "root"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, which drives Chromium")
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


class Seen:
    """A page, with all that went wrong in it and all that it asked for."""

    def __init__(self, browser: Any, width: int, scheme: str) -> None:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.page = context.new_page()
        self.wrong: list[str] = []
        self.asked: set[str] = set()
        self.page.on("console", lambda said: self.wrong.append(said.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.asked.add(request.url))

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def wait(self, expression: str) -> None:
        """Until it is true. Playwright's own waiting evaluates text in the page, which its policy refuses."""
        for _ in range(600):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(50)
        pytest.fail(f"never true: {expression}\n{self.text('body')[:2000]}")

    def check(self) -> None:
        """Nothing went wrong, no text became markup, nothing is wider than the page."""
        assert self.wrong == []
        assert not self.page.evaluate("window.owned")
        assert self.page.locator("img, a[href^='https:']").count() == 0
        width = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1]
        self.page.context.close()


SIZES = [(1200, "light"), (390, "dark")]


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_the_report_is_drawn_without_network_and_shows_text_as_text(
    hostile: Path, browser: Any, width: int, scheme: str
) -> None:
    root = Root(hostile)
    path = Path(report.write(root, root.require_plan(), root.latest_run()))
    seen = Seen(browser, width, scheme)
    seen.page.goto(path.as_uri())
    seen.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert seen.page.locator(".chart").count() >= 6
    seen.wait("[...document.querySelectorAll('.chart')].every((one) => one.querySelector('.trace path'))")
    beyond = "(one) => one.querySelector('.main-svg').clientWidth - one.clientWidth"
    assert set(seen.page.evaluate(f"[...document.querySelectorAll('.chart')].map({beyond})")) == {0}
    shown = seen.text("body")
    for wanted in (HOSTILE, RULE, "DOES NOT HOLD", "Moving it to", "CPU-hours", "slowest units"):
        assert wanted in shown
    assert any(RULE[:30] in label for label in seen.page.locator(".chart text").all_text_contents())
    surface = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", surface))) < 128) == (scheme == "dark")
    assert seen.asked == {path.as_uri()}
    seen.check()


def test_charts_take_the_colours_of_paper_when_the_page_is_printed(hostile: Path, browser: Any) -> None:
    root = Root(hostile)
    seen = Seen(browser, 1200, "dark")
    seen.page.goto(Path(report.write(root, root.require_plan(), root.latest_run())).as_uri())
    bar = "document.querySelector('.chart .point path').style.fill"
    dark = seen.page.evaluate(bar)
    seen.page.emulate_media(media="print")
    seen.wait(f"{bar} !== '{dark}'")
    assert seen.page.pdf().startswith(b"%PDF")
    seen.check()


@pytest.fixture
def address(hostile: Path) -> Iterator[str]:
    with Server(str(hostile)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.address
        server.shutdown()
        thread.join()


def opened(seen: Seen, address: str, tab: str) -> None:
    seen.page.goto(address)
    seen.page.wait_for_selector("#tabs a")
    seen.page.click(f"#tabs a[href='#{tab}']")


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_every_tab_of_the_explorer_shows_its_part_of_the_run(
    address: str, browser: Any, width: int, scheme: str
) -> None:
    seen = Seen(browser, width, scheme)
    waits = {
        "run": "progress",
        "documents": "#documents article",
        "thresholds": "#keeps article",
        "duplicates": "#pairs td a",
        "sql": "#sql",
        "trace": "input",
    }
    for tab, wanted in waits.items():
        opened(seen, address, tab)
        seen.page.wait_for_selector(wanted)
        assert seen.page.locator("[aria-selected=true]").inner_text() == tab
        assert seen.page.is_hidden("#failed")
        assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab
    assert all(url.startswith((address, "data:")) for url in seen.asked)
    seen.check()


def test_a_removed_document_is_read_beside_its_witness(address: str, browser: Any) -> None:
    seen = Seen(browser, 1200, "light")
    opened(seen, address, "documents")
    seen.page.fill("input[type=search]", "ONERROR")
    seen.page.click("text=show")
    seen.wait("document.querySelector('#searched')?.textContent === '1 documents'")
    assert HOSTILE in seen.text("#documents")
    assert seen.text("#documents mark") == "onerror"
    seen.page.click("#documents article a")
    seen.page.wait_for_selector("text=removed for it")
    assert HOSTILE in seen.text("#view")
    seen.page.click("text=(near)")
    seen.page.wait_for_selector(".pair ins")
    assert {seen.text(".pair del"), seen.text(".pair ins")} == {"kept", "removed"}
    assert seen.text(".pair").count(HOSTILE) == 2
    seen.check()


def test_a_threshold_is_dragged_and_says_what_it_drops(address: str, browser: Any) -> None:
    seen = Seen(browser, 1200, "light")
    opened(seen, address, "thresholds")
    seen.page.wait_for_selector("#keeps article")
    assert "drops 0 documents" in seen.text("#drops")
    box = seen.page.locator("#slider").bounding_box()
    seen.page.mouse.move(box["x"] + 5, box["y"] + box["height"] / 2)
    seen.page.mouse.down()
    seen.page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] / 2, steps=4)
    assert re.search(r"drops about [1-9]\d* documents", seen.text("#drops"))  # before the server was asked
    seen.page.mouse.up()
    seen.wait("/drops [1-9]\\d* documents, .* of those kept/.test(document.querySelector('#drops').textContent)")
    limit = float(seen.page.input_value("#limit"))
    for side, below in (("drops", True), ("keeps", False)):
        values = re.findall(r"clean_chars (\d+)", seen.text(f"#{side} article >> nth=0"))
        assert [float(value) < limit for value in values] == [below]
    seen.check()


def test_sql_answers_and_says_what_is_wrong_with_it(address: str, browser: Any) -> None:
    seen = Seen(browser, 1200, "light")
    opened(seen, address, "sql")
    seen.page.fill("#sql", "SELECT rule, max(doc) AS doc FROM dropped GROUP BY rule")
    seen.page.press("#sql", "Control+Enter")
    seen.page.wait_for_selector("#answer td a")
    assert RULE in seen.text("#answer")
    seen.page.fill("#sql", "SELECT * FROM read_text('/etc/passwd')")
    seen.page.click("text=run >> nth=-1")
    seen.page.wait_for_selector("#failed:visible")
    assert "nothing outside the run folder" in seen.text("#failed")
    assert [text for text in seen.wrong if "400" not in text] == []  # Chromium logs the refusal
    seen.wrong.clear()
    seen.check()


def test_a_search_is_cancelled(address: str, browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, given_up = threading.Event(), threading.Event()

    def endless(*_args: object, **_given: object) -> Iterator[dict[str, int]]:
        try:
            number = 0
            while not gate.is_set():
                yield {"read": (number := number + 1), "of": 10**9}
                gate.wait(0.02)
        finally:
            given_up.set()

    monkeypatch.setattr("corpuskit.explore.explorer.answers.search", endless)
    seen = Seen(browser, 1200, "light")
    opened(seen, address, "documents")
    seen.page.fill("input[type=search]", "anything")
    seen.page.click("text=show")
    seen.wait("document.querySelector('#searched')?.textContent.includes(' of ')")
    seen.page.click("#cancel")
    seen.wait("document.querySelector('#searched').textContent.endsWith('cancelled')")
    assert given_up.wait(20)
    gate.set()
    seen.check()


def test_what_was_asked_before_never_takes_the_place_of_what_was_asked_last(
    address: str, browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered = threading.Event(), threading.Event()
    documents = Answers.documents

    @functools.wraps(documents)
    def held(*given: Any, **named: Any) -> Any:
        found = documents(*given, **named)
        asked.set()
        answered.wait(60)
        return found

    monkeypatch.setattr(Answers, "documents", held)
    seen = Seen(browser, 1200, "light")
    over: list[str] = []
    for event in ("requestfinished", "requestfailed"):
        seen.page.on(event, lambda request: over.append(request.url))
    opened(seen, address, "documents")
    assert asked.wait(60)
    seen.page.fill("input[type=search]", "ONERROR")
    seen.page.click("text=show")
    searched = "document.querySelector('#searched')?.textContent === '1 documents'"
    seen.wait(searched)
    answered.set()
    for _ in range(600):
        if any(url.endswith("ask/documents") for url in over):
            break
        seen.page.wait_for_timeout(50)
    else:
        pytest.fail("the first page was neither given up nor answered")
    seen.page.evaluate("new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")
    assert seen.page.evaluate(searched)
    assert seen.page.locator("#documents article").count() == 1
    seen.check()


def test_a_run_is_watched_as_it_goes_on(hostile: Path, address: str, browser: Any) -> None:
    root = Root(hostile)
    plan = root.require_plan()
    stage = plan.stages["choose"]
    receipt = hostile / "stages" / stage.folder / "receipts" / f"{stage.units[0].key}.json"
    content = receipt.read_bytes()
    units = sum(len(one.units) for one in plan.stages.values())
    seen = Seen(browser, 1200, "light")
    receipt.unlink()
    try:
        opened(seen, address, "run")
        seen.page.wait_for_selector(f"text=Progress: {units - 1} of {units} units")
    finally:
        receipt.write_bytes(content)
    seen.page.wait_for_selector(f"text=Progress: {units} of {units} units")
    seen.check()
