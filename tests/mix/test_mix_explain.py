"""The table of a plan: what a person reads before anything is written."""

import xml.etree.ElementTree as ET

import pytest
import yaml

from corpuskit.explore.report.mixture import plot
from corpuskit.mix import explain as explaining
from corpuskit.mix.explain import figures, weights_table


def explain(plan, limit=0):
    """The lines but those below the heads of tables."""
    lines = explaining.explain(plan, limit).splitlines()
    return "\n".join(line for line in lines if not line.startswith("---"))


def domain(**changed):
    base = {"weight": 0.5, "documents": 1200, "targets": 100_000, "taken": 50_000, "epochs": 0.5, "sequences": 25}
    return base | {"cap": False} | changed


def plan(**domains):
    tokens = sum(entry["taken"] for entry in domains.values())
    return {
        "tokens": tokens,
        "sequences": sum(entry["sequences"] for entry in domains.values()),
        "seq_len": 2048,
        "packing": "concat",
        "seed": 42,
        "asked": "max",
        "largest": tokens,
        "max_epochs": 20,
        "domains": domains,
    }


def test_each_domain_has_a_row_with_its_numbers():
    text = explain(plan(books=domain(cap=True), web=domain()))
    header, books, web = text.splitlines()[:3]
    names = "domain documents available size target tokens share epochs effective cap"
    assert header.split() == names.split()
    numbers = ["50.00", "%", "50.00", "%", "50,000", "50.00", "%", "0.50", "50,000", "100.00", "%"]
    assert books.split() == ["books", "1,200", "100,000", *numbers, "hit"]
    assert web.split() == ["web", "1,200", "100,000", *numbers]
    assert "100,000 tokens in 50 sequences of 2,048" in text
    assert "warning" not in text


def test_repetition_is_warned_about_in_two_degrees():
    text = explain(plan(books=domain(epochs=4.5), web=domain(epochs=17.0), code=domain(epochs=4.0, weight=1 / 3)))
    assert "books is read 4.5 times: beyond 4 there is a small loss" in text
    assert "web is read 17.0 times: beyond 16 there is little value" in text
    assert "code is read" not in text


def test_what_is_left_out_or_misses_its_share_is_said():
    text = explain(
        plan(a=domain(weight=0.0, taken=0, sequences=0), b=domain(weight=0.001, taken=0, sequences=0), c=domain())
    )
    assert "note: a has no weight" in text
    assert "warning: b gets no sequence" in text
    assert "warning: c gets 100.00 % of tokens for a weight of 50.00 %" in text


def test_repeated_tokens_are_worth_less_by_the_published_law():
    text = explain(plan(books=domain(targets=100_000, taken=400_000, epochs=4.0)))
    assert "372,567" in text.splitlines()[1]
    assert "worth 372,567 unique tokens; 4.00 epochs of the corpus as a whole" in text


def test_the_weights_read_as_a_recipe_states_them():
    stated = yaml.safe_load(weights_table(plan(books=domain(weight=0.25), web=domain(weight=0.75))))
    assert stated == {"weights": {"books": 0.25, "web": 0.75}}


def phased():
    """A plan of 100,000 tokens: the first 80,000 half and half, the rest all books."""
    made = plan(
        books=domain(weight=0.6, targets=20_000, taken=60_000, epochs=3.0, sequences=30),
        web=domain(weight=0.4, targets=80_000, taken=40_000, epochs=0.5, sequences=20),
    )
    shares = [(80_000, 512, 40_000, 40_000), (100_000, 2048, 20_000, 0)]
    made["phases"] = [
        {
            "until": until,
            "seq_len": seq_len,
            "tokens": books + web,
            "sequences": (books + web) // seq_len + 1,
            "domains": {
                name: {"weight": taken / (books + web), "taken": taken, "sequences": taken, "epochs": taken / targets}
                for name, taken, targets in (("books", books, 20_000), ("web", web, 80_000))
            },
        }
        for until, seq_len, books, web in shares
    ]
    return made | {"max_epochs": 4}


