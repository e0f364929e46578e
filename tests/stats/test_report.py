"""The report is one page that needs nothing else, whatever the documents say."""

import dataclasses
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from corpuskit.core.plan import Need, Plan, Stage, Unit
from corpuskit.core.work import Work
from corpuskit.explore import report
from corpuskit.explore.report import charts, sections
from corpuskit.explore.report.page import page, paragraph, table
from corpuskit.loops.kinds import Training
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


def drawings(text: str) -> Iterator[ET.Element]:
    for piece in text.split("<svg")[1:]:
        yield ET.fromstring("<svg" + piece.split("</svg>")[0] + "</svg>")


@pytest.fixture
def written(root: Root) -> str:
    path = report.write(root, root.require_plan(), root.latest_run())
    assert path == root.path / root.latest_run() / "report.html"
    return path.read_text()


def test_the_page_needs_nothing_from_outside(written: str) -> None:
    reader = read(written)
    assert not reader.tags & {"script", "link", "img", "iframe", "object"}
    for _tag, name, value in reader.attributes:
        if name in ("src", "href", "data", "action"):
            assert value is not None
            assert value.startswith("#")
    assert "@import" not in written
    assert "url(" not in written


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
    assert len(list(drawings(written))) >= 5


def test_a_stopped_run_has_a_report_that_says_so(root: Root) -> None:
    plan = root.require_plan()
    for name in ("choose", "mixture"):
        stage = plan.stages[name]
        (root.path / "stages" / stage.folder / "receipts" / f"{stage.units[0].key}.json").unlink()
    text = " ".join(read(report.write(root, plan, root.latest_run()).read_text()).text)
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
    (root.path / "checkpoints" / "x" / "step-2000").mkdir(parents=True)
    root.commit(stage, work, 1.0, 1.0, 1)
    return plan


def test_training_curves_are_thinned_and_validation_is_drawn_by_domain(root: Root, tmp_path: Path) -> None:
    text = sections.training(root, trained(root, tmp_path, "web<b>"))
    read(text)
    assert "web&lt;b&gt;" in text
    loss, rate, validation = drawings(text)
    points = loss.find("polyline").get("points").split()
    assert len(points) <= sections.POINTS
    assert len(rate.findall("polyline")) == 1
    assert len(validation.findall("circle")) == 2
    assert "1.2500" in text


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "a & b", '"><img src=x>', "'", "\u202e\x00]]>"])
def test_text_of_users_is_text_in_the_page(hostile: str) -> None:
    counts = {(hostile, hostile): 3}
    content = (
        table([hostile], [[hostile]])
        + paragraph(hostile)
        + charts.bars([(hostile, 1.0)], str)
        + charts.bullets([(hostile, [charts.Bullet(hostile, 1.0, 0.5, 0.5, 0.5, hostile)])], (hostile,) * 4, str)
        + charts.stacked([(hostile, [1, 2])], ["x", hostile])
        + charts.heat([hostile], counts)
        + charts.plot(
            charts.axis(hostile, [0, 1]), charts.axis("y", [0, 1]), [charts.Series(hostile, [(0, 0)], dots=True)]
        )
    )
    reader = read(page(hostile, [(hostile, content)]))
    assert not reader.tags & {"script", "img"}
    assert "".join(reader.text).count(hostile.replace("\x00", "\ufffd")) or "\x00" in hostile


@pytest.mark.parametrize(
    "values", [[], [0.0], [5.0, 5.0], [1e-9, 2e-9], [-3, 7], [0, 1e15], [0.1, 0.30000000000000004]], ids=str
)
def test_linear_axes_cover_their_values_with_few_labels(values: list[float]) -> None:
    for zero in (False, True):
        for exact in (False, True):
            found = charts.axis("x", values, zero=zero, exact=exact)
            assert 2 <= len(found.ticks) <= 8 or exact
            assert all(-1e-9 <= found.place(value) <= 1 + 1e-9 for value in values if value >= 0 or not zero)


def test_log_axes_cover_their_values() -> None:
    for values in ([1.0], [1.0, 10.0], [3.0, 4200.0]):
        found = charts.log_axis("x", values)
        assert all(0 <= found.place(value) <= 1 for value in values)
