"""The table of a plan: what a person reads before anything is written."""

from corpuskit.mix.explain import explain, weights_table


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
    import yaml

    stated = yaml.safe_load(weights_table(plan(books=domain(weight=0.25), web=domain(weight=0.75))))
    assert stated == {"weights": {"books": 0.25, "web": 0.75}}