def test_each_phase_has_a_table_and_the_whole_run_another():
    lines = explain(phased()).splitlines()
    assert lines[0].startswith("phase 1 of 2, from 0 to 80,000 tokens: 80,000 in 157 sequences of 512")
    assert lines[1].split() == "domain size target tokens share epochs so far effective cap".split()
    assert lines[5].startswith("phase 2 of 2, from 80,000 to 100,000 tokens: 20,000 in 10 sequences of 2,048")
    books = lines[7].split()
    assert books[:2] + books[3:4] + books[5:6] == ["books", "20.00", "100.00", "20,000"]
    assert books[8:10] == ["1.00", "3.00"], "epochs of the phase, and up to its end"
    assert lines[10] == "the whole run"
    assert lines[12].split()[0] == "books"
    assert any("sequences of 512, 2,048" in line for line in lines)


def test_what_repeats_are_worth_in_the_phases_sums_to_what_they_are_worth_in_the_run():
    lines = explain(phased()).splitlines()
    in_phases = [int(lines[at].split()[10].replace(",", "")) for at in (2, 7)]
    whole = int(next(line for line in lines[11:] if line.startswith("books")).split()[-3].replace(",", ""))
    assert sum(in_phases) == pytest.approx(whole, abs=1)


def test_the_cap_of_a_phase_is_what_the_others_leave():
    made = phased()
    assert figures(made, "books", 0).cap == pytest.approx((4 * 20_000 - 20_000) / 80_000)
    assert figures(made, "books", 1).cap == 1.0
    assert figures(made, "books").cap == pytest.approx(0.8)
    assert figures(made, "web").prior == 0.8


def test_a_phase_that_misses_its_weight_is_warned_about_where_it_stands():
    made = phased()
    made["phases"][0]["domains"]["web"] |= {"taken": 0, "sequences": 0}
    made["phases"][1]["domains"]["web"] |= {"weight": 0.02, "sequences": 1}
    lines = explain(made).splitlines()
    assert lines[4] == "warning: web gets no sequence: its weight is less than one of 157"
    assert lines[10].startswith("warning: web gets 0.00 % of tokens for a weight of 2.00 %")


def test_documents_read_often_over_all_phases_are_warned_about():
    made = phased()
    made["domains"]["books"]["epochs"] = 5.0  # 2.5 in each
    assert "warning: books is read 5.0 times: beyond 4 there is a small loss" in explain(made)


def test_the_weights_of_phases_read_as_a_recipe_states_them():
    stated = yaml.safe_load(weights_table(phased()))["phases"]
    assert [phase["until"] for phase in stated] == [0.8, 1]
    assert [phase["weights"] for phase in stated] == [{"books": 0.5, "web": 0.5}, {"books": 1.0, "web": 0.0}]
    assert [phase["seq_len"] for phase in stated] == [512, 2048]


@pytest.mark.parametrize(("made", "panels"), [(phased(), 3), (plan(books=domain(cap=True), web=domain()), 1)])
def test_the_plot_shows_each_domain_in_each_phase(made, panels):
    root = ET.fromstring(plot(made))
    names = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert names.count("books") == names.count("web") == panels
    titles = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 2 * panels
    of = figures(made, "books")
    assert titles[-2] == (
        f"books: share of tokens {100 * of.share:.2f} %, share of the corpus {100 * of.prior:.2f} %, "
        f"target {100 * of.target:.2f} %, cap {100 * of.cap:.2f} %"
    )
    bars = [
        float(bar.get("width")) for bar in root.iter("{http://www.w3.org/2000/svg}rect") if bar.get("height") == "8"
    ]
    books, web = bars[-2:]
    assert books / web == pytest.approx(made["domains"]["books"]["taken"] / made["domains"]["web"]["taken"], rel=0.01)


def test_a_name_is_text_in_the_plot():
    made = plan(**{"<b>": domain(), "web": domain()})
    assert "<b>:" in next(ET.fromstring(plot(made)).iter("{http://www.w3.org/2000/svg}title")).text


def test_tables_fit_a_terminal_and_no_row_is_torn():
    wide, narrow = explain(phased()), explain(phased(), 60)
    rows = [line for line in narrow.splitlines() if line.startswith(("domain ", "books ", "web "))]
    assert max(map(len, rows)) <= 60 < max(len(line) for line in wide.splitlines() if line.startswith("domain "))
    for line in wide.splitlines():
        if line.startswith("books "):
            assert all(cell in narrow for cell in line.split())
