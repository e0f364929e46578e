"""The report is one page that needs nothing else, whatever the documents say."""

import dataclasses
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from corpuskit.core.plan import Need, Plan, Stage, Unit
from corpuskit.core.work import Work
from corpuskit.explore import bands, evidence, report, stats
from corpuskit.explore.report import charts, funnel, sections
from corpuskit.explore.report.bullets import Bullet, bullets, standalone
from corpuskit.explore.report.page import STYLE, heat, page, paragraph, table
from corpuskit.loops.kinds import Training
from corpuskit.steps.lsh import s_curve
from corpuskit.store.root import Root

VOID = {"meta"}


class Reader(HTMLParser):
    """Collects text and attributes, and checks that elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def described(text: str) -> Iterator[dict[str, Any]]:
    """What plotly.js is to draw, in order."""
    start = '<script type="application/json">'
    for piece in text.split(start)[1:]:
        yield json.loads(piece.split("</script>")[0])


def drawings(text: str) -> Iterator[ET.Element]:
    for piece in text.split('<svg class="plain"')[1:]:
        yield ET.fromstring("<svg" + piece.split("</svg>")[0] + "</svg>")


@pytest.fixture
def written(root: Root) -> str:
    path = Path(report.write(root, root.require_plan(), root.latest_run()))
    assert path == root.path / root.latest_run() / "report.html"
    return path.read_text()


def test_the_page_needs_nothing_from_outside(written: str) -> None:
    reader = read(written)
    assert not reader.tags & {"link", "img", "iframe", "object"}
    assert all(name != "src" for tag, name, _ in reader.attributes if tag == "script")
    assert "default-src 'none'" in written
    for _tag, name, value in reader.attributes:
        if name in ("src", "href", "data", "action"):
            assert value is not None
            assert value.startswith("#")
    assert "@import" not in STYLE
    assert "url(" not in STYLE


def test_the_page_holds_recipe_table_duplicates_mixture_resources_and_environment(written: str) -> None:
    text = " ".join(read(written).text)
    for wanted in (
        "name: small",
        "too_short",
        "The largest clusters",
        "Jaccard similarity",
        "target",
        "peak memory",
        "python",
    ):
        assert wanted in text
    assert "units are complete" not in text
    for wanted in ("Funnel", "Moving it to", "The slowest units", "Kept, by domain", "Lineage", "CPU-hours"):
        assert wanted in text
    assert len(list(described(written))) >= 8
    assert len(list(drawings(written))) == 1  # the mixture, which is also a file


def test_a_stopped_run_has_a_report_that_says_so(root: Root) -> None:
    plan = root.require_plan()
    for name in ("choose", "mixture"):
        stage = plan.stages[name]
        (root.path / "stages" / stage.folder / "receipts" / f"{stage.units[0].key}.json").unlink()
    text = " ".join(read(Path(report.write(root, plan, root.latest_run())).read_text()).text)
    assert "units are complete" in text
    assert "The largest clusters" not in text


def trained(root: Root, tmp_path: Path, domain: str) -> Plan:
    """Commit what the trainer hands over, two validations in, for a plan that trains."""
    plan = root.require_plan()
    stage = Stage.of("train", "train", Training(None, {}), {"shards": Need("shards", "all")})
    stage.key = "0" * 16
    stage.units = [Unit("1" * 16, "part 1 of 1", [], "", 1)]
    plan.stages["train"] = stage
    (tmp_path / "scratch").mkdir()
    given = {
        name.name: None
        for name in dataclasses.fields(Work)
        if name.default is dataclasses.MISSING and name.default_factory is dataclasses.MISSING
    }
    work = Work(
        **given | {"store": root.store, "stage": "train", "unit": 0, "key": "1" * 16, "scratch": tmp_path / "scratch"}
    )
    records = [
        {"step": step, "tokens": 100 * step, "loss": 9 / step, "lr": 0.001, "grad_norm": 1.0} for step in range(1, 2001)
    ]
    score = {"loss": 2.5, "bits_per_byte": 1.25}
    records += [{"step": step, "domain": domain, **score} for step in (1000, 2000)]
    work.put("metrics", ".jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    result = {"steps": 2000, "tokens": 200_000, "parameters": 1234, "validation": {domain: score}}
    work.facts |= {"result": result, "checkpoint": "checkpoints/x/step-2000"}
    root.store.put("checkpoints/x/step-2000/state.json", b"{}")
    root.commit(stage, work, 1.0, 1.0, 1)
    return plan


def test_training_curves_are_thinned_and_validation_is_drawn_by_domain(root: Root, tmp_path: Path) -> None:
    text = sections.training(root, trained(root, tmp_path, "web<b>"))
    read(text)
    assert "web&lt;b&gt;" in text
    loss, rate, validation = described(text)
    assert len(loss["data"][0]["x"]) <= sections.POINTS
    assert rate["data"][0]["mode"] == "lines"
    assert len(validation["data"][0]["x"]) == 2
    assert "1.2500" in text


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "a & b", '"><img src=x>', "'", "\u202e\x00]]>"])
def test_text_of_users_is_text_in_the_page(hostile: str) -> None:
    counts = {(hostile, hostile): 3}
    drawn = [
        charts.bars([(hostile, 1.0)], hostile, [hostile], mark=1.0),
        charts.stacked([(hostile, [1, 2])], ["x", hostile]),
        charts.plot(charts.Axis(hostile), charts.Axis("y"), [charts.Series(hostile, [(0, 0)], dots=True)]),
        charts.histogram([1, 2, 3], [(hostile, [1, 2], "--c0")], hostile, [2], log=True),
    ]
    for chart in drawn:
        (spec,) = described(chart)
        labels = json.dumps(spec["layout"]) + json.dumps([one.get("name") for one in spec["data"]])
        assert not re.search(r"<[a-z/]", labels)  # plotly.js reads tags
    content = (
        table([hostile], [[hostile]])
        + paragraph(hostile)
        + bullets([(hostile, [Bullet(hostile, 1.0, 0.5, 0.5, 0.5, hostile)])], (hostile,) * 4, str)
        + heat([hostile], counts)
    )
    reader = read(page(hostile, [(hostile, content)]))
    assert not reader.tags & {"script", "img"}
    assert "".join(reader.text).count(hostile.replace("\x00", "\ufffd")) or "\x00" in hostile


def test_a_mixture_is_a_file_of_its_own_in_light_colours() -> None:
    drawn = standalone(bullets([("all", [Bullet("web", 0.6, 0.5, 0.5, 0.9, "60 %")])], ("a", "b", "c", "d"), str))
    assert "var(" not in drawn
    assert ET.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"


def test_bars_of_names_that_look_alike_when_cut_stay_apart() -> None:
    names = ["long " * 20 + end for end in ("one", "two")]
    (spec,) = described(charts.bars([(name, 1.0) for name in names], "x", names))
    assert spec["data"][0]["y"] == [0, 1]
    assert len(spec["layout"]["yaxis"]["ticktext"]) == 2


def test_the_measured_curve_meets_the_expected_one(root: Root) -> None:
    plan = root.require_plan()
    (choice,) = evidence.choices(root, plan)
    points = bands.measured(root, plan, choice.params)
    assert sum(one.pairs for one in points) == sum(entry["near"] for entry in choice.facts["by_domain"]) > 0
    for one in points:
        (expected,) = s_curve(choice.params.bands, choice.params.rows, [one.jaccard])
        assert one.caught == pytest.approx(expected, abs=0.15)


def test_the_funnel_ends_at_what_is_kept(root: Root) -> None:
    plan = root.require_plan()
    assert funnel.steps(plan) == ["too_short", "minhash", "holdout"]
    (drawn,) = described(funnel.section(root, plan))
    kept = sum(row.kept for row in stats.domain_table(root, plan))
    assert drawn["data"][0]["x"][0] == 240
    assert drawn["data"][0]["x"][-1] == kept
